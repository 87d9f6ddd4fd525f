//! Caps of the outbox: publishes that are promised and not yet acknowledged.

use std::time::Duration;

/// Bytes of publishes in memory, waiting to be acknowledged or written.
pub const MEMORY_BYTES_MAX: usize = 512 << 10;
/// What a publish takes beside its topic and payload.
pub const PUBLISH_OVERHEAD_BYTES: usize = 256;
/// Publishes of one component that are ready to be sent while the broker is away; those behind them are on disk alone.
pub const HEAD_MAX: usize = 64;
/// Publishes handed to the session and not acknowledged: enough to keep its window full, and no more, since what one
/// component publishes waits behind all that another has there.
pub const SENDING_MAX: usize = 80;
/// How long a publish that is to be written anyway waits for others to share the write, and for an acknowledgement
/// that makes it needless.
pub const GRACE: Duration = Duration::from_millis(20);
/// Publishes in one write.
pub const ROWS_PER_WRITE_MAX: usize = 256;
/// Their bytes, beside the last.
pub const BYTES_PER_WRITE_MAX: usize = 256 << 10;
/// Publishes read back at once.
pub const ROWS_PER_READ: usize = 32;
/// Their bytes, beside the last: what is read may come on top of a memory that filled meanwhile.
pub const BYTES_PER_READ_MAX: usize = MEMORY_BYTES_MAX / 4;
/// First pause after a write that failed; doubled each time.
pub const WRITE_AGAIN_FIRST: Duration = Duration::from_millis(250);
/// The longest such pause.
pub const WRITE_AGAIN_MAX: Duration = Duration::from_secs(15);
/// Rows of acknowledged publishes that are deleted in one write.
pub const FORGET_BATCH: usize = 256;
/// How long they wait for that: what is not deleted when the power goes is sent twice.
pub const FORGET_AFTER: Duration = Duration::from_secs(1);
/// How long a component waits for room before it is told that there is none.
pub const ROOM_TIMEOUT: Duration = Duration::from_secs(2);

/// Not acknowledged for so long, a publish is written down; unless the board file says otherwise. Well above a round
/// trip over a mobile network, well below what a waiting broker or component would mind.
pub const SLOW_AFTER_DEFAULT: Duration = Duration::from_secs(2);
/// Bytes of publishes kept, unless the board file says otherwise: a day of one small reading a minute from each of 20
/// components.
pub const BYTES_DEFAULT: u64 = 8 << 20;
/// The most that a board file may allow: what a card writes in some minutes.
pub const BYTES_CEILING: u64 = 1 << 30;
/// Publishes kept on disk.
pub const ROWS_MAX: u64 = 100_000;
/// How old a publish may become, unless the board file says otherwise.
pub const AGE_DEFAULT: Duration = Duration::from_hours(7 * 24);

const _: () = assert!(BYTES_PER_WRITE_MAX < MEMORY_BYTES_MAX);
const _: () = assert!(HEAD_MAX <= SENDING_MAX);
