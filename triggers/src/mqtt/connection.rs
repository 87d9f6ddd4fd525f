//! The session's task: connect, pump, wait, again, until the session stops.

use super::dial::Dialer;
use super::notice::{Notice, State};
use super::packet::Fault;
use super::pump::{Ended, Pump};
use super::shared::Shared;
use crate::limits::mqtt as limits;
use crate::net::Stream;
use crate::net::backoff::{Backoff, Input, now, random, step};
use std::sync::Arc;
use tokio::time::sleep;

/// Runs a session until it is stopped. Dropped, it cuts the connection.
pub(super) async fn run(ending: Ending, dialer: Dialer) {
    let backoff = Backoff::default();
    let shared = ending.0.clone();
    let mut task = Task { shared, dialer, backoff, last_error: None };
    while !task.shared.is_stopping() {
        let input = match task.attempt().await {
            End::Stopped => break,
            End::Recycled => Input::Recycled,
            End::Lost(why) => {
                task.last_error = Some(why);
                Input::Lost
            }
        };
        task.rest(input).await;
    }
    drop(ending);
}

/// Ends the session with its task, however the task ends, and if it never began (its runtime may be
/// gone before): nobody waits for a receipt that cannot come.
pub(super) struct Ending(pub(super) Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.finish();
    }
}

struct Task {
    shared: Arc<Shared>,
    dialer: Dialer,
    backoff: Backoff,
    last_error: Option<Arc<str>>,
}

/// Why an attempt is over.
enum End {
    /// There was no connection, or it broke.
    Lost(Arc<str>),
    /// We want messages sent again.
    Recycled,
    /// For good.
    Stopped,
}

impl Task {
    /// One attempt: each address in turn, until the broker accepts us; then that connection.
    async fn attempt(&mut self) -> End {
        self.show_connecting();
        let mut failure = match self.addresses().await {
            None => return End::Stopped,
            Some(Err(why)) => why,
            Some(Ok(addresses)) => {
                let mut failure = String::new();
                for address in addresses {
                    let connecting = self.dialer.connect(&self.shared.options, address);
                    let stream = tokio::select! {
                        stream = connecting => stream,
                        () = self.shared.stop.notified() => return End::Stopped,
                    };
                    let why = match stream {
                        Ok(stream) => match self.connection(stream).await {
                            Ok(end) => return end,
                            Err(fault) => fault.to_string(),
                        },
                        Err(why) => why,
                    };
                    failure = format!("{address}: {why}");
                }
                failure
            }
        };
        shorten(&mut failure);
        self.shared.count(|counters| counters.connect_failures += 1);
        End::Lost(failure.into())
    }

    async fn addresses(&mut self) -> Option<Result<Vec<std::net::SocketAddr>, String>> {
        tokio::select! {
            addresses = self.dialer.addresses(&self.shared.options) => Some(addresses),
            () = self.shared.stop.notified() => None,
        }
    }

    /// A connection from its first packet to its last. `Err` if the broker has not accepted us on it.
    async fn connection(&mut self, stream: Stream) -> Result<End, Fault> {
        self.shared.opened();
        let ended = Pump::new(&self.shared, stream).run().await;
        let accepted_at = self.shared.lost();
        if let Some(at) = accepted_at {
            (self.backoff, _) = step(self.backoff, Input::Connected, at, 0);
        }
        let too_large = matches!(ended, Ended::Broken(Fault::PacketTooLarge(_)));
        self.shared.count(|counters| {
            counters.disconnects += u64::from(accepted_at.is_some());
            counters.packets_too_large += u64::from(too_large);
        });
        match ended {
            Ended::Left if self.shared.is_stopping() => Ok(End::Stopped),
            Ended::Left => Ok(End::Recycled),
            Ended::Broken(fault) if accepted_at.is_none() => Err(fault),
            Ended::Broken(fault) => {
                let mut why = fault.to_string();
                shorten(&mut why);
                Ok(End::Lost(why.into()))
            }
        }
    }

    /// Waits before the next attempt, unless the session stops.
    async fn rest(&mut self, input: Input) {
        let (backoff, pause) = step(self.backoff, input, now(), random());
        self.backoff = backoff;
        self.show_connecting();
        let pause = pause.unwrap_or_default();
        let reason = match (&self.last_error, input) {
            (Some(why), Input::Lost) => why.clone(),
            _ => Arc::from("the inbox was full: reconnecting to have messages sent again"),
        };
        let retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.shared.options.notify(Notice::Disconnected { reason, retry_ms });
        tokio::select! {
            () = sleep(pause) => {}
            () = self.shared.stop.notified() => {}
        }
    }

    fn show_connecting(&self) {
        let attempt = self.backoff.attempts + 1;
        self.shared.set_state(State::Connecting { attempt, last_error: self.last_error.clone() });
    }
}

/// A text that a hostile peer cannot make long.
fn shorten(text: &mut String) {
    let end = (0..=limits::ERROR_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
}
