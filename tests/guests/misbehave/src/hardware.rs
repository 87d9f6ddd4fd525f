//! Misuse of what the engine gives: time, memory, stack.

use core::arch::wasm32;
use std::hint::black_box;

/// Much less than any board grants, so that the last step before the end is a small one.
const BITE_BYTES: usize = 64 * 1024;

pub fn spin_for_ever() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

/// Every bite is written to: memory that was only promised would cost nobody anything.
pub fn eat_memory() -> ! {
    loop {
        let bite = vec![0xa5_u8; BITE_BYTES];
        std::mem::forget(black_box(bite));
    }
}

pub fn grow_memory_until_refused() -> usize {
    while wasm32::memory_grow::<0>(1) != usize::MAX {}
    wasm32::memory_size::<0>()
}

/// The array keeps the compiler from turning this into a loop.
#[inline(never)]
#[expect(unconditional_recursion, reason = "that is the point")]
pub fn call_itself(depth: u64) -> u64 {
    let here = black_box([depth; 16]);
    call_itself(depth + 1).wrapping_add(here[15])
}

/// The name is what a test looks for in the report of the trap.
#[inline(never)]
pub fn the_guest_trips_over_its_own_feet() -> ! {
    wasm32::unreachable()
}

/// Kept in a ring, so that they are of every age when they are freed.
pub fn allocate_small_pieces(count: u64) -> u64 {
    let mut ring: Vec<Vec<u8>> = vec![Vec::new(); 64];
    for n in 0..count {
        ring[(n % 64) as usize] = black_box(vec![n as u8; 1 + (n % 200) as usize]);
    }
    count
}
