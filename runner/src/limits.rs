//! Every cap of this crate in one place, each with its reason.
//!
//! What a board or a component may choose has its bounds here too; the choices themselves are in
//! `board-configs/` and in `tool.pirn` tables.

use std::time::Duration;

use self::units::Rate;

/// A configuration file. The longest manifest in the wild that we know has under 20 KB, one with 5 000
/// timers 600 KB; a file of megabytes is a mistake (a component named as a manifest) and would not fit a
/// small board's memory.
pub const CONFIG_FILE_BYTES_MAX: usize = 1024 * 1024;

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

/// Caps of timers and cron.
pub mod time {
    /// 1 January 2026, in seconds since the epoch. A clock that shows less was never set: this version
    /// is younger. A board file can give a later date.
    pub const CLOCK_NOT_BEFORE: u64 = 1_767_225_600;
}

/// Caps of GPIO.
pub mod gpio {
    /// A line's place on its chip. Expanders have up to 64, processors a few hundred.
    pub const LINE_OFFSET_MAX: u32 = 1_023;
    /// Failures of a component in a row after which its outputs go to their safe levels: as many as one
    /// event is tried by default.
    pub const FAILURES_BEFORE_SAFE: u32 = super::ATTEMPTS_DEFAULT;
}

/// Caps of what one invocation may ask of the host.
pub mod host {
    use std::time::Duration;

    /// Messages that one invocation may publish.
    pub const PUBLISHES_PER_EVENT_MAX: usize = 256;
    /// Connections to other brokers than its own that an app may hold; each costs some 60 KiB.
    pub const BROKER_SESSIONS_MAX: usize = 4;
    /// How long a session with another broker is kept that nobody uses: an app that publishes now and
    /// then should not connect for each message.
    pub const BROKER_IDLE_MAX: Duration = Duration::from_secs(300);
    /// How long what was published to another broker waits for it to come back. The events behind it wait
    /// too; then they count as undelivered.
    pub const BROKER_AWAY_MAX: Duration = Duration::from_secs(60);
    /// A topic that a guest may publish to. MQTT can carry 64 KiB, but no broker's default takes that
    /// everywhere, and most answer by closing the connection. The largest we know of has 1 KiB.
    pub const PUBLISH_TOPIC_BYTES_MAX: usize = 4 << 10;
    /// Its levels: mosquitto closes the connection at 200, EMQX at 128.
    pub const PUBLISH_TOPIC_LEVELS_MAX: usize = 128;
    /// Of a topic, in a sentence about it.
    pub const TOPIC_IN_SENTENCE_BYTES_MAX: usize = 64;
    /// How long `open` waits for another broker to answer.
    pub const BROKER_OPEN_TIMEOUT: Duration = Duration::from_secs(10);
    /// A key of the key-value store.
    pub const KEY_BYTES_MAX: usize = 256;
    /// A value of the key-value store.
    pub const VALUE_BYTES_MAX: usize = 1 << 20;
    /// All keys and values of one call that has several; they wait for the disk together.
    pub const BATCH_BYTES_MAX: usize = 2 << 20;
    /// Keys in one store: `get-keys` returns them all at once.
    pub const KEYS_PER_STORE_MAX: u32 = 1_024;
    /// All values of one store together.
    pub const STORE_BYTES_MAX: u64 = 64 << 20;
    /// One log line; the rest of a longer one is cut and marked.
    pub const LOG_LINE_BYTES_MAX: usize = 1_024;
    /// A component's log file before it is cut over; two are kept.
    pub const LOG_FILE_BYTES_MAX: u64 = 1 << 20;
    /// Lines on their way to log files; about 1 MiB if all are as long as they may be. A card that is
    /// busy for a second costs no line of an app that logs within its rates.
    pub const LOG_FILE_LINES_WAITING_MAX: usize = 1_024;
    /// The thread that writes them opens, writes and renames.
    pub const LOG_THREAD_STACK_BYTES: usize = 64 << 10;
    /// How long the end of the process waits for them; `SIGTERM` is obeyed within five seconds.
    pub const LOG_FAREWELL: Duration = Duration::from_millis(100);
    /// A line of pirnd's own log; the rest of a longer one (a topic may have 64 KiB) is cut and marked.
    pub const LOG_OWN_LINE_BYTES_MAX: usize = 4 << 10;
    /// How long the end of the process waits for a thread that looks a name up, which nothing can end.
    pub const LOOKUP_FAREWELL: Duration = Duration::from_millis(50);
    /// The sentence a guest gives with a refusal.
    pub const REFUSAL_BYTES_MAX: usize = 512;
}

/// Caps of what one component may have from other machines.
pub mod outbound {
    use std::time::Duration;

    /// The body of an answer that a guest gets in one piece: what its memory holds beside itself. Those who stream have
    /// no such cap.
    pub const FETCHED_BYTES_MAX: usize = 1 << 20;
    /// What a model is asked at once: more than small models take, and than small boards have to spare twice over.
    pub const PROMPT_BYTES_MAX: usize = 256 << 10;
    /// Questions of one app that a model server is asked at the same time; on small machines it answers them one after
    /// the other anyway. Others wait, as long as their guests may.
    pub const MODELS_ASKED_MAX: usize = 2;
    /// How long a model may think; a guest's deadline is mostly shorter.
    pub const MODEL_PATIENCE: Duration = Duration::from_secs(300);
    /// Kept of what a server complains.
    pub const COMPLAINT_BYTES_MAX: usize = 512;
}

/// Caps of WASI, for one invocation.
pub mod wasi {
    use std::time::Duration;

    /// Things that one `poll` may wait for; each costs a future. No guest has more handles of them.
    pub const POLLABLES_PER_CALL_MAX: usize = super::engine::HOST_RESOURCES_MAX;
    /// The longest timer: longer than any invocation, short enough for every timer wheel.
    pub const TIMER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
    /// Random bytes in one call: keys need 32, and filling this many takes well under a millisecond.
    pub const RANDOM_BYTES_MAX: usize = 64 << 10;
    /// Bytes that one write to the log may have; a standard library writes 4 KiB at a time.
    pub const LOG_WRITE_BYTES_MAX: usize = 64 << 10;
    /// Bytes that one read gives. From memory that takes the loop a few microseconds; what a disk must
    /// be asked for is waited for elsewhere.
    pub const READ_BYTES_MAX: usize = 32 << 10;
    /// Threads that wait for disks, for the whole process: with one, a network share that is gone would
    /// keep everybody from the card.
    pub const DISK_THREADS: usize = 2;
    /// They open and read, nothing else.
    pub const DISK_THREAD_STACK_BYTES: usize = 64 << 10;
    /// What a component may have waiting for disks, its ended guests included.
    pub const DISK_JOBS_MAX: usize = 2;

    /// Files that may be granted to a component; each costs some 200 bytes for its two paths.
    pub const FILES_GRANTED_MAX: usize = 4_096;
    /// Bytes of a path that is looked up: Linux's own limit.
    pub const PATH_BYTES_MAX: usize = 4_096;
    /// Files that a component may have open, out of the process's 1024 descriptors.
    pub const FILES_OPEN_MAX: usize = 32;
    /// Sockets that a component may have open; each may hold `SEND_BYTES_MAX` and kernel buffers.
    pub const SOCKETS_MAX: usize = 16;
    /// Names that a component may have looked up at the same time; each occupies a thread.
    pub const LOOKUPS_MAX: usize = 2;
    /// How long a guest waits for a name at most; a resolver tries for 5 s and then another server.
    pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(12);
    /// Addresses of one name that a guest gets.
    pub const LOOKUP_ADDRESSES_MAX: usize = 16;
    /// The longest name that DNS can carry, written with a dot at its end.
    pub const NAME_BYTES_MAX: usize = 254;
    /// How long a connection may take to open. Most guests have a shorter deadline.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Bytes that one write to a connection may have; what the kernel does not take stays with us.
    pub const SEND_BYTES_MAX: usize = 16 << 10;
    /// How long that rest may take before the connection counts as broken, guest or no guest.
    pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);
    /// What a guest may make each of a socket's two buffers in the kernel.
    pub const SOCKET_BUFFER_BYTES_MAX: usize = 64 << 10;
    /// Datagrams in one call.
    pub const DATAGRAMS_PER_CALL_MAX: usize = 16;
    /// Bytes of datagrams received in one call, the last datagram (64 KiB at most) not counted.
    pub const DATAGRAM_BYTES_PER_CALL: usize = 16 << 10;

    const _: () = assert!(FILES_OPEN_MAX + SOCKETS_MAX < super::engine::HOST_RESOURCES_MAX);
}

/// Caps of HTTP for guests.
pub mod http {
    use std::time::Duration;

    /// Requests that wait for one component, if nobody says: each holds its connection and up to 16 KiB of its body. At ten
    /// milliseconds each the last waits for less than a second.
    pub const REQUESTS_WAITING_DEFAULT: u32 = 64;
    /// The most that may be asked for: 64 MiB.
    pub const REQUESTS_WAITING_MAX: u32 = 4_096;
    /// The body of a route that always gives the same answer. It is in the plan, so it counts for the host.
    pub const STATIC_BODY_BYTES_MAX: usize = 64 << 10;
    /// All fields that one resource may hold: what a server takes in a head, twice.
    pub const FIELDS_BYTES_MAX: usize = 32 << 10;
    /// What a field counts beside its name and value, so that empty ones are not free.
    pub const FIELD_OVERHEAD_BYTES: usize = 32;
    /// The fields of an answer that a program prints: what a server takes in a head.
    pub const PROGRAM_HEAD_BYTES_MAX: usize = 16 << 10;
    /// A body for a guest that takes it whole: it is in our memory and then in the guest's.
    pub const WHOLE_BODY_BYTES_MAX: usize = 1 << 20;
    /// How long a guest waits for its own client while others wait for its place.
    pub const CLIENT_PATIENCE: Duration = Duration::from_secs(2);
    /// A request, however fast its bodies move: longer than a gigabyte takes over a slow line.
    pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(3_600);
}

/// Caps of the store.
pub mod store {
    use std::time::Duration;

    /// Of a process with many apps: a database may be open for so much of the board's budget. One takes 100 to 400 KiB,
    /// with its thread.
    pub const OPEN_FILE_SHARE_BYTES: u64 = 2 << 20;
    /// However small the board is.
    pub const OPEN_FILES_MIN: usize = 8;
    /// However large: each has three or four descriptors.
    pub const OPEN_FILES_MAX: usize = 200;

    /// Events whose runs nobody saw the end of; beyond it all of them are forgotten. Each start adds as many as ran
    /// when the process died.
    pub const ATTEMPTS_REMEMBERED_MAX: u32 = 4_096;

    /// What a waiting request is counted in. Each takes one page at least, for what surrounds its bytes.
    pub const QUEUE_PAGE_BYTES: usize = 4 << 10;
    /// Pages that wait for one file's thread, 4 MiB: a few values of the largest size, and more small
    /// ones than all running components ask for. Who comes later waits until there is room.
    pub const QUEUE_PAGES_MAX: u32 = 1_024;
    /// Requests that share one transaction: bounds how long the first of them waits.
    pub const REQUESTS_PER_COMMIT_MAX: usize = 64;
    /// How long a request may wait for company: a quarter of the fsyncs at fifty events a second, and
    /// not felt by anybody who presses a button.
    pub const GATHER_MAX: Duration = Duration::from_millis(20);
    /// SQLite's parser and our statements need little.
    pub const THREAD_STACK_BYTES: usize = 256 << 10;
    /// Pages of 4 KiB that SQLite keeps in memory for each file.
    pub const CACHE_PAGES: i64 = 64;
    /// Pages in the write-ahead log before it is folded back: 1 MiB.
    pub const WAL_PAGES: u32 = 256;
    /// A file of this size is read whole when it is opened, however it was closed: some 50 ms on a
    /// slow card. Larger ones only if they were not closed in order.
    pub const CHECKED_BYTES_MAX: u64 = 1 << 20;
    /// Damaged files that are kept for each file. More mean that the card is failing; it would only fill up.
    pub const DAMAGED_MAX: u32 = 99;
    /// Another program may read the file; a backup holds it this long at most.
    pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
    /// Dead letters kept, if the operator does not say: more than anybody looks through.
    pub const DEAD_LETTERS_MAX: u32 = 1_000;
    /// Their bytes, if the operator does not say: little beside any card, and some hundred messages of the
    /// sizes that sensors send, or dozens of the largest.
    pub const DEAD_LETTER_BYTES_MAX: u64 = 4 << 20;
    /// The most that an operator can ask for: each is an entry of an index, and `min` and `max` are quick.
    pub const DEAD_LETTERS_GRANTED_MAX: u32 = 100_000;
    /// The least bytes that an operator can ask for: one letter of the largest size must fit.
    pub const DEAD_LETTER_BYTES_MIN: u64 = 256 << 10;
    /// What is kept of a message at most: as much as a session accepts, so that it can be tried again. Of
    /// those that were too large to be accepted, their first bytes.
    pub const DEAD_LETTER_PAYLOAD_BYTES_MAX: usize = 64 << 10;
    /// What a letter counts for beside its payload and its texts: its row.
    pub const DEAD_LETTER_ROW_BYTES: usize = 128;
    /// What is kept of a reason: a guest may have said it.
    pub const REASON_BYTES_MAX: usize = 1 << 10;
    /// Letters that are read at once, with and without their payloads: bounds what a listing takes in memory.
    pub const LETTERS_PER_PAGE: u32 = 64;
    /// See [`LETTERS_PER_PAGE`].
    pub const LETTERS_WITH_PAYLOAD_PER_PAGE: u32 = 4;

    const _: () = assert!(DEAD_LETTER_BYTES_MIN <= DEAD_LETTER_BYTES_MAX);
    const _: () = assert!(
        DEAD_LETTER_PAYLOAD_BYTES_MAX
            + DEAD_LETTER_ROW_BYTES
            + REASON_BYTES_MAX
            + super::TOPIC_BYTES_MAX
            < DEAD_LETTER_BYTES_MIN as usize,
        "the largest letter must fit"
    );

    const _: () = assert!(REQUESTS_PER_COMMIT_MAX <= QUEUE_PAGES_MAX as usize);
    const _: () = assert!(
        super::host::VALUE_BYTES_MAX / QUEUE_PAGE_BYTES < QUEUE_PAGES_MAX as usize,
        "the largest value must fit the queue"
    );
}

/// Caps of what the allocator holds for nobody.
pub mod heap {
    use std::time::Duration;

    /// From so much on it is worth giving back. Less is what events take by the way, and would be asked for again at
    /// the next one.
    pub const SPARE_BYTES: usize = 512 << 10;
    /// Whether it is needed shows within this time: longer than the pauses within a burst.
    pub const QUIET: Duration = Duration::from_secs(2);
    /// The largest piece that is looked for: what is free in one piece is not larger, but for what a guest's whole
    /// memory was, and that is found in several.
    pub const PIECE_BYTES_MAX: usize = 64 << 20;
    /// The smallest: it has a whole page of 4 KiB in it, wherever it begins.
    pub const PIECE_BYTES_MIN: usize = 8 << 10;

    const _: () = assert!(PIECE_BYTES_MAX.is_power_of_two() && PIECE_BYTES_MIN.is_power_of_two());
}

pub mod bounds;
pub mod dispatch;
pub mod engine;
pub mod sqlite;
pub mod units;

pub mod outbox;

/// Caps of the status socket.
pub mod status {
    use std::time::Duration;

    /// Components in a snapshot; the board's budget ends sooner.
    pub const COMPONENTS_MAX: usize = 64;
    /// GPIO lines in a snapshot; headers have 40 pins, two of them make a large app.
    pub const LINES_MAX: usize = 64;
    /// Triggers in a snapshot.
    pub const TRIGGERS_MAX: usize = 64;
    /// The whole snapshot: a component's part is under 450 bytes, a trigger's too, a line's under 120.
    pub const JSON_BYTES_MAX: usize = 72 << 10;
    /// A client that does not read its answer is left.
    pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
    /// How long `pirnd status` waits for a runner that may be busy.
    pub const ASK_TIMEOUT: Duration = Duration::from_secs(5);

    const _: () =
        assert!((COMPONENTS_MAX + TRIGGERS_MAX) * 450 + LINES_MAX * 120 + 2_000 < JSON_BYTES_MAX);
}

/// Caps of a process that serves several apps.
pub mod serve {
    /// An app's name: part of a folder's path, of log lines and of a client id.
    pub const NAME_BYTES_MAX: usize = 64;
    /// One part in so many of what the runner does not need itself is for code that is at hand; the rest for instances.
    /// A component takes 60 KiB or so beside its mapped code, and half a millisecond to load again.
    pub const CODE_SHARE: u64 = 4;
    /// Components that are read, checked and copied at the same time, beside the loop: more would only wait for the card
    /// and the processor. Others have their events meanwhile, but for those that wait for code too.
    pub const LOADS_MAX: usize = 2;
    /// Topics of one app, which may share its connection with thousands. A wildcard takes more in one.
    pub const TOPICS_MAX: usize = 64;
}

/// Caps of the control socket.
pub mod control {
    use std::time::Duration;

    /// A request: a verb, a number, two times and a component's name; or an app's name and the path of its folder.
    pub const REQUEST_BYTES_MAX: u64 = 6 << 10;
    /// How long a client waits for what it asked to be done: an app that is stopped for it may take its five seconds,
    /// and another one before it.
    pub const ANSWER_WAIT: Duration = Duration::from_secs(20);
    /// How long a client may take to say what it wants; one that says nothing wants the status.
    pub const REQUEST_WAIT: Duration = Duration::from_millis(250);
    /// Clients at the same time: people and their scripts. More wait for a place.
    pub const CLIENTS_MAX: usize = 4;
    /// After a connection that could not be taken: descriptors have run out, and others give some back.
    pub const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
    /// A sentence about what went wrong.
    pub const ERROR_BYTES_MAX: usize = 1 << 10;
}
