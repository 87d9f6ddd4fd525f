//! The fuzz target: bytes as a component. What loads is described and called, each function with values made
//! from the file's own bytes, within a small allowance. Whatever a file says, nothing may panic, run
//! much longer than its deadline or take memory out of proportion; `run` sets these two limits.
//!
//! It does not judge answers: `tests/tests/two_engines_one_abi.rs` does.
#![no_main]

mod host;
mod sections;
mod stack;
mod values;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use pirn_runner::engine::Allowance;
use pirn_runner::engine::interpreted::{Engine, Interpreted};
use pirn_runner::host::Host;

use self::values::Source;

/// Small, so that a loop costs little: most of what can go wrong goes wrong early.
const ALLOWANCE: Allowance =
    Allowance { memory_bytes_max: 1 << 20, deadline: Duration::from_millis(50) };
/// How long one input may run for in all: a second function that loops tells no more than the first.
const CALLS_MAX: Duration = Duration::from_millis(60);
/// Functions of one component that are called.
const FUNCTIONS_MAX: usize = 16;
/// Inputs that one engine loads: wasmi keeps something of each module, 600 bytes in the mean, until its engine ends.
const INPUTS_PER_ENGINE: usize = 20_000;

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

/// What all inputs share.
struct Bench {
    engine: Engine<Host>,
    inputs: usize,
    grants: host::Shared,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        Self {
            engine: host::engine(),
            inputs: 0,
            grants: host::grants(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made"),
        }
    }

    fn run(&mut self, bytes: &[u8]) {
        self.inputs += 1;
        if self.inputs.is_multiple_of(INPUTS_PER_ENGINE) {
            self.engine = host::engine();
        }
        let component = match self.engine.load(bytes) {
            Ok(component) => component,
            Err(error) => return drop(error.to_string()),
        };
        // What is asked of every component when an app is loaded.
        let _ = (component.missing_imports(), component.memory_bytes_min(), component.code_bytes());
        let mut source = Source::new(bytes);
        let begun = Instant::now();
        for function in functions(&component) {
            if begun.elapsed() > CALLS_MAX {
                return;
            }
            self.call(&component, function, &mut source);
        }
    }

    fn call(&self, component: &Component, (ty, function): Function<'_>, source: &mut Source<'_>) {
        let _ = ty.to_string();
        let Some(params) = source.params(ty) else { return };
        let host = Host::new(self.grants.clone());
        let call = component.call(function, host, ALLOWANCE, params);
        if let Err(fault) = self.runtime.block_on(call) {
            let _ = fault.to_string();
        }
    }
}

type Component = Interpreted<Host>;
type Function<'c> = (&'c pirn_runner::engine::canonical::FuncType, usize);

/// The functions that a world could find: exported by name, or in an exported interface under a name that the
/// seeds use.
fn functions(component: &Component) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    for export in component.export_names() {
        found.extend(component.exported_function(&export));
        let members = host::MEMBERS.iter();
        found.extend(members.filter_map(|name| component.exported_member(&export, name)));
    }
    found.truncate(FUNCTIONS_MAX);
    found
}

fuzz_target!(init: stack::report_overflows(), |bytes: &[u8]| {
    BENCH.with_borrow_mut(|bench| bench.run(bytes));
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    sections::mutate(data, size, max_size, seed)
});
