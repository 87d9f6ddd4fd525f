//! The engine with the examples as they are shipped, and with components by hand.

mod borders;
mod broken;
mod budgets;
mod hostile;
mod resources;
mod tasks;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use wasmtime::component::Resource;

use super::*;
use crate::engine::door::Twin;
use crate::host;
use crate::host::wasi::testing::host;

const ALLOWANCE: Allowance =
    Allowance { memory_bytes_max: 4 << 20, deadline: Duration::from_secs(20) };

/// Something that guests hold handles of.
struct Thing;

/// How many things were dropped, by all tests together.
static DROPPED: AtomicU32 = AtomicU32::new(0);

impl std::ops::Drop for Thing {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Relaxed);
    }
}

/// Everything that a build offers, and an interface for these tests.
fn engine() -> Engine {
    Engine::start(|door| {
        host::offer(door)?;
        let mut test = door.interface("test:host/it@1.0.0")?;
        test.at_once("double", |_, (number,): (u32,)| Ok((number.wrapping_mul(2),)))?;
        test.at_once("shout", |_, (text,): (String,)| Ok((text.to_uppercase(),)))?;
        test.at_once("fail", |_, (): ()| -> Answer<()> {
            Fault::Limit("it asked for too much".into()).end()
        })?;
        test.waiting(Twin::Sync, "wait", |_, (ms,): (u32,)| async move {
            tokio::time::sleep(Duration::from_millis(ms.into())).await;
            Ok((ms,))
        })?;
        test.at_once("add", |_, numbers: (u32, u32, u32, u32, u32)| {
            Ok((numbers.0 + numbers.1 + numbers.2 + numbers.3 + numbers.4,))
        })?;
        test.streaming("count", |_, (to,): (u32,)| async move {
            Ok(Ok::<Vec<u32>, String>((1..=to).collect()))
        })?;
        test.waiting(Twin::Async, "look-slowly", |_, (_,): (Resource<Thing>,)| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok((1_u32,))
        })?;
        test.resource::<Thing>("thing")?;
        test.at_once("make", |host, (): ()| Ok((host.push(Thing)?,)))?;
        test.at_once("look", |host, (thing,): (Resource<Thing>,)| host.with(&thing, |_| ()))?;
        test.at_once("take", |host, (thing,): (Resource<Thing>,)| host.take(thing).map(drop))
    })
    .unwrap()
}

fn load(text: &str) -> Result<Interpreted, LoadError> {
    engine().load(&wat::parse_str(text).unwrap())
}

async fn call(text: &str, name: &str, params: Vec<Value>) -> Result<Option<Value>, Fault> {
    let loaded = load(text).unwrap();
    let (_, index) = loaded.exported_function(name).unwrap();
    loaded.call(index, host(), ALLOWANCE, params).await
}

fn traps(result: Result<Option<Value>, Fault>, sentence: &str) {
    let fault = result.unwrap_err();
    assert!(matches!(fault, Fault::Trap { .. }) && fault.to_string().contains(sentence), "{fault}");
}

fn example(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    std::fs::read(folder.join(format!("{name}.wasm"))).unwrap()
}

#[tokio::test]
async fn the_examples_run_as_their_compiler_left_them() {
    for (name, refusal) in [
        ("echo", "variable \"broker\" is not defined"),
        ("thermostat", "topic \"a/in/b\" is not home/<room>/temperature"),
    ] {
        let loaded = engine().load(&example(name)).unwrap();
        assert_eq!(loaded.export_names(), ["handle-message"]);
        assert!(loaded.missing_imports().is_empty(), "{:?}", loaded.missing_imports());
        let (ty, index) = loaded.exported_function("handle-message").unwrap();
        assert_eq!(
            ty.to_string(),
            "func(list<u8>, record { topic: string }) -> result<_, variant { other(string) }>"
        );
        for _ in 0..2 {
            let metadata = Value::Fields(vec![Value::Text("a/in/b".into())]);
            let params = vec![Value::Bytes("21.5".into()), metadata];
            let result = loaded.call(index, host(), ALLOWANCE, params).await.unwrap();
            let error = Value::with(0, Value::Text(refusal.into()));
            assert_eq!(result, Some(Value::with(1, error)));
        }
    }
}
