//! The HTTP world: `wasi:http/incoming-handler@0.2`, whichever 0.2 a component was built for. The guest is given a request
//! and a place for its answer; what these are is the host's business.

use wasmtime::component::Resource;

use super::{Call, Outcome, WorldError};
use crate::engine::{Component, Export, Holds};

/// A component that answers requests.
pub(super) struct HttpWorld {
    export: Export,
}

const INTERFACE: &str = "wasi:http/incoming-handler@0.2.0";

impl HttpWorld {
    pub(super) fn of<H: Holds>(component: &Component<H>) -> Result<Self, WorldError> {
        let shape = "func(own, own)";
        let export = super::member(component, "http", (INTERFACE, "handle"), shape)?;
        Ok(Self { export })
    }

    /// The answer is not in what this returns: the guest has given it meanwhile, or has not.
    pub(super) async fn handle<H, Q, A>(
        &self,
        call: Call<'_, H>,
        request: Resource<Q>,
        answer: Resource<A>,
    ) -> Outcome
    where
        H: Holds,
        Q: Send + 'static,
        A: Send + 'static,
    {
        let Call { component, host, allowance } = call;
        let params = (request, answer);
        let ended = component.call::<_, ()>(self.export, host, allowance, params).await;
        Outcome::of(ended.map(|()| Ok(())))
    }
}
