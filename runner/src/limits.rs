//! Every cap of the runner, each with its reason. Caps that an app or a board may choose have their
//! defaults here and their ceilings in the board file.

/// Caps of the engines.
pub mod engine {
    use std::time::Duration;

    /// Address space kept for each linear memory, so that most grow in place. Not resident.
    pub const MEMORY_RESERVATION_BYTES: u64 = 2 << 20;
    /// Room behind a memory that had to move; each move copies.
    pub const MEMORY_RESERVATION_FOR_GROWTH_BYTES: u64 = 1 << 20;
    /// Unmapped bytes behind each memory: lets neighbouring accesses share one bounds check.
    pub const MEMORY_GUARD_BYTES: u64 = 64 << 10;
    /// A guest's own calls. Rust guests keep their data stack in linear memory, so this is deep.
    pub const WASM_STACK_BYTES: usize = 256 << 10;
    /// The whole stack a guest runs on: its calls and ours below them. Touched pages count.
    pub const FIBER_STACK_BYTES: usize = WASM_STACK_BYTES + HOST_STACK_BYTES;
    /// What host functions need at most on top of a guest's stack (debug builds included).
    pub const HOST_STACK_BYTES: usize = 256 << 10;

    /// One slice of a busy guest, and so the longest the loop waits for it.
    pub const EPOCH_TICK: Duration = Duration::from_millis(10);
    /// Ticks without a guest before the ticker sleeps: wakes cost more than a few idle ticks.
    pub const TICKS_BEFORE_SLEEP: u32 = 10;
    /// The ticker calls two functions.
    pub const TICKER_STACK_BYTES: usize = 64 << 10;

    /// Function table entries (8 bytes each); large programs have some ten thousand.
    pub const TABLE_ELEMENTS_MAX: usize = 100_000;
    /// Core instances of one component: program, adapter, shim, fixup, composed parts.
    pub const CORE_INSTANCES_MAX: usize = 64;
    /// Tables of one component.
    pub const TABLES_MAX: usize = 64;
    /// Linear memories of one component: one per composed part.
    pub const MEMORIES_MAX: usize = 16;
    /// Bytes that one host call may copy out of a guest (wasmtime's default is 128 MiB).
    pub const HOST_CALL_BYTES_MAX: usize = 2 << 20;
    /// Resource handles in one instance (wasmtime's default is 100 000).
    pub const HANDLES_MAX: usize = 1_000;
    /// Host objects behind those handles.
    pub const HOST_RESOURCES_MAX: usize = 256;
    /// Frames kept of a trap's backtrace.
    pub const BACKTRACE_FRAMES_MAX: usize = 12;

    const _: () = assert!(HOST_RESOURCES_MAX <= HANDLES_MAX);
    const _: () = assert!(FIBER_STACK_BYTES > WASM_STACK_BYTES);
}

/// Caps of what one invocation may ask of the host.
pub mod host {
    /// Messages that one invocation may publish.
    pub const PUBLISHES_PER_EVENT_MAX: usize = 256;
    /// Connections to other brokers that an app may hold.
    pub const BROKER_SESSIONS_MAX: usize = 4;
    /// A key of the key-value store.
    pub const KEY_BYTES_MAX: usize = 256;
    /// A value of the key-value store.
    pub const VALUE_BYTES_MAX: usize = 1 << 20;
    /// Keys in one store: `get-keys` returns them all at once.
    pub const KEYS_PER_STORE_MAX: u32 = 1_024;
    /// All values of one store together.
    pub const STORE_BYTES_MAX: u64 = 64 << 20;
    /// One log line; the rest of a longer one is cut and marked.
    pub const LOG_LINE_BYTES_MAX: usize = 1_024;
    /// Log lines of one component in a second; further ones are counted and dropped.
    pub const LOG_LINES_PER_SECOND_MAX: u32 = 50;
    /// The sentence a guest gives with a refusal.
    pub const REFUSAL_BYTES_MAX: usize = 512;
}

/// Caps of the store.
pub mod store {
    use std::time::Duration;

    /// Requests that may wait for the store's thread: a few for each running component.
    pub const REQUESTS_MAX: usize = 256;
    /// Requests that share one transaction: bounds how long the first of them waits.
    pub const REQUESTS_PER_COMMIT_MAX: usize = 64;
    /// SQLite's parser and our statements need little.
    pub const THREAD_STACK_BYTES: usize = 256 << 10;
    /// Pages of 4 KiB that SQLite keeps in memory for each file.
    pub const CACHE_PAGES: i64 = 64;
    /// Pages in the write-ahead log before it is folded back: 1 MiB.
    pub const WAL_PAGES: i64 = 256;
    /// Another program may read the file; a backup holds it this long at most.
    pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
    /// Dead letters kept; older ones give way, newest first is what an operator asks for.
    pub const DEAD_LETTERS_MAX: u32 = 1_000;

    const _: () = assert!(REQUESTS_PER_COMMIT_MAX <= REQUESTS_MAX);
}
