//! The MQTT world, both versions: `spin:mqtt-trigger` (sync) and `spin:mqtt-trigger@3.0.0` (async).
//! A component exports `handle-message`; which of the two it was built for shows in the type.

use wasmtime::component::types::{ComponentFunc, Type};
use wasmtime::component::{ComponentExportIndex, ComponentType, Lift, Lower};

use super::{Outcome, WorldError};
use crate::engine::compiled::{Allowance, Compiled, Running};
use crate::engine::wire::wire;
use crate::host::Host;

const EXPORT: &str = "handle-message";
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

type Params<'a> = (&'a [u8], Metadata);
type Return = (Result<(), Error>,);

/// A component that fits this world.
pub struct MqttWorld {
    export: ComponentExportIndex,
}

impl MqttWorld {
    /// Checks, before anything runs, that the component exports what the trigger calls.
    pub fn of(compiled: &Compiled) -> Result<Self, WorldError> {
        let wrong = |found| WorldError { trigger: "mqtt", found, expected: EXPECTED };
        let Some((function, export)) = compiled.exported_function(EXPORT) else {
            let names = compiled.export_names();
            return Err(wrong(match names.is_empty() {
                true => "it exports nothing".into(),
                false => format!("it exports {}", names.join(", ")),
            }));
        };
        match fits(&function) {
            true => Ok(Self { export }),
            false => Err(wrong(format!("its `{EXPORT}` has another type"))),
        }
    }

    /// Calls the guest with one message, on a fresh instance. Dropping this drops the guest.
    pub async fn handle(
        &self,
        compiled: &Compiled,
        host: Host,
        allowance: Allowance,
        topic: &str,
        payload: &[u8],
    ) -> Outcome {
        let call = async |running: &mut Running| {
            let (instance, store) = (running.instance, &mut running.store);
            let handle = instance.get_typed_func::<Params<'_>, Return>(&mut *store, self.export)?;
            let metadata = Metadata { topic: topic.to_string() };
            let (result,) = handle.call_async(store, (payload, metadata)).await?;
            Ok(result.map_err(|Error::Other(sentence)| sentence))
        };
        Outcome::of(compiled.run(host, allowance, call).await)
    }
}

/// Whether the function takes bytes and a topic and returns a result.
fn fits(function: &ComponentFunc) -> bool {
    let params: Vec<Type> = function.params().map(|(_, ty)| ty).collect();
    let results: Vec<Type> = function.results().collect();
    let ([Type::List(bytes), Type::Record(metadata)], [Type::Result(result)]) =
        (&params[..], &results[..])
    else {
        return false;
    };
    let fields: Vec<_> =
        metadata.fields().map(|field| (field.name.to_string(), field.ty)).collect();
    let refusal = match result.err() {
        Some(Type::Variant(error)) => {
            let cases: Vec<_> = error.cases().map(|c| (c.name.to_string(), c.ty)).collect();
            matches!(&cases[..], [(name, Some(Type::String))] if name == "other")
        }
        _ => false,
    };
    bytes.ty() == Type::U8
        && matches!(&fields[..], [(name, Type::String)] if name == "topic")
        && result.ok().is_none()
        && refusal
}
