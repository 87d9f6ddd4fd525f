//! What the runner tells whoever watches: one closed set of reports, and a seam for those who print
//! them (the board's log, the workbench's terminal).

pub mod shown;

use std::sync::Arc;
use std::time::Duration;

use pirn_triggers::gpio;
use pirn_triggers::mqtt::{Notice, Qos};

use crate::engine::outcome::Outcome;
use crate::happening::Happening;

/// One thing that happened.
#[derive(Debug)]
pub enum Report<'a> {
    /// An event is about to be handed to a component.
    Event {
        /// The component's id.
        component: &'a str,
        /// Where it came from: a topic, a line, a trigger's id.
        source: &'a str,
        /// What it says.
        payload: &'a [u8],
        /// What it is.
        what: &'a Happening,
    },
    /// An invocation ended.
    Outcome {
        /// The component's id.
        component: &'a str,
        /// Where the event came from.
        source: &'a str,
        /// What the event was.
        what: &'a Happening,
        /// How it ended.
        outcome: &'a Outcome,
        /// How long it took.
        took: Duration,
        /// Which try, from 1.
        attempt: u32,
        /// When it will be tried again, if it will.
        retry_in: Option<Duration>,
    },
    /// A component published.
    Published {
        /// The component's id.
        component: &'a str,
        /// Where to.
        topic: &'a str,
        /// What.
        payload: &'a [u8],
        /// How surely.
        qos: Qos,
    },
    /// A component wrote a line.
    Log {
        /// The component's id.
        component: &'a str,
        /// stdout or stderr.
        stream: Stream,
        /// The line, escaped.
        line: &'a str,
    },
    /// Something about a broker.
    Broker {
        /// Its address.
        address: &'a str,
        /// What.
        notice: &'a Notice,
    },
    /// Something about a GPIO line.
    Line(&'a gpio::Notice),
    /// A sentence for the operator: something of theirs needs a look.
    Warning(&'a str),
    /// A sentence about the runner's own life.
    Note(&'a str),
}

/// Which of a guest's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// stdout
    Out,
    /// stderr
    Err,
}

/// Takes reports, on the loop's thread and on those of the store: it must not wait.
pub trait Reporter: Send + Sync + 'static {
    /// One report.
    fn report(&self, report: &Report<'_>);
}

/// Takes reports for nobody.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Reporter for Nobody {
    fn report(&self, _: &Report<'_>) {}
}

/// Reports of one app among several: its name goes before all that is said.
pub struct Named {
    app: String,
    reporter: Arc<dyn Reporter>,
}

impl Named {
    /// Of the app with this name, to be told here.
    pub fn new(app: &str, reporter: Arc<dyn Reporter>) -> Self {
        Self { app: app.to_owned(), reporter }
    }
}

impl Reporter for Named {
    fn report(&self, report: &Report<'_>) {
        let named = |id: &str| format!("{}/{id}", self.app);
        let sentence = |sentence: &str| format!("{}: {sentence}", self.app);
        let to = &self.reporter;
        match *report {
            Report::Event { component, source, payload, what } => {
                to.report(&Report::Event { component: &named(component), source, payload, what });
            }
            Report::Outcome { component, source, what, outcome, took, attempt, retry_in } => {
                let component = &named(component);
                to.report(&Report::Outcome {
                    component,
                    source,
                    what,
                    outcome,
                    took,
                    attempt,
                    retry_in,
                });
            }
            Report::Published { component, topic, payload, qos } => {
                to.report(&Report::Published { component: &named(component), topic, payload, qos });
            }
            Report::Log { component, stream, line } => {
                to.report(&Report::Log { component: &named(component), stream, line });
            }
            Report::Broker { address, notice } => {
                to.report(&Report::Broker { address: &sentence(address), notice });
            }
            Report::Line(notice) => to.report(&Report::Line(notice)),
            Report::Warning(said) => to.report(&Report::Warning(&sentence(said))),
            Report::Note(said) => to.report(&Report::Note(&sentence(said))),
        }
    }
}
