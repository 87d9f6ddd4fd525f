//! The MQTT world, both versions: `spin:mqtt-trigger` (sync) and `spin:mqtt-trigger@3.0.0` (async).
//! Which of the two a component was built for makes no difference here.

use wasmtime::component::{ComponentExportIndex, ComponentType, Lift, Lower};

use super::{Call, Outcome, WorldError};
use crate::engine::compiled::{Compiled, Running};

/// `record metadata`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
struct Metadata {
    topic: String,
}

/// `variant error`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
enum Error {
    #[component(name = "other")]
    Other(String),
}

type Params<'a> = (&'a [u8], Metadata);
type Return = (Result<(), Error>,);

/// A component that takes messages.
pub(super) struct MqttWorld {
    export: ComponentExportIndex,
}

impl MqttWorld {
    pub(super) fn of(compiled: &Compiled) -> Result<Self, WorldError> {
        let shape =
            "func(list<u8>, record { topic: string }) -> result<_, variant { other(string) }>";
        let export = super::export(compiled, "mqtt", "handle-message", shape)?;
        Ok(Self { export })
    }

    pub(super) async fn handle(&self, call: Call<'_>, topic: &str, payload: &[u8]) -> Outcome {
        let work = async |running: &mut Running| {
            let (instance, store) = (running.instance, &mut running.store);
            let handle = instance.get_typed_func::<Params<'_>, Return>(&mut *store, self.export)?;
            let metadata = Metadata { topic: topic.to_string() };
            let (result,) = handle.call_async(store, (payload, metadata)).await?;
            Ok(result.map_err(|Error::Other(sentence)| sentence))
        };
        Outcome::of(call.compiled.run(call.host, call.allowance, work).await)
    }
}
