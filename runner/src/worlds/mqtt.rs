//! The MQTT world, both versions: `spin:mqtt-trigger` (sync) and `spin:mqtt-trigger@3.0.0` (async).
//! A component exports `handle-message`; which of the two it was built for shows in the type.

use bytes::Bytes;
use wasmtime::component::{ComponentType, Lift, Lower};

use super::{Outcome, WorldError};
use crate::engine::wire::wire;
use crate::engine::{Allowance, Component, Export};
use crate::host::Host;

const EXPORT: &str = "handle-message";
/// The same, as an engine says it.
const SHAPE: &str =
    "func(list<u8>, record { topic: string }) -> result<_, variant { other(string) }>";
const EXPECTED: &str = "handle-message: func(message: list<u8>, metadata: record { topic: string }) -> result<_, variant { other(string) }>";

wire! {
    /// `record metadata`.
    #[derive(Clone, Debug, ComponentType, Lower)]
    #[component(record)]
    struct Metadata {
        topic: String,
    }
}

wire! {
    /// `variant error`.
    #[derive(Clone, Debug, ComponentType, Lift)]
    #[component(variant)]
    enum Error {
        #[component(name = "other")]
        Other(String),
    }
}

type Params = (Bytes, Metadata);
type Return = (Result<(), Error>,);

/// A component that fits this world.
pub struct MqttWorld {
    export: Export,
}

impl MqttWorld {
    /// Checks, before anything runs, that the component exports what the trigger calls.
    pub fn of(component: &Component) -> Result<Self, WorldError> {
        let wrong = |found| WorldError { trigger: "mqtt", found, expected: EXPECTED };
        let Some((shape, export)) = component.exported_function(EXPORT) else {
            let names = component.export_names();
            return Err(wrong(match names.is_empty() {
                true => "it exports nothing".into(),
                false => format!("it exports {}", names.join(", ")),
            }));
        };
        match shape == SHAPE {
            true => Ok(Self { export }),
            false => Err(wrong(format!("its `{EXPORT}` has another type"))),
        }
    }

    /// Calls the guest with one message, on a fresh instance. Dropping this drops the guest.
    pub async fn handle(
        &self,
        component: &Component,
        host: Host,
        allowance: Allowance,
        topic: &str,
        payload: &[u8],
    ) -> Outcome {
        let params = (Bytes::copy_from_slice(payload), Metadata { topic: topic.to_string() });
        let called = component.call::<Params, Return>(self.export, host, allowance, params).await;
        Outcome::of(called.map(|(result,)| result.map_err(|Error::Other(sentence)| sentence)))
    }
}
