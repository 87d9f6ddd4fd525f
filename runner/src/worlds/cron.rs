//! The cron world, both versions: `fermyon:spin-cron@2.0.0` (sync) and `spin:cron@3.0.0` (async).

use wasmtime::component::{ComponentExportIndex, ComponentType, Lift, Lower};

use super::{Call, Outcome, WorldError};
use crate::engine::compiled::{Compiled, Running};

/// `record metadata`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
struct Metadata {
    timestamp: u64,
}

/// `variant error`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
enum Error {
    #[component(name = "other")]
    Other(String),
}

type Params = (Metadata,);
type Return = (Result<(), Error>,);

/// A component that is called at times of the day.
pub(super) struct CronWorld {
    export: ComponentExportIndex,
}

impl CronWorld {
    pub(super) fn of(compiled: &Compiled) -> Result<Self, WorldError> {
        let shape = "func(record { timestamp: u64 }) -> result<_, variant { other(string) }>";
        let export = super::export(compiled, "cron", "handle-cron-event", shape)?;
        Ok(Self { export })
    }

    /// `timestamp` is the second that was due, since the epoch.
    pub(super) async fn handle(&self, call: Call<'_>, timestamp: u64) -> Outcome {
        let work = async |running: &mut Running| {
            let (instance, store) = (running.instance, &mut running.store);
            let handle = instance.get_typed_func::<Params, Return>(&mut *store, self.export)?;
            let (result,) = handle.call_async(store, (Metadata { timestamp },)).await?;
            Ok(result.map_err(|Error::Other(sentence)| sentence))
        };
        Outcome::of(call.compiled.run(call.host, call.allowance, work).await)
    }
}
