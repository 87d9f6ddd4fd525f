//! The world of Redis messages, both versions: `fermyon:spin/inbound-redis` (sync), whose guests refuse without a word, and
//! `spin:redis/inbound-redis@3.0.0` (async).

use bytes::Bytes;
use wasmtime::component::{ComponentType, Lift};

use super::{Call, Outcome, WorldError};
use crate::engine::wire::wire;
use crate::engine::{Component, Export, Holds};

wire! {
    /// `enum error` of the sync world.
    #[derive(Clone, Copy, Debug, ComponentType, Lift)]
    #[component(enum)]
    #[repr(u8)]
    #[allow(dead_code, reason = "the guest's type has them all")]
    enum Word {
        #[component(name = "success")]
        Success,
        #[component(name = "error")]
        Error,
    }
}

wire! {
    /// `variant error` of the async world: that of its commands.
    #[derive(Clone, Debug, ComponentType, Lift)]
    #[component(variant)]
    enum Refusal {
        #[component(name = "invalid-address")]
        InvalidAddress,
        #[component(name = "too-many-connections")]
        TooManyConnections,
        #[component(name = "type-error")]
        TypeError,
        #[component(name = "other")]
        Other(String),
    }
}

/// A component that takes messages of channels.
pub(super) struct RedisWorld {
    export: Export,
    twin: Twin,
}

enum Twin {
    Sync,
    Async,
}

const SYNC_INTERFACE: &str = "fermyon:spin/inbound-redis";
const ASYNC_INTERFACE: &str = "spin:redis/inbound-redis@3.0.0";
const NAME: &str = "handle-message";
const SYNC: &str = "func(list<u8>) -> result<_, enum { success, error }>";
const ASYNC: &str = "func(list<u8>) -> result<_, variant { invalid-address, too-many-connections, type-error, other(string) }>";

impl RedisWorld {
    pub(super) fn of<H: Holds>(component: &Component<H>) -> Result<Self, WorldError> {
        if let Ok(export) = super::member(component, "redis", (ASYNC_INTERFACE, NAME), ASYNC) {
            return Ok(Self { export, twin: Twin::Async });
        }
        let export = super::member(component, "redis", (SYNC_INTERFACE, NAME), SYNC)?;
        Ok(Self { export, twin: Twin::Sync })
    }

    pub(super) async fn handle<H: Holds>(&self, call: Call<'_, H>, payload: &Bytes) -> Outcome {
        let Call { component, host, allowance } = call;
        let params = (payload.clone(),);
        match self.twin {
            Twin::Sync => {
                let answer = component
                    .call::<_, (Result<(), Word>,)>(self.export, host, allowance, params)
                    .await;
                let said = |_| "it did not say why".to_owned();
                Outcome::of(answer.map(|(result,)| result.map_err(said)))
            }
            Twin::Async => {
                let answer = component
                    .call::<_, (Result<(), Refusal>,)>(self.export, host, allowance, params)
                    .await;
                Outcome::of(answer.map(|(result,)| result.map_err(Refusal::sentence)))
            }
        }
    }
}

impl Refusal {
    fn sentence(self) -> String {
        match self {
            Self::InvalidAddress => "invalid address".into(),
            Self::TooManyConnections => "too many connections".into(),
            Self::TypeError => "type error".into(),
            Self::Other(sentence) => sentence,
        }
    }
}
