//! What Rust's standard library would bring along for a component: an allocator, the function by
//! which the host asks for room in this memory, and an end for panics.
//!
//! The allocator gives and never takes back. pirn, like Spin, runs one instance for one message and
//! then drops it with all its memory, so that freeing would only cost time.

use alloc::alloc::{Layout, alloc, realloc};
use core::alloc::GlobalAlloc;
use core::arch::wasm32;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PAGE_BYTES: usize = 64 * 1024;

struct Bump {
    /// The first free address; below `__heap_base` until the first use.
    next: AtomicUsize,
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { next: AtomicUsize::new(0) };

unsafe extern "C" {
    /// The linker's name for the end of stack and data.
    static __heap_base: u8;
}

// SAFETY: ranges start at `__heap_base` or at the end of the one before, and lie below the end of
// the memory, which is grown if need be. There is one thread.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let free = self.next.load(Relaxed).max((&raw const __heap_base).addr());
        let range = free
            .checked_next_multiple_of(layout.align())
            .and_then(|start| Some((start, start.checked_add(layout.size())?)));
        match range {
            Some((start, end)) if memory_reaches(end) => {
                self.next.store(end, Relaxed);
                core::ptr::with_exposed_provenance_mut(start)
            }
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// Makes the memory reach up to `end`, if it can.
fn memory_reaches(end: usize) -> bool {
    let pages_wanted = end.div_ceil(PAGE_BYTES);
    let pages = wasm32::memory_size::<0>();
    pages_wanted <= pages || wasm32::memory_grow::<0>(pages_wanted - pages) != usize::MAX
}

/// Room for bytes that the host hands over (component model, canonical ABI, `realloc`).
///
/// # Safety
/// Called by the host alone, which passes either nothing or what an earlier call returned.
#[unsafe(export_name = "cabi_realloc")]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_bytes: usize,
    align: usize,
    new_bytes: usize,
) -> *mut u8 {
    if new_bytes == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    // SAFETY: the canonical ABI passes a power of two as `align`, and sizes that fit this memory.
    let room = unsafe {
        if old_bytes == 0 {
            alloc(Layout::from_size_align_unchecked(new_bytes, align))
        } else {
            realloc(old, Layout::from_size_align_unchecked(old_bytes, align), new_bytes)
        }
    };
    if room.is_null() {
        wasm32::unreachable();
    }
    room
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    wasm32::unreachable()
}
