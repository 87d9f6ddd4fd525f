//! Our own world, `pirn:gpio-trigger@0.1.0`: an edge on a GPIO line.

use pirn_triggers::gpio::{Edge, EdgeKind};
use wasmtime::component::{ComponentExportIndex, ComponentType, Lift, Lower};

use super::{Call, Outcome, WorldError};
use crate::engine::compiled::{Compiled, Running};

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

/// `variant error`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
enum Error {
    #[component(name = "other")]
    Other(String),
}

type Params = (Event,);
type Return = (Result<(), Error>,);

/// A component that takes edges.
pub(super) struct GpioWorld {
    export: ComponentExportIndex,
}

impl GpioWorld {
    pub(super) fn of(compiled: &Compiled) -> Result<Self, WorldError> {
        let shape = "func(record { line: string, edge: enum { rising, falling }, timestamp-ns: u64, sequence: u64, missed: u64 }) -> result<_, variant { other(string) }>";
        let export = super::export(compiled, "gpio", "handle-edge", shape)?;
        Ok(Self { export })
    }

    pub(super) async fn handle(&self, call: Call<'_>, line: &str, edge: &Edge) -> Outcome {
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
        let work = async |running: &mut Running| {
            let (instance, store) = (running.instance, &mut running.store);
            let handle = instance.get_typed_func::<Params, Return>(&mut *store, self.export)?;
            let (result,) = handle.call_async(store, (event,)).await?;
            Ok(result.map_err(|Error::Other(sentence)| sentence))
        };
        Outcome::of(call.compiled.run(call.host, call.allowance, work).await)
    }
}
