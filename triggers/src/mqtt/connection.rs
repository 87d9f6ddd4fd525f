//! The session's task: connect, pump, wait, again, until the session stops.
//!
//! The event loop is polled here and nowhere else, never inside a `select!`. The one thing put
//! around it is a deadline, after which the connection is given up anyway.

use super::backoff::{Backoff, Input, now, random, step};
use super::core::{End, Flow};
use super::dial::{Dialed, Dialer};
use super::link::{Link, LinkError};
use super::notice::{Notice, State};
use super::shared::Shared;
use crate::limits::mqtt as limits;
use std::sync::Arc;
use tokio::time::{sleep, timeout_at};

/// Runs a session until it is stopped. Dropped, it cuts the connection.
pub(super) async fn run(shared: Arc<Shared>, dialer: Dialer) {
    let backoff = Backoff::default();
    let mut task = Task { shared, dialer, backoff, last_error: None, foreign_releases: false };
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
    task.shared.finish();
}

struct Task {
    shared: Arc<Shared>,
    dialer: Dialer,
    backoff: Backoff,
    last_error: Option<Arc<str>>,
    /// The broker releases messages that were received before this process started.
    foreign_releases: bool,
}

impl Task {
    /// One attempt, and the connection if it succeeds.
    async fn attempt(&mut self) -> End {
        self.show_connecting();
        let dialed = tokio::select! {
            dialed = self.dialer.dial(&self.shared.options) => dialed,
            () = self.shared.stop.notified() => return End::Stopped,
        };
        match dialed {
            Ok(dialed) => {
                (self.backoff, _) = step(self.backoff, Input::Connected, now(), 0);
                self.connection(dialed).await
            }
            Err(error) => {
                self.shared.disconnected(|counters| counters.connect_failures += 1);
                End::Lost(short(error))
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

    async fn connection(&mut self, dialed: Dialed) -> End {
        let Dialed { mut link, requests, accepted, bridge } = dialed;
        // Once: on that connection they are all completed.
        let foreign_releases = std::mem::take(&mut self.foreign_releases);
        match (accepted.session_present, foreign_releases) {
            (true, true) => link.allow_releases(1..=u16::MAX),
            (true, false) => link.allow_releases(self.shared.releasable().into_iter()),
            (false, _) => {}
        }
        self.shared.connected(requests, accepted);
        let ended = pump(&self.shared, &mut link).await;
        // Closes rumqttc's side, so that the bridge sees the end of what there is to send.
        drop(link);
        let too_large = matches!(ended, Ended::Broken(LinkError::PacketTooLarge(_)));
        self.foreign_releases = matches!(ended, Ended::Broken(LinkError::UnknownRelease));
        self.shared.disconnected(|counters| {
            counters.disconnects += 1;
            counters.packets_too_large += u64::from(too_large);
        });
        match (ended, bridge) {
            (Ended::Broken(error), bridge) => {
                let fault = bridge.and_then(|bridge| bridge.fault());
                End::Lost(short(fault.unwrap_or_else(|| error.to_string())))
            }
            (Ended::ByUs(end), Some(bridge)) => {
                bridge.finish().await;
                end
            }
            (Ended::ByUs(end), None) => end,
        }
    }

    fn show_connecting(&self) {
        let attempt = self.backoff.attempts + 1;
        self.shared.set_state(State::Connecting { attempt, last_error: self.last_error.clone() });
    }
}

enum Ended {
    Broken(LinkError),
    ByUs(End),
}

/// Polls the link until it ends.
async fn pump(shared: &Shared, link: &mut Link) -> Ended {
    loop {
        for resend in shared.take_resends() {
            link.resend(resend);
        }
        let signal = match timeout_at(shared.deadline().into(), link.poll()).await {
            Ok(Ok(signal)) => signal,
            Ok(Err(error)) => {
                shared.salvage(link.rest());
                return Ended::Broken(error);
            }
            Err(_) => {
                return Ended::Broken(LinkError::Broken("the broker no longer answers".into()));
            }
        };
        if let Flow::End(end) = shared.on(signal).await {
            drain(shared, link).await;
            return Ended::ByUs(end);
        }
    }
}

/// Reads until the broker closes the connection, which it does after DISCONNECT. A socket closed
/// with something unread in it resets the connection, and a broker that is told so in the middle of
/// its work forgets the acknowledgements that it has not looked at yet.
async fn drain(shared: &Shared, link: &mut Link) {
    let until = now() + limits::DRAIN_TIMEOUT;
    while let Ok(Ok(signal)) = timeout_at(until.into(), link.poll()).await {
        shared.salvage(vec![signal]);
    }
    shared.salvage(link.rest());
}

/// A text that a hostile peer cannot make long.
fn short(mut text: String) -> Arc<str> {
    let end = (0..=limits::ERROR_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
    text.into()
}
