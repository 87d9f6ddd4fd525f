//! Our own world, `pirn:gpio-trigger@0.1.0`: an edge on a GPIO line.

use pirn_triggers::gpio::{Edge, EdgeKind};
use wasmtime::component::{ComponentType, Lower};

use super::{Call, Outcome, WorldError};
use crate::engine::wire::wire;
use crate::engine::{Component, Export, Holds};

wire! {
    /// `enum edge`.
    #[derive(Clone, Copy, Debug, ComponentType, Lower)]
    #[component(enum)]
    #[repr(u8)]
    enum Direction {
        #[component(name = "rising")]
        Rising,
        #[component(name = "falling")]
        Falling,
    }
}

wire! {
    /// `record event`.
    #[derive(Clone, Debug, ComponentType, Lower)]
    #[component(record)]
    struct Event {
        line: String,
        edge: Direction,
        #[component(name = "timestamp-ns")]
        timestamp_ns: u64,
        sequence: u64,
        missed: u64,
    }
}

/// A component that takes edges.
pub(super) struct GpioWorld {
    export: Export,
}

impl GpioWorld {
    pub(super) fn of<H: Holds>(component: &Component<H>) -> Result<Self, WorldError> {
        let shape = "func(record { line: string, edge: enum { rising, falling }, timestamp-ns: u64, sequence: u64, missed: u64 }) -> result<_, variant { other(string) }>";
        let export = super::export(component, "gpio", "handle-edge", shape)?;
        Ok(Self { export })
    }

    pub(super) async fn handle<H: Holds>(
        &self,
        call: Call<'_, H>,
        line: &str,
        edge: &Edge,
    ) -> Outcome {
        let event = Event {
            line: line.to_string(),
            edge: match edge.edge {
                EdgeKind::Rising => Direction::Rising,
                EdgeKind::Falling => Direction::Falling,
            },
            timestamp_ns: edge.timestamp_ns,
            sequence: edge.sequence.into(),
            missed: edge.missed.into(),
        };
        call.of(self.export, (event,)).await
    }
}
