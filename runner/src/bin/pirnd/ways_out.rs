//! How pirnd ends: what holds on every way out that this process can still decide about.
//!
//! Nothing that blocks keeps it: a resolver that never answers occupies a thread that nothing can end,
//! so it is left behind. And outputs end at their safe levels: when they are dropped, when a signal
//! stops whatever drives them, and when we panic. What no process can do for itself (killed, out of
//! memory) is `pirnd safe-state`'s, in `ExecStopPost=`.

use std::future::Future;
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::Duration;

use pirn_runner::engine::turns::Loop;
use pirn_runner::limits::host::LOOKUP_FAREWELL;
use pirn_triggers::gpio::Outputs;
use tokio::signal::unix::{SignalKind, signal};

/// How long the last act of a panicking process may take.
const LAST_ACT: Duration = Duration::from_millis(500);

/// One thread for everything but disks, look-ups and the ticker. At the end all tasks are dropped, and threads that
/// block are left behind: waiting for them could take for ever.
pub(crate) fn on_the_loop(work: impl Future<Output = ExitCode>) -> std::io::Result<ExitCode> {
    let turns = Loop::build()?;
    let status = turns.block_on(work);
    turns.leave(LOOKUP_FAREWELL);
    Ok(status)
}

/// Done when the process is asked to stop, in any of the ways that would otherwise end it at once and
/// leave its outputs as they are: a service manager, Ctrl-C, Ctrl-\\, a terminal that is closed.
pub(crate) fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Has a panic set the outputs safe before it ends the process, as long as what this returns is there.
/// Not where a panic ends a task only: the process then goes on, and so do its outputs.
#[must_use]
pub(crate) fn safe_on_panic(outputs: &Outputs) -> Option<Precaution> {
    let outputs = outputs.clone();
    on_panic(move || outputs.stop())
}

/// The same with whatever is to be done.
#[must_use]
pub(crate) fn on_panic(act: impl Fn() + Clone + Send + Sync + 'static) -> Option<Precaution> {
    cfg!(panic = "abort").then(|| {
        before_a_panic_ends_us(act);
        Precaution
    })
}

/// Holds the outputs, and with them the log, until it is dropped.
pub(crate) struct Precaution;

impl Drop for Precaution {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::panic::take_hook();
        }
    }
}

/// Does `act` in a panic, after what is said about it.
fn before_a_panic_ends_us(act: impl Fn() + Clone + Send + Sync + 'static) {
    let said = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        said(info);
        last_act(act.clone());
    }));
}

/// On a thread of its own and for a bounded time: whoever panicked may hold what `act` needs.
fn last_act(act: impl Fn() + Send + 'static) {
    let (done, wait) = channel::<()>();
    let acting = std::thread::Builder::new().name("last act".into()).spawn(move || {
        act();
        drop(done);
    });
    if acting.is_ok() {
        let _ = wait.recv_timeout(LAST_ACT);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_look_up_that_never_ends_does_not_keep_the_process() {
        let (release, held) = channel::<()>();
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        on_the_loop(async move {
            tokio::task::spawn_blocking(move || {
                // Bounded, so that a failure fails instead of hanging.
                let _ = held.recv_timeout(Duration::from_secs(20));
                seen.store(true, SeqCst);
            });
            tokio::task::yield_now().await;
            ExitCode::SUCCESS
        })
        .unwrap();
        assert!(!ended.load(SeqCst), "it was waited for");
        drop(release);
    }

    #[test]
    fn a_panic_is_followed_by_the_last_act_even_if_it_holds_what_the_act_needs() {
        let needed = Arc::new(Mutex::new(()));
        let acted = Arc::new(AtomicBool::new(false));
        let (tried, done) = (Arc::clone(&needed), Arc::clone(&acted));
        before_a_panic_ends_us(move || {
            let held = tried.lock();
            done.store(true, SeqCst);
            drop(held);
        });
        let free = std::thread::spawn(|| panic!("on purpose")).join();
        assert!(free.is_err() && acted.swap(false, SeqCst));
        // This one ends too, if without the act.
        let holder = Arc::clone(&needed);
        let stuck = std::thread::spawn(move || {
            let _held = holder.lock();
            panic!("on purpose");
        });
        assert!(stuck.join().is_err());
        let _ = std::panic::take_hook();
    }
}
