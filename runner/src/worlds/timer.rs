//! The timer world of Spin's example: package `fermyon:example`, a function that takes nothing and
//! answers nothing, so such a guest cannot refuse.

use wasmtime::component::ComponentExportIndex;

use super::{Call, Outcome, WorldError};
use crate::engine::compiled::{Compiled, Running};

/// A component that is called at intervals.
pub(super) struct TimerWorld {
    export: ComponentExportIndex,
}

impl TimerWorld {
    pub(super) fn of(compiled: &Compiled) -> Result<Self, WorldError> {
        let export = super::export(compiled, "timer", "handle-timer-request", "func()")?;
        Ok(Self { export })
    }

    pub(super) async fn handle(&self, call: Call<'_>) -> Outcome {
        let work = async |running: &mut Running| {
            let (instance, store) = (running.instance, &mut running.store);
            let handle = instance.get_typed_func::<(), ()>(&mut *store, self.export)?;
            handle.call_async(store, ()).await?;
            Ok(Ok(()))
        };
        Outcome::of(call.compiled.run(call.host, call.allowance, work).await)
    }
}
