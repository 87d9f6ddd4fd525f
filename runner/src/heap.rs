//! The board's allocator: dlmalloc, and a way to give back to the kernel what it holds for nobody. By itself it
//! gives back only what is at the end of its memory, where something small always stays after a burst.
//!
//! In a program that does not choose [`Heap`], everything here finds nothing to do.
#![allow(unsafe_code, reason = "an allocator deals in addresses; each block says why it may")]

use std::alloc::{GlobalAlloc, Layout};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::{Allocator, Dlmalloc};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::limits::heap as limits;

/// The allocator, for `#[global_allocator]`.
pub struct Heap;

static ARENA: Mutex<Arena> = Mutex::new(Arena::new());

fn arena() -> MutexGuard<'static, Arena> {
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to watch what is needed.
pub fn watch() {
    arena().tide.watch();
}

/// Whether more was needed since [`watch`] than is needed now, by so much that it is worth giving back.
pub fn has_spare() -> bool {
    arena().tide.has_spare()
}

/// Gives back to the kernel what is held for nobody; it comes again, empty, when it is needed. Takes some
/// milliseconds after a burst.
pub fn give_back() {
    let Some(page) = page_bytes() else { return };
    arena().give_back(page);
}

fn page_bytes() -> Option<usize> {
    // SAFETY: reads a number.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two())
}

/// Hands the room of a queue that is empty to the allocator: what one app keeps for its next event, thousands keep.
pub(crate) fn keep_nothing<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
}

// SAFETY: dlmalloc keeps this contract, behind a lock that is taken for each call. Nothing in here allocates.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        unsafe { arena().alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { arena().dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let mut arena = arena();
        // SAFETY: as the caller's.
        let place = unsafe { arena.memory.calloc(layout.size(), layout.align()) };
        arena.tide.rise(place, layout.size())
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let mut arena = arena();
        // SAFETY: as the caller's.
        let moved = unsafe { arena.memory.realloc(place, layout.size(), layout.align(), bytes) };
        if !moved.is_null() {
            arena.tide.fall(layout.size());
        }
        arena.tide.rise(moved, bytes)
    }
}

/// What is in use, and the most that was since somebody began to watch.
#[derive(Debug, Default)]
struct Tide {
    used: usize,
    highest: usize,
}

impl Tide {
    fn rise(&mut self, place: *mut u8, bytes: usize) -> *mut u8 {
        if !place.is_null() {
            self.used += bytes;
            self.highest = self.highest.max(self.used);
        }
        place
    }

    fn fall(&mut self, bytes: usize) {
        self.used -= bytes;
    }

    fn watch(&mut self) {
        self.highest = self.used;
    }

    fn has_spare(&self) -> bool {
        self.highest - self.used >= limits::SPARE_BYTES
    }
}

/// One allocator with what is known of it.
struct Arena {
    memory: Dlmalloc<Pages>,
    tide: Tide,
}

impl Arena {
    const fn new() -> Self {
        let memory = Dlmalloc::new_with_allocator(Pages { grows: true });
        Self { memory, tide: Tide { used: 0, highest: 0 } }
    }

    unsafe fn alloc(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        let place = unsafe { self.memory.malloc(layout.size(), layout.align()) };
        self.tide.rise(place, layout.size())
    }

    unsafe fn dealloc(&mut self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { self.memory.free(place, layout.size(), layout.align()) }
        self.tide.fall(layout.size());
    }

    /// While it may not grow, whatever it still hands out was free: that is borrowed piece by piece, largest first,
    /// its pages are given back, and then the pieces.
    fn give_back(&mut self, page: usize) {
        // SAFETY: nothing is asked of it but to look at what is free, and the arena is ours alone.
        unsafe { self.memory.trim(0) };
        self.memory.allocator_mut().grows = false;
        let mut borrowed: Option<NonNull<Piece>> = None;
        let mut bytes = limits::PIECE_BYTES_MAX;
        while bytes >= limits::PIECE_BYTES_MIN {
            // SAFETY: any size may be asked for.
            let place = unsafe { self.memory.c_malloc(bytes) };
            let Some(piece) = NonNull::new(place.cast::<Piece>()) else {
                bytes /= 2;
                continue;
            };
            // SAFETY: the piece is ours, larger than this and aligned for two words, as dlmalloc promises.
            unsafe { piece.write(Piece { next: borrowed }) };
            forget_pages(place, size_of::<Piece>()..bytes, page);
            borrowed = Some(piece);
        }
        while let Some(piece) = borrowed {
            // SAFETY: written above, in memory that was borrowed above and is returned once.
            unsafe {
                borrowed = piece.read().next;
                self.memory.c_free(piece.cast().as_ptr());
            }
        }
        self.memory.allocator_mut().grows = true;
        self.tide.watch();
    }
}

/// The beginning of a piece of free memory, while it is borrowed.
struct Piece {
    next: Option<NonNull<Piece>>,
}

/// Tells the kernel that the whole pages within this part of a piece are not needed.
fn forget_pages(piece: *mut u8, part: Range<usize>, page: usize) {
    let from = (piece.addr() + part.start).next_multiple_of(page);
    let to = (piece.addr() + part.end) / page * page;
    if from < to {
        let start = piece.with_addr(from).cast::<c_void>();
        // SAFETY: within a piece that is borrowed from the arena and that nobody reads: it may become zeros. If the
        // kernel refuses, it stays as it is.
        let _ = unsafe { madvise(start, to - from, Advice::LinuxDontNeed) };
    }
}

/// Memory from the kernel.
struct Pages {
    /// Off while it is looked through what is free.
    grows: bool,
}

// SAFETY: each region is a mapping of its own, made and ended by the kernel.
unsafe impl Allocator for Pages {
    fn alloc(&self, bytes: usize) -> (*mut u8, usize, u32) {
        if !self.grows {
            return (null_mut(), 0, 0);
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, where the kernel has room.
        match unsafe { mmap_anonymous(null_mut(), bytes, protection, MapFlags::PRIVATE) } {
            Ok(place) => (place.cast(), bytes, 0),
            Err(_) => (null_mut(), 0, 0),
        }
    }

    /// Asked only for regions that are one allocation, which dlmalloc does not make.
    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        null_mut()
    }

    fn free_part(&self, place: *mut u8, before: usize, after: usize) -> bool {
        // SAFETY: dlmalloc does not use what is behind `after` any more, and that is within its mapping.
        unsafe { munmap(place.add(after).cast(), before - after) }.is_ok()
    }

    fn free(&self, place: *mut u8, bytes: usize) -> bool {
        // SAFETY: dlmalloc does not use the region any more.
        unsafe { munmap(place.cast(), bytes) }.is_ok()
    }

    fn can_release_part(&self, _: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    /// Asked only for the same.
    fn page_size(&self) -> usize {
        4 << 10
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SMALL: Layout = Layout::new::<[u64; 24]>();

    fn filled(arena: &mut Arena, count: usize) -> Vec<*mut u8> {
        let one = |_| {
            // SAFETY: of a size that is not zero, and as large as is written.
            unsafe {
                let place = arena.alloc(SMALL);
                place.write_bytes(7, SMALL.size());
                place
            }
        };
        (0..count).map(one).collect()
    }

    /// Of the pages that these places are on, how many the kernel holds for us.
    fn resident(places: &[*mut u8]) -> usize {
        let page = page_bytes().unwrap();
        let mut pages: Vec<usize> = places.iter().map(|place| place.addr() / page).collect();
        pages.sort_unstable();
        pages.dedup();
        let map = std::fs::File::open("/proc/self/pagemap").unwrap();
        let held = |number: &&usize| {
            let mut entry = [0; 8];
            std::os::unix::fs::FileExt::read_exact_at(&map, &mut entry, **number as u64 * 8)
                .unwrap();
            u64::from_le_bytes(entry) >> 63 == 1
        };
        pages.iter().filter(held).count()
    }

    #[test]
    fn what_lies_between_used_places_is_given_back_and_those_keep_what_they_hold() {
        let mut arena = Arena::new();
        let places = filled(&mut arena, 40_000);
        let before = resident(&places);
        let (kept, gone): (Vec<_>, Vec<_>) =
            places.iter().enumerate().partition(|(n, _)| n % 10_000 == 9_999);
        for (_, place) in gone {
            // SAFETY: allocated above with this layout, freed once.
            unsafe { arena.dealloc(*place, SMALL) };
        }
        arena.give_back(page_bytes().unwrap());
        let after = resident(&places);
        assert!(before > 1_800 && after < 200, "{before} pages before, {after} after");
        for (_, place) in kept {
            // SAFETY: still allocated.
            let bytes = unsafe { std::slice::from_raw_parts(*place, SMALL.size()) };
            assert!(bytes.iter().all(|byte| *byte == 7));
        }
        // And it goes on.
        let again = filled(&mut arena, 40_000);
        assert!(again.iter().all(|place| !place.is_null()));
    }

    #[test]
    fn what_was_needed_only_for_a_while_is_spare() {
        let mut tide = Tide::default();
        let place = NonNull::<u8>::dangling().as_ptr();
        tide.rise(place, limits::SPARE_BYTES);
        assert!(!tide.has_spare(), "all of it is in use");
        tide.fall(limits::SPARE_BYTES);
        assert!(tide.has_spare());
        tide.watch();
        assert!(!tide.has_spare(), "that was before");
    }

    #[test]
    fn a_queue_that_is_empty_after_a_burst_keeps_nothing() {
        let mut queue: VecDeque<u64> = (0..10_000).collect();
        queue.drain(1..);
        keep_nothing(&mut queue);
        assert!(queue.capacity() >= 10_000, "it is not over");
        queue.pop_front();
        keep_nothing(&mut queue);
        assert_eq!(queue.capacity(), 0);
    }

    #[test]
    fn what_was_not_to_be_had_is_not_in_use() {
        let mut tide = Tide::default();
        tide.rise(null_mut(), usize::MAX);
        assert_eq!((tide.used, tide.highest), (0, 0));
    }
}
