//! Caps of guests' databases. What is said of one statement holds for the hand that runs it; what is said of the
//! process holds for all apps in it.

use std::time::Duration;

/// A database's file, if neither the board nor the component says otherwise: as much as its key-values may be.
pub const DATABASE_BYTES_DEFAULT: u64 = 16 << 20;
/// The most that a component may ask for, if the board does not say: cards are larger, but a backup of more is no fun.
pub const DATABASE_BYTES_MAX: u64 = 256 << 20;
/// The least: SQLite's own tables and one table of the guest's take some pages.
pub const DATABASE_BYTES_MIN: u64 = 64 << 10;
/// A page of a new database: what cards and kernels write at once.
pub const PAGE_BYTES: i64 = 4 << 10;

/// Threads of the process that do what guests ask of databases. They are there while there is something to do: a
/// statement may take seconds, and those of other apps shall not wait for it.
pub const THREADS_MAX: usize = 8;
/// Of these, what the guests of one app may occupy.
pub const THREADS_PER_APP_MAX: usize = 3;
/// SQLite's parser and its expressions recurse, but no deeper than [`EXPRESSION_DEPTH_MAX`]; in debug builds that
/// takes 150 KiB.
pub const THREAD_STACK_BYTES: usize = 512 << 10;
/// How long a thread without work stays, and how long a database that nobody uses stays open: an event a second
/// opens nothing.
pub const LINGER: Duration = Duration::from_secs(5);

/// Connections of the process, those included that wait to be used again.
pub const CONNECTIONS_MAX: usize = 32;
/// Of these, what the guests of one component may have.
pub const CONNECTIONS_PER_COMPONENT_MAX: usize = 8;
/// Connections to one database that are kept open when nobody uses them.
pub const IDLE_CONNECTIONS_MAX: usize = 2;
/// How long somebody waits for a connection when all are in use.
pub const OPEN_WAIT: Duration = Duration::from_secs(5);
/// How long a statement waits for somebody else's transaction to end.
pub const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How often it looks, if nobody tells it: the other one may be another program.
pub const BUSY_LOOK: Duration = Duration::from_millis(20);

/// What SQLite may take for one connection: its cache, its statements, what it sorts, temporary tables.
pub const CONNECTION_MEMORY_BYTES: usize = 4 << 20;
/// The same of all connections together.
pub const MEMORY_BYTES: usize = 16 << 20;
/// Pages in memory for each connection, in KiB, as SQLite wants it.
pub const CACHE_KIB: i64 = 256;
/// Temporary tables are in memory, in pages: half of what a connection may take.
pub const TEMPORARY_PAGES: i64 = CONNECTION_MEMORY_BYTES as i64 / 2 / PAGE_BYTES;
/// Compiled statements that a connection keeps.
pub const STATEMENTS_KEPT: usize = 8;
/// Pages in the write-ahead log before it is folded back: 1 MiB.
pub const WAL_PAGES: i64 = 256;

/// One statement. The guest's deadline ends it sooner, if that is shorter.
pub const STATEMENT_TIME: Duration = Duration::from_secs(10);
/// Steps of SQLite's machine between two looks at the clock: about 50 µs on a Pi Zero.
pub const STEPS_PER_LOOK: i32 = 500;
/// The text of a statement.
pub const STATEMENT_BYTES_MAX: usize = 64 << 10;
/// A string, a blob, a row.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Columns of a table, a result, an index.
pub const COLUMNS_MAX: usize = 256;
/// How deep an expression may be: it is walked recursively.
pub const EXPRESSION_DEPTH_MAX: usize = 100;
/// `UNION`s of one statement; they recurse too.
pub const COMPOUNDS_MAX: usize = 50;
/// Steps that a statement may be compiled to.
pub const PROGRAM_STEPS_MAX: usize = 25_000;
/// Parameters of a statement: a few hundred rows in one `INSERT`.
pub const PARAMETERS_MAX: usize = 4_096;
/// A pattern of `LIKE` or `GLOB`: each wildcard is one level of recursion.
pub const PATTERN_BYTES_MAX: usize = 256;
/// Triggers that fire triggers.
pub const TRIGGER_DEPTH_MAX: usize = 32;

/// All rows of one answer, with what each row and each value takes beside its bytes.
pub const RESULT_BYTES_MAX: usize = 2 << 20;
/// What a row takes here.
pub const ROW_BYTES: usize = 48;
/// What a value takes here, beside the bytes of a string or a blob.
pub const CELL_BYTES: usize = 32;

const _: () = assert!(THREADS_PER_APP_MAX < THREADS_MAX, "no app may occupy all threads");
const _: () = assert!(CONNECTIONS_PER_COMPONENT_MAX < CONNECTIONS_MAX);
const _: () = assert!(VALUE_BYTES_MAX < RESULT_BYTES_MAX, "the largest value must fit an answer");
const _: () = assert!(CONNECTION_MEMORY_BYTES < MEMORY_BYTES);
const _: () = assert!(DATABASE_BYTES_MIN <= DATABASE_BYTES_DEFAULT);
