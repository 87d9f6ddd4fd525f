//! What a guest takes while it waits. wasmi writes zeroes over all of a new memory, so that an instance begins with
//! every page of it in use, though a Rust guest hardly touches the megabyte that is its data stack. When a guest has
//! waited for a while, pages that hold nothing but zeroes go back to the kernel, which gives zeroes in their place to
//! whoever touches them next. Not at once: most waits are short, and looking costs time.

use std::ops::Range;

use rustix::mm::{Advice, madvise};
use rustix::param::page_size;
use wasmi::{Extern, Memory};

use super::guest::{Guest, Inner};
use crate::engine::door::Holds;
use crate::engine::turns;
use crate::limits::engine as limits;

impl<H: Holds> Guest<'_, H> {
    /// Once for each size: what was in use when it was looked at stays so, mostly.
    pub(super) async fn give_back_zeroes(&self) {
        let memories = self.it().not_looked_through();
        for memory in memories {
            let mut at = 0;
            loop {
                let next = give_back_zeroes(memory.data_mut(&mut self.it().store), at);
                let Some(next) = next else { break };
                at = next;
                turns::end_if_over().await;
            }
        }
    }
}

impl Inner<'_> {
    fn not_looked_through(&mut self) -> Vec<Memory> {
        let memories = self.memories();
        let bytes = memories.iter().map(|memory| memory.data_size(&self.store)).sum();
        match std::mem::replace(&mut self.looked_through_bytes, bytes) == bytes {
            true => Vec::new(),
            false => memories,
        }
    }

    /// Those that its modules export, which are all that the canonical ABI can name.
    fn memories(&self) -> Vec<Memory> {
        let exports = self.instances.iter().flat_map(|instance| instance.exports(&self.store));
        let memories = exports.filter_map(|export| match export.into_extern() {
            Extern::Memory(memory) => Some(memory),
            _ => None,
        });
        memories.collect()
    }
}

/// Looks through a part of these bytes, from `at` on; where the next part begins, if there is one.
fn give_back_zeroes(bytes: &mut [u8], at: usize) -> Option<usize> {
    let page = page_size();
    // Relative to the first whole page.
    let first = bytes.as_ptr().align_offset(page);
    let pages = bytes.get_mut(first..)?;
    let end = pages.len().min(at.saturating_add(limits::LOOKED_THROUGH_BYTES)) / page * page;
    let mut at = at;
    while at < end {
        let zero = |from: &usize| is_zero(&pages[*from..*from + page]);
        let used = (at..end).step_by(page).find(|from| !zero(from)).unwrap_or(end);
        give_back(pages, at..used);
        at = used + page;
    }
    (end + page <= pages.len()).then_some(end)
}

/// Eight bytes at a time, of all of them: that is faster than to stop at the first.
fn is_zero(page: &[u8]) -> bool {
    let (words, rest) = page.as_chunks::<8>();
    let bits = words.iter().fold(0, |bits, word| bits | u64::from_ne_bytes(*word));
    bits == 0 && rest.iter().all(|byte| *byte == 0)
}

/// Whole pages of zeroes. If the kernel will not have them, they stay.
#[allow(unsafe_code, reason = "gives away pages of memory that is in use; see SAFETY")]
fn give_back(pages: &mut [u8], zeroes: Range<usize>) {
    let Some(zeroes) = pages.get_mut(zeroes).filter(|zeroes| !zeroes.is_empty()) else { return };
    // SAFETY: the range is ours alone, and whole pages. It is the allocator's memory, anonymous and private, of which
    // Linux makes zeroes: what is in it already.
    let _ = unsafe { madvise(zeroes.as_mut_ptr().cast(), zeroes.len(), Advice::LinuxDontNeed) };
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// All of it, in as many parts as it takes.
    fn give_back_all(bytes: &mut [u8]) {
        let mut at = Some(0);
        while let Some(from) = at {
            at = give_back_zeroes(bytes, from);
        }
    }

    /// Which pages from the first whole one on are in memory (the kernel's `pagemap`: bit 63).
    fn present(bytes: &[u8]) -> Vec<bool> {
        use std::os::unix::fs::FileExt as _;
        let page = page_size();
        let first = bytes.as_ptr().align_offset(page);
        let number = (bytes.as_ptr().addr() + first) / page;
        let mut entries = vec![0; (bytes.len() - first) / page * 8];
        let map = std::fs::File::open("/proc/self/pagemap").unwrap();
        map.read_exact_at(&mut entries, number as u64 * 8).unwrap();
        entries.as_chunks::<8>().0.iter().map(|entry| entry[7] & 0x80 != 0).collect()
    }

    #[test]
    fn pages_of_zeroes_go_and_all_bytes_stay_what_they_are() {
        let page = page_size();
        let count = 3 * limits::LOOKED_THROUGH_BYTES / page;
        // Written, as wasmi does it.
        let mut bytes = Vec::with_capacity(count * page);
        bytes.extend(std::iter::repeat_n(0_u8, count * page));
        let first = bytes.as_ptr().align_offset(page);
        let used = [0, 1, count / 2, count - 3];
        used.iter().for_each(|number| bytes[first + number * page + number % page] = 1);
        let expected = bytes.clone();
        assert!(present(&bytes).iter().all(|present| *present));
        give_back_all(&mut bytes);
        let kept: Vec<usize> =
            present(&bytes).iter().enumerate().filter_map(|(at, is)| is.then_some(at)).collect();
        assert_eq!(kept, used);
        assert!(bytes == expected);
    }

    #[test]
    fn what_is_no_whole_page_is_left_alone() {
        for length in [0, 1, page_size() - 1, page_size(), 2 * page_size() + 1] {
            let mut bytes = vec![3; length];
            give_back_all(&mut bytes);
            assert!(bytes.iter().all(|byte| *byte == 3));
        }
    }
}
