//! How much memory SQLite may take for guests. Its own limit is for the process, and would fail the runner's key-values
//! for what a guest does; so what a guest's connection takes is counted here, where SQLite asks for memory, and what is
//! too much is not given: the statement fails, and nothing else.
//!
//! Whoever works for a connection opens its [`Tab`] first. All that a connection takes is taken and given back under
//! its tab, so the tab's balance is what it holds.
#![allow(unsafe_code, reason = "SQLite's allocator is C; each block says why it may")]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rusqlite::ffi;

use crate::limits::sqlite as limits;

/// SQLite's own allocator, which ours asks.
static BEHIND: OnceLock<Behind> = OnceLock::new();

/// What all connections of guests hold.
static HELD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The balance of the tab that is open in this thread; none is open if there is none.
    static BALANCE: Cell<Option<usize>> = const { Cell::new(None) };
}

struct Behind(ffi::sqlite3_mem_methods);

// SAFETY: functions and a pointer that SQLite's own allocator does not use; SQLite calls them from any thread.
unsafe impl Send for Behind {}
// SAFETY: as above.
unsafe impl Sync for Behind {}

/// An open tab of one connection, in this thread. Its balance is kept by whoever owns the connection.
pub(super) struct Tab<'a> {
    balance: &'a mut usize,
    /// It is this thread's.
    _here: PhantomData<*const ()>,
}

impl<'a> Tab<'a> {
    /// Opens it.
    pub(super) fn open(balance: &'a mut usize) -> Self {
        BALANCE.set(Some(*balance));
        Self { balance, _here: PhantomData }
    }
}

impl Drop for Tab<'_> {
    fn drop(&mut self) {
        *self.balance = BALANCE.take().unwrap_or(0);
    }
}

/// What a closed connection's tab still says is not held: shared things that it happened to make first.
pub(super) fn settle(balance: usize) {
    let _ = HELD.fetch_update(Relaxed, Relaxed, |held| Some(held.saturating_sub(balance)));
}

/// Puts the counting in SQLite's way; before anything of SQLite is used, else it is refused, and nothing is counted.
pub(crate) fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let mut methods = ffi::sqlite3_mem_methods {
            xMalloc: None,
            xFree: None,
            xRealloc: None,
            xSize: None,
            xRoundup: None,
            xInit: None,
            xShutdown: None,
            pAppData: null_mut(),
        };
        // SAFETY: fills the struct that it is given.
        let got = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_GETMALLOC, &raw mut methods) };
        if got != ffi::SQLITE_OK || BEHIND.set(Behind(methods)).is_err() {
            return;
        }
        methods.xMalloc = Some(malloc);
        methods.xFree = Some(free);
        methods.xRealloc = Some(realloc);
        // SAFETY: copies the struct, whose functions keep SQLite's contract as those behind them do.
        unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods) };
    });
}

/// Counts so many bytes as taken, if they may be.
fn take(bytes: usize) -> bool {
    let Some(balance) = BALANCE.get() else { return true };
    let now = balance.saturating_add(bytes);
    let all = HELD.load(Relaxed).saturating_add(bytes);
    if now > limits::CONNECTION_MEMORY_BYTES || all > limits::MEMORY_BYTES {
        return false;
    }
    BALANCE.set(Some(now));
    HELD.fetch_add(bytes, Relaxed);
    true
}

fn give_back(bytes: usize) {
    let Some(balance) = BALANCE.get() else { return };
    // What was taken before there was a tab is given back under none.
    let bytes = bytes.min(balance);
    BALANCE.set(Some(balance - bytes));
    settle(bytes);
}

fn size(memory: *mut c_void) -> usize {
    let behind = BEHIND.get().and_then(|behind| behind.0.xSize);
    // SAFETY: SQLite hands in what the allocator behind gave it.
    behind.map_or(0, |size| usize::try_from(unsafe { size(memory) }).unwrap_or(0))
}

unsafe extern "C" fn malloc(bytes: c_int) -> *mut c_void {
    let Some(behind) = BEHIND.get().and_then(|behind| behind.0.xMalloc) else { return null_mut() };
    let asked = usize::try_from(bytes).unwrap_or(0);
    if !take(asked) {
        return null_mut();
    }
    // SAFETY: as it was called.
    let memory = unsafe { behind(bytes) };
    if memory.is_null() {
        give_back(asked);
    }
    memory
}

unsafe extern "C" fn free(memory: *mut c_void) {
    let Some(behind) = BEHIND.get().and_then(|behind| behind.0.xFree) else { return };
    give_back(size(memory));
    // SAFETY: as it was called.
    unsafe { behind(memory) };
}

unsafe extern "C" fn realloc(memory: *mut c_void, bytes: c_int) -> *mut c_void {
    let Some(behind) = BEHIND.get().and_then(|behind| behind.0.xRealloc) else { return null_mut() };
    let (old, new) = (size(memory), usize::try_from(bytes).unwrap_or(0));
    if !take(new.saturating_sub(old)) {
        return null_mut();
    }
    // SAFETY: as it was called.
    let moved = unsafe { behind(memory, bytes) };
    match moved.is_null() {
        true => give_back(new.saturating_sub(old)),
        false => give_back(old.saturating_sub(new)),
    }
    moved
}
