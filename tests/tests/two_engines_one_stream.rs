//! Streams and futures of the interpreted engine against wasmtime's, on the same component: random scripts of what a guest
//! does to its ends, and all that it is told of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use pirn_runner::engine::canonical::Value;
use pirn_runner::engine::config::{self, Code};
use pirn_runner::engine::door::Answer;
use pirn_runner::engine::interpreted::Engine;
use pirn_runner::engine::{Allowance, Holds};
use wasmtime::component::{Component, Linker, Resource};

#[derive(Clone)]
struct Nothing;

impl Holds for Nothing {
    fn drop_resource<T: Send + 'static>(&self, _: Resource<T>) -> Answer<()> {
        Ok(())
    }
}

/// A xorshift: the same scripts in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}

/// Most are copies; now and then one of nothing. But no reads of nothing: wasmtime takes one that it has completed for one
/// that still waits (the component model's suite says what is right, in `zero-length.wast`).
fn script(random: &mut Random) -> Vec<u8> {
    let mut script: Vec<u8> = (0..4).flat_map(|which| [0, which, 0]).collect();
    for _ in 0..10 + random.below(50) {
        let what = [0, 1, 1, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 9][random.below(15)];
        let count = [0, 1, 2, 3, 5, 8][random.below(6)].max(u8::from(what == 1));
        script.extend([what, random.below(4) as u8, count]);
    }
    script
}

#[tokio::test]
async fn random_scripts_of_copies_are_told_the_same_by_both() {
    let bytes = wat::parse_str(include_str!("component/script.wat")).unwrap();
    let ours = Engine::start(|_| Ok(())).unwrap().load(&bytes).unwrap();
    let (_, run) = ours.exported_function("run").unwrap();
    let theirs = wasmtime::Engine::new(&config::config(Code::Native, None).unwrap()).unwrap();
    let component = Component::new(&theirs, &bytes).unwrap();
    let allowance = Allowance { memory_bytes_max: 4 << 20, deadline: Duration::from_secs(20) };
    let mut random = Random(0x5eed);
    let (mut told, mut trapped) = (0, 0);
    for number in 0..3_000 {
        let script = script(&mut random);
        let params = vec![Value::Bytes(script.clone().into())];
        let found = match ours.call(run, Nothing, allowance, params).await {
            Ok(Some(Value::List(words))) => Ok(words
                .iter()
                .map(|word| match word {
                    Value::Bits(bits) => *bits as u32,
                    other => panic!("{other:?}"),
                })
                .collect::<Vec<u32>>()),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.to_string()),
        };
        let mut store = wasmtime::Store::new(&theirs, ());
        store.set_epoch_deadline(1);
        let instance =
            Linker::new(&theirs).instantiate_async(&mut store, &component).await.unwrap();
        let run = instance.get_typed_func::<(Vec<u8>,), (Vec<u32>,)>(&mut store, "run").unwrap();
        let expected = run.call_async(&mut store, (script.clone(),)).await.map(|(words,)| words);
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found, expected, "script {number}: {script:?}");
                told += found.len();
            }
            (Err(_), Err(_)) => trapped += 1,
            (found, expected) => panic!("script {number}: {found:?}, {expected:?}: {script:?}"),
        }
    }
    // Most run to their end, and some are meant to trap.
    assert!(told > 100_000 && trapped > 0 && trapped < 1_000, "{told} {trapped}");
}
