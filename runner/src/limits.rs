//! Every cap of this crate in one place, each with its reason.
//!
//! What a board or a component may choose has its bounds here too; the choices themselves are in
//! `board-configs/` and in `tool.pirn` tables.

use std::time::Duration;

use crate::config::Rate;

/// A configuration file. The longest manifest in the wild that we know has under 20 KB; a file of
/// megabytes is a mistake (a component named as a manifest) and would not fit a small board's memory.
pub const CONFIG_FILE_BYTES_MAX: usize = 256 * 1024;

/// A template. Templates are addresses, topics and headers; a payload of a will is the longest of them.
pub const TEMPLATE_BYTES_MAX: usize = 16 * 1024;

/// The value that a template or a variable gives. Guests copy it into their own memory; a certificate
/// chain fits, a firmware image does not.
pub const VARIABLE_BYTES_MAX: usize = 64 * 1024;

/// An MQTT topic or topic filter: the length field on the wire has 16 bits (MQTT 3.1.1, 1.5.3).
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// Linear memory of one instance. The lower bound is one WebAssembly page; the upper what a 32-bit
/// component can address.
pub const MEMORY_BYTES_MIN: u64 = 64 * 1024;
/// See [`MEMORY_BYTES_MIN`].
pub const MEMORY_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Deadline of one event. Shorter than a millisecond is shorter than an epoch tick, which is how
/// deadlines are kept.
pub const DEADLINE_MIN: Duration = Duration::from_millis(1);
/// See [`DEADLINE_MIN`]. A guest that runs for an hour is stuck; the broker's session waits meanwhile.
pub const DEADLINE_MAX: Duration = Duration::from_secs(3600);

/// Instances at the same time on any board. Above this a queue is better than a thread of execution:
/// boards have at most four cores, and every instance pays for its stack.
pub const INSTANCES_MAX: u32 = 64;

/// Attempts at one event, if a component does not say: once, and twice more with back-off, which spans
/// the seconds that a restarting neighbour needs.
pub const ATTEMPTS_DEFAULT: u32 = 3;
/// The most that a component can ask for. With back-off, more would hold back the topic for hours.
pub const ATTEMPTS_MAX: u32 = 20;

/// Log lines of one component, if it does not say. Ten a second is readable and cannot fill a card.
pub const LOG_RATE_DEFAULT: Rate = Rate { events: 10, period: Duration::from_secs(1) };

/// Keep-alive, if the manifest does not say: notices a dead broker within a minute (twice this) and
/// wakes a sleeping board only twice a minute.
pub const KEEP_ALIVE_DEFAULT: Duration = Duration::from_secs(30);
/// The keep-alive field on the wire has 16 bits (MQTT 3.1.1, 3.1.2.10).
pub const KEEP_ALIVE_SECONDS_MAX: u32 = 65_535;

const _: () = assert!(ATTEMPTS_DEFAULT <= ATTEMPTS_MAX);
const _: () = assert!(MEMORY_BYTES_MIN < MEMORY_BYTES_MAX);
