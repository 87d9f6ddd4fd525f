//! Caps of the engines.

use std::time::Duration;

/// Address space kept for each linear memory of machine code: all that an address of a guest can reach, so that
/// no access needs a check; that takes a seventh of the time (geometric mean of four kernels 2.13 → 1.83 times
/// native Rust; 1.47 if busy guests need not yield either). Not resident. Artifacts depend on it.
pub const MEMORY_RESERVATION_NATIVE_BYTES: u64 = 4 << 30;
/// The same of bytecode on 64-bit boards, which checks by itself; so that all grow in place: the most that any
/// board grants.
pub const MEMORY_RESERVATION_BYTES: u64 = 128 << 20;
/// The same on 32-bit boards, where address space is dear.
pub const MEMORY_RESERVATION_32_BIT_BYTES: u64 = 2 << 20;
/// Room behind a memory that had to move; each move copies.
pub const MEMORY_RESERVATION_FOR_GROWTH_BYTES: u64 = 1 << 20;
/// Unmapped bytes behind each memory of machine code: what an instruction may add to an address without a check.
/// Compilers add where a guest's constants are, which is somewhere in its first megabytes.
pub const MEMORY_GUARD_NATIVE_BYTES: u64 = 32 << 20;
/// The same of bytecode: lets neighbouring accesses share one bounds check.
pub const MEMORY_GUARD_BYTES: u64 = 64 << 10;
/// Address space for the memories of all places together: three quarters of what kernels of 64 bits give (39 bits
/// on most Pis). On boards of more than 23 instances not every one of them can have [`MEMORIES_MAX`].
pub const POOL_ADDRESSES_BYTES: u64 = 384 << 30;
/// The whole stack a guest runs on, its calls and ours below them, if no board says otherwise. Touched pages
/// count.
pub const FIBER_STACK_BYTES: usize = 512 << 10;
/// The least that a board may give: our part of it is half, and host functions need 100 KiB.
pub const STACK_BYTES_MIN: u64 = 256 << 10;
/// A guest's own calls: half of its stack. Rust guests keep their data stack in linear memory, so this is deep.
/// The other half is for host functions, which need less (in debug builds: 256 KiB at most).
pub const fn wasm_stack_bytes(stack_bytes: usize) -> usize {
    stack_bytes / 2
}

/// One slice of a guest, and so the longest that anything waits for it which is no event of a descriptor:
/// timers, which are no finer than this. An event that needs less never waits for one that needs more.
pub const SLICE: Duration = Duration::from_millis(1);
/// How often the ticker looks whether a guest still runs that is not known to be busy: twice a slice.
pub const LOOK: Duration = Duration::from_micros(500);
/// Looks without a new event before the ticker sleeps: to wake it costs as much as a few looks.
pub const LOOKS_BEFORE_SLEEP: u32 = 2;
/// How often an interpreted guest, which nobody can interrupt, looks whether others wait: that is one call of the
/// kernel, a third of a percent of this.
pub const INTERPRETED_LOOK: Duration = Duration::from_micros(100);
/// Busy guests get one slice in this time, all together, however much else there is to do: a twentieth.
pub const SHARE_WINDOW: Duration = Duration::from_millis(20);
/// Tasks that run before the loop looks at sockets and timers, if it has so many: each may be a guest's
/// first slice.
pub const EVENT_INTERVAL: u32 = 3;
/// The ticker calls two functions.
pub const TICKER_STACK_BYTES: usize = 64 << 10;

/// Function table entries of all tables of an instance; large programs have some ten thousand. Each instance's
/// part of the budget has room for them.
pub const TABLE_ELEMENTS_MAX: usize = 32_768;
/// A table entry, on the engine where it takes most.
pub const TABLE_ELEMENT_BYTES: usize = 8;
/// Core instances of one component: program, adapter, shim and fixup of each of [`MEMORIES_MAX`] composed parts, and as
/// many for what joins them. What they take is counted by their memories and tables.
pub const CORE_INSTANCES_MAX: usize = 8 * MEMORIES_MAX;
/// Tables of one component: a part's own, and one for its shim.
pub const TABLES_MAX: usize = 2 * MEMORIES_MAX;
/// Linear memories of one component: one per composed part. All of an instance's together have its budget, so this only
/// bounds how many places for memories there are.
pub const MEMORIES_MAX: usize = 16;
/// Of a place's linear memory, what is zeroed by hand and kept instead of being given back to the
/// kernel and faulted in again: cheaper up to about this much. Counts for each place.
pub const KEPT_MEMORY_BYTES: usize = 64 << 10;
/// The same of its tables.
pub const KEPT_TABLE_BYTES: usize = 4 << 10;
/// The same of its stack; not zeroed, since guests cannot read it.
pub const KEPT_STACK_BYTES: usize = 32 << 10;
/// Bytes that one host call may copy out of a guest (wasmtime's default is 128 MiB).
pub const HOST_CALL_BYTES_MAX: usize = 2 << 20;
/// Resource handles in one instance (wasmtime's default is 100 000).
pub const HANDLES_MAX: usize = 1_000;
/// Host objects behind those handles.
pub const HOST_RESOURCES_MAX: usize = 256;
/// Calls that an interpreted component may have under way at once (Spin 4's `async` imports): each is a
/// future of a few hundred bytes, and all are polled together.
pub const CALLS_UNDERWAY_MAX: usize = HOST_RESOURCES_MAX;
/// Calls of the components of an interpreted component at once, those that have answered and go on among them. Each that
/// waits where it stands keeps an interpreter's stack, a few KiB of it in use.
pub const TASKS_MAX: usize = 128;
/// What a stream of bytes between a guest and the host holds while the one waits for the other: a piece that is worth a
/// turn of each, and no more, since an instance may have some of them.
pub const PIPE_BYTES: usize = 16 << 10;
/// The same of other values.
pub const PIPE_ITEMS: usize = 32;
/// What an instance may take beside its linear memory and its stack: its tables, its handles with the
/// objects behind them, and 64 KiB of the engine's own (measured 20 to 60).
pub const INSTANCE_BYTES: usize = TABLE_ELEMENTS_MAX * TABLE_ELEMENT_BYTES
    + HANDLES_MAX * 16
    + HOST_RESOURCES_MAX * 256
    + (64 << 10);
/// What a component takes beside its code: its types, names and linker. Measured 8 to 14 KiB for one that imports
/// much; of interpreted ones it is among [`INTERPRETED_BYTES_PER_BYTE`].
pub const COMPONENT_BYTES: u64 = 16 << 10;
/// Of a compiled component's artifact one byte in so many is in memory of our own while it is loaded: where its
/// functions are, of which type. Measured: 67 KiB for 352 KiB. The code itself is mapped from its file.
pub const ARTIFACT_BYTES_PER_BYTE: u64 = 7;
/// Frames kept of a trap's backtrace.
pub const BACKTRACE_FRAMES_MAX: usize = 12;

/// Operations of an interpreted guest before it looks whether its slice is over: some 0.6 ms on an ARMv6
/// board, 0.1 ms on a desk. To stop and go on costs about a hundred.
pub const FUEL_SLICE: u64 = 20_000;
/// What an interpreted guest's `realloc` may use for all values that pass at once, in operations: allocators
/// that collect garbage need this much. Nobody else has a turn meanwhile.
pub const PASSAGE_FUEL: u64 = 200_000;
/// How much an interpreted guest copies or grows for one unit of fuel: memory moves this fast even
/// on the smallest boards.
pub const BYTES_COPIED_PER_FUEL: u32 = 64;
/// What a frame of a guest takes of its stack, roughly, when it is compiled: interpreted, calls nest
/// as deep. Rust guests, whose frames on the data stack are seldom above 512 bytes, then run out of
/// this before they run out of their megabyte there, which would end them with less fitting words.
pub const WASM_FRAME_BYTES: usize = 128;
/// Interpreter stacks kept for the next call, a few KiB each: one for each nested component.
pub const INTERPRETER_STACKS_KEPT: usize = 8;
/// Interpreted components that are loaded one after the other share an engine up to so many bytes of them. Alone each
/// would take 20 to 40 KiB more; all together would never give back the code of those that are gone. So one that
/// stays keeps the code of so many at most.
pub const INTERPRETED_TOGETHER_BYTES_MAX: usize = 128 << 10;
/// How long a guest waits before what it does not use of its memory is looked for: a database on a slow card has
/// answered by then.
pub const WAIT_IN_FULL: Duration = Duration::from_millis(100);
/// Of a waiting guest's memory, what is looked through before others may have a turn: 0.2 ms or so on an ARMv6
/// board.
pub const LOOKED_THROUGH_BYTES: usize = 128 << 10;
/// What a byte of an interpreted component takes in memory at most: a copy of its code and what that
/// is translated to when it is called. Measured after one event: 1.5 (266 KiB) to 4 (6 KiB).
pub const INTERPRETED_BYTES_PER_BYTE: u64 = 4;
/// Digests of interpreted components that were found valid, 64 letters each: as many as a board could have apps. Beyond
/// it they are checked again when they are loaded again.
pub const CHECKED_DIGESTS_MAX: usize = 1_024;
/// Definitions of an interpreted component, counted each time one is instantiated: the largest
/// we know (a Python runtime) has some four thousand.
pub const DEFINITIONS_MAX: usize = 100_000;
/// Components within a component, each counted as often as it is instantiated: every exported interface of a part is one.
/// A table of handles each, empty at first.
pub const COMPONENT_INSTANCES_MAX: usize = 256;
/// A value of a component's type, without what its strings and lists hold.
pub const TYPE_BYTES_MAX: u32 = 64 << 10;
/// Types within types: bounds our recursion over values.
pub const TYPE_DEPTH_MAX: u32 = 64;
/// Types that one type is made of, each counted as often as it occurs: a type that names another twice
/// doubles with each level, and comparing or printing it takes so long. A large record has some hundred.
pub const TYPE_NODES_MAX: u32 = 20_000;
/// Interfaces within interfaces of an interpreted component, and components around them: no language's tools make more
/// than two or three. The validator ends the whole program at 127, of which types of values may be 101.
pub const INSTANCE_DEPTH_MAX: u32 = 20;
/// Calls under way in an interpreted component, each on top of the one before: of the components in it,
/// which cannot be entered twice, and of destructors, which can. Each takes some KiB of our own stack.
pub const CALLS_NESTED_MAX: usize = 80;
/// What an interpreted guest's `realloc` may use for each call, beyond [`PASSAGE_FUEL`]: allocators take some hundred operations.
pub const REALLOC_FUEL: u64 = 500;

const _: () = assert!(HOST_RESOURCES_MAX <= HANDLES_MAX);
// As many places as there may be instances, at least.
const _: () = assert!(
    super::INSTANCES_MAX as u64 * (MEMORY_RESERVATION_NATIVE_BYTES + MEMORY_GUARD_NATIVE_BYTES)
        <= POOL_ADDRESSES_BYTES
);
const _: () = assert!(FIBER_STACK_BYTES as u64 >= STACK_BYTES_MIN);
const _: () =
    assert!(LOOK.as_nanos() < SLICE.as_nanos() && SLICE.as_nanos() < SHARE_WINDOW.as_nanos());
const _: () = assert!(SLICE.as_nanos() < 1_000_000_000);
