//! The cron world, both versions: `fermyon:spin-cron@2.0.0` (sync) and `spin:cron@3.0.0` (async).

use wasmtime::component::{ComponentType, Lower};

use super::{Call, Outcome, WorldError};
use crate::engine::wire::wire;
use crate::engine::{Component, Export, Holds};

wire! {
    /// `record metadata`.
    #[derive(Clone, Copy, Debug, ComponentType, Lower)]
    #[component(record)]
    struct Metadata {
        timestamp: u64,
    }
}

/// A component that is called at times of the day.
pub(super) struct CronWorld {
    export: Export,
}

impl CronWorld {
    pub(super) fn of<H: Holds>(component: &Component<H>) -> Result<Self, WorldError> {
        let shape = "func(record { timestamp: u64 }) -> result<_, variant { other(string) }>";
        let export = super::export(component, "cron", "handle-cron-event", shape)?;
        Ok(Self { export })
    }

    /// `timestamp` is the second that was due, since the epoch.
    pub(super) async fn handle<H: Holds>(&self, call: Call<'_, H>, timestamp: u64) -> Outcome {
        call.of(self.export, (Metadata { timestamp },)).await
    }
}
