//! The engine with components by hand, and with capabilities that know no host. The examples, with everything
//! that a build offers, are in `runner/tests/interpreted.rs`.

mod borders;
mod broken;
mod budgets;
mod hostile;
mod memory;
mod resources;
mod tasks;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use wasmtime::component::{Resource, ResourceTable};

use super::*;
use crate::engine::door::Twin;

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

/// What the tests' capabilities live in: things behind handles, and nothing else.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<ResourceTable>>);

impl Shelf {
    fn things(&self) -> MutexGuard<'_, ResourceTable> {
        self.0.lock().unwrap()
    }
}

impl Holds for Shelf {
    fn drop_resource<T: Send + 'static>(&self, handle: Resource<T>) -> Answer<()> {
        self.things().delete(handle)?;
        Ok(())
    }
}

/// An engine that offers one interface.
fn engine() -> Engine<Shelf> {
    Engine::start(|door: &mut Door<Shelf>| {
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
        test.at_once("make", |shelf, (): ()| Ok((shelf.things().push(Thing)?,)))?;
        test.at_once("look", |shelf, (thing,): (Resource<Thing>,)| {
            shelf.things().get(&thing)?;
            Ok(())
        })?;
        test.at_once("take", |shelf, (thing,): (Resource<Thing>,)| shelf.drop_resource(thing))
    })
    .unwrap()
}

fn load(text: &str) -> Result<Interpreted<Shelf>, LoadError> {
    engine().load(&wat::parse_str(text).unwrap())
}

async fn call(text: &str, name: &str, params: Vec<Value>) -> Result<Option<Value>, Fault> {
    let loaded = load(text).unwrap();
    let (_, index) = loaded.exported_function(name).unwrap();
    loaded.call(index, Shelf::default(), ALLOWANCE, params).await
}

fn traps(result: Result<Option<Value>, Fault>, sentence: &str) {
    let fault = result.unwrap_err();
    assert!(matches!(fault, Fault::Trap { .. }) && fault.to_string().contains(sentence), "{fault}");
}
