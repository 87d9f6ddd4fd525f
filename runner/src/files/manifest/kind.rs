//! What fires a trigger, as the manifest has it.

use std::time::Duration;

use pirn_triggers::gpio::{Bias, Edges};
use pirn_triggers::http::routes::Route;
use pirn_triggers::mqtt::Qos;

use super::{HttpExecutor, Template};

/// What fires a trigger. Closed: a type that this build does not offer is refused when the manifest is read.
#[derive(Debug, Clone, PartialEq)]
pub enum TriggerKind {
    /// A message on a topic.
    Mqtt {
        /// The topic filter to subscribe to.
        topic: Template,
        /// The quality of service to ask for.
        qos: Qos,
    },
    /// Time that went by.
    Timer {
        /// From one tick to the next.
        interval: Duration,
        /// When the first tick is.
        first: FirstTick,
        /// Each tick is late by a random part of this, so that many boards do not act as one.
        jitter: Duration,
    },
    /// A time of the day.
    Cron {
        /// Six or seven fields, seconds first.
        expression: String,
        /// The zone that it is read in, a name of the IANA database; UTC if absent.
        zone: Option<String>,
    },
    /// A message of a Redis channel.
    Redis {
        /// The channel, as it is.
        channel: Template,
        /// The server; the application's if absent.
        address: Option<Template>,
    },
    /// An edge on a GPIO line.
    Gpio {
        /// The line, by a name of the board's or the operator's file.
        line: String,
        /// Which edges.
        edges: Edges,
        /// Changes shorter than this do not count; the line's own setting if absent.
        debounce: Option<Duration>,
        /// What pulls an undriven line; the line's own setting if absent.
        bias: Option<Bias>,
    },
    /// A request.
    Http {
        /// What it answers; `None` if only other components of the app reach it.
        route: Option<Route>,
        /// How it is called.
        executor: HttpExecutor,
    },
    /// The app's start.
    Command,
}

/// When a timer ticks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstTick {
    /// When the app starts.
    AtOnce,
    /// One interval later.
    AfterInterval,
}
