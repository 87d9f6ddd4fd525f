//! The engine's settings, in one function for both sides: the workbench compiles with exactly what
//! the board loads with. An artifact made under other settings is refused when it is loaded.

use std::fmt;

use wasmtime::{Config, ModuleVersionStrategy, WasmBacktraceDetails};

use crate::limits::engine as limits;

/// The version of wasmtime that both sides are built from; a test holds it to Cargo.lock.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// Grows whenever the settings below change in a way wasmtime itself would not notice.
const SETTINGS_REVISION: u32 = 4;

/// The form of compiled code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Machine code for the board's CPU.
    Native,
    /// Pulley bytecode of this pointer width, for CPUs without a compiler backend.
    Pulley(PointerWidth),
}

/// The pointer width a Pulley artifact was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointerWidth {
    /// `pulley32`: ARMv6 and ARMv7 boards.
    Bits32,
    /// `pulley64`.
    Bits64,
}

impl Code {
    /// Pulley of this machine's own pointer width.
    pub const fn pulley_here() -> Self {
        match size_of::<usize>() {
            4 => Self::Pulley(PointerWidth::Bits32),
            _ => Self::Pulley(PointerWidth::Bits64),
        }
    }

    /// wasmtime's name of the Pulley target, or `None` for machine code.
    pub const fn pulley_target(self) -> Option<&'static str> {
        match self {
            Self::Native => None,
            Self::Pulley(PointerWidth::Bits32) => Some("pulley32"),
            Self::Pulley(PointerWidth::Bits64) => Some("pulley64"),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pulley_target().unwrap_or("native"))
    }
}

/// The version string that artifacts carry and are checked against.
pub fn artifact_version() -> String {
    format!("pirn{SETTINGS_REVISION}+wasmtime{WASMTIME_VERSION}")
}

/// Address space kept for one linear memory.
pub(super) const fn memory_reservation_bytes(code: Code) -> u64 {
    match code {
        Code::Native => limits::MEMORY_RESERVATION_NATIVE_BYTES,
        Code::Pulley(PointerWidth::Bits64) => limits::MEMORY_RESERVATION_BYTES,
        Code::Pulley(PointerWidth::Bits32) => limits::MEMORY_RESERVATION_32_BIT_BYTES,
    }
}

/// What is unmapped behind it.
pub(super) const fn memory_guard_bytes(code: Code) -> u64 {
    match code {
        Code::Native => limits::MEMORY_GUARD_NATIVE_BYTES,
        Code::Pulley(_) => limits::MEMORY_GUARD_BYTES,
    }
}

/// Settings for artifacts of this form. `target` names the CPU when compiling for another machine;
/// the runner passes `None` and gets its own.
pub fn config(code: Code, target: Option<&str>) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    if let Some(triple) = code.pulley_target().or(target) {
        config.target(triple)?;
    }
    config.module_version(ModuleVersionStrategy::Custom(artifact_version()))?;

    // What guests may use: the component model with Spin 4's async, no threads, no collector.
    config.wasm_component_model_async(true);
    // Guests of languages without callbacks wait where they stand.
    config.wasm_component_model_async_stackful(true);
    config.wasm_component_model_more_async_builtins(true);
    config.gc_support(false);

    // Time: guests yield at epoch ticks, so a busy one never stops the loop.
    config.epoch_interruption(true);

    // Space: addresses instead of checks, the initial image mapped copy-on-write, small stacks.
    config.memory_reservation(memory_reservation_bytes(code));
    config.memory_reservation_for_growth(limits::MEMORY_RESERVATION_FOR_GROWTH_BYTES);
    config.memory_guard_size(memory_guard_bytes(code));
    config.memory_init_cow(true);
    stack(&mut config, limits::FIBER_STACK_BYTES);

    // Guests are never unwound, only dropped. And the list of all functions that could be, which the C library keeps, is
    // gone through from end to end for each function of code that is let go of: 50 ms a component where hundreds are
    // loaded.
    config.native_unwind_info(false);

    // A trap names the guest's functions; source lines would cost bytes in every artifact.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.generate_address_map(false);
    Ok(config)
}

/// The stack that instances run on; artifacts do not depend on it.
pub(super) fn stack(config: &mut Config, bytes: usize) {
    config.max_wasm_stack(limits::wasm_stack_bytes(bytes));
    config.async_stack_size(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_in_artifacts_is_the_one_in_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        let entry = format!("name = \"wasmtime\"\nversion = \"{WASMTIME_VERSION}\"");
        assert!(lock.contains(&entry), "Cargo.lock has another wasmtime");
    }
}
