//! The command world: `wasi:cli/run@0.2`, a program's `main`. A program that ends with a status of its own calls
//! `wasi:cli/exit`, which the engine knows.

use super::{Call, Outcome, WorldError};
use crate::engine::{Component, Export, Holds};

/// A component that is run.
pub(super) struct CommandWorld {
    export: Export,
}

impl CommandWorld {
    pub(super) fn of<H: Holds>(component: &Component<H>) -> Result<Self, WorldError> {
        let of = ("wasi:cli/run@0.2.0", "run");
        Ok(Self { export: super::member(component, "command", of, "func() -> result")? })
    }

    pub(super) async fn handle<H: Holds>(&self, call: Call<'_, H>) -> Outcome {
        let Call { component, host, allowance } = call;
        let answer = component.call::<(), (Result<(), ()>,)>(self.export, host, allowance, ());
        let failed = |()| "its run failed: exit status 1".to_owned();
        Outcome::of(answer.await.map(|(result,)| result.map_err(failed)))
    }
}
