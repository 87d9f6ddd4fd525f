//! The descriptor by which a tokio runtime waits for events. tokio does not tell it, so it is found by what it
//! does: of all this process's `epoll` descriptors it is the one that turns readable when the runtime is given
//! something to do from outside.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::runtime::Runtime;
use tokio::task::yield_now;

/// A descriptor of our own for the same `epoll` instance; `None` where `/proc` does not show it.
pub(super) fn of(runtime: &Runtime) -> Option<OwnedFd> {
    // What is under way is fetched, so that all is quiet.
    runtime.block_on(yield_now());
    let quiet: Vec<OwnedFd> = epolls().into_iter().filter(|fd| !is_readable(fd)).collect();
    let given = runtime.spawn(async {});
    let found = quiet.into_iter().find(is_readable);
    let _ = runtime.block_on(given);
    found
}

/// Whether there is something to read now.
pub(super) fn is_readable(descriptor: &OwnedFd) -> bool {
    let mut descriptors = [PollFd::new(descriptor, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut descriptors, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// This process's `epoll` descriptors, each duplicated.
fn epolls() -> Vec<OwnedFd> {
    let Ok(listed) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let names = listed.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let numbers: Vec<RawFd> = names.filter_map(|name| name.parse().ok()).collect();
    numbers.into_iter().filter(|fd| is_epoll(*fd)).filter_map(duplicate).collect()
}

fn is_epoll(descriptor: RawFd) -> bool {
    let link = std::fs::read_link(format!("/proc/self/fd/{descriptor}"));
    link.is_ok_and(|target| target.as_os_str() == "anon_inode:[eventpoll]")
}

#[allow(unsafe_code, reason = "a number from /proc is no descriptor yet; see SAFETY")]
fn duplicate(descriptor: RawFd) -> Option<OwnedFd> {
    if descriptor < 0 {
        return None;
    }
    // SAFETY: the borrow lasts for one call of the kernel, which checks the number: if somebody closed it
    // meanwhile, that call fails; if something else was opened in its place, we hold a second descriptor of
    // that for a moment, and the check below drops it. Nothing is read, written or closed through it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let ours = borrowed.try_clone_to_owned().ok()?;
    is_epoll(std::os::fd::AsRawFd::as_raw_fd(&ours)).then_some(ours)
}
