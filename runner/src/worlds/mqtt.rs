//! The MQTT world, both versions: `spin:mqtt-trigger` (sync) and `spin:mqtt-trigger@3.0.0` (async).
//! Which of the two a component was built for makes no difference here.

use bytes::Bytes;
use wasmtime::component::{ComponentType, Lower};

use super::{Call, Outcome, WorldError};
use crate::engine::wire::wire;
use crate::engine::{Component, Export, Holds};

wire! {
    /// `record metadata`.
    #[derive(Clone, Debug, ComponentType, Lower)]
    #[component(record)]
    struct Metadata {
        topic: String,
    }
}

/// A component that takes messages.
pub(super) struct MqttWorld {
    export: Export,
}

impl MqttWorld {
    pub(super) fn of<H: Holds>(component: &Component<H>) -> Result<Self, WorldError> {
        let shape =
            "func(list<u8>, record { topic: string }) -> result<_, variant { other(string) }>";
        let export = super::export(component, "mqtt", "handle-message", shape)?;
        Ok(Self { export })
    }

    pub(super) async fn handle<H: Holds>(
        &self,
        call: Call<'_, H>,
        topic: &str,
        payload: &Bytes,
    ) -> Outcome {
        let metadata = Metadata { topic: topic.to_string() };
        call.of(self.export, (payload.clone(), metadata)).await
    }
}
