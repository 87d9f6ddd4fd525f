//! The timer world of Spin's example: package `fermyon:example`, a function that takes nothing and
//! answers nothing, so such a guest cannot refuse.

use super::{Call, Outcome, WorldError};
use crate::engine::{Component, Export, Holds};

/// A component that is called at intervals.
pub(super) struct TimerWorld {
    export: Export,
}

impl TimerWorld {
    pub(super) fn of<H: Holds>(component: &Component<H>) -> Result<Self, WorldError> {
        let export = super::export(component, "timer", "handle-timer-request", "func()")?;
        Ok(Self { export })
    }

    pub(super) async fn handle<H: Holds>(&self, call: Call<'_, H>) -> Outcome {
        let Call { component, host, allowance } = call;
        let answer = component.call::<(), ()>(self.export, host, allowance, ()).await;
        Outcome::of(answer.map(Ok))
    }
}
