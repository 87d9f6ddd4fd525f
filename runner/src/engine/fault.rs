//! How a guest failed, in words an operator can act on. A guest's failure is a value, never our error.

use std::fmt;
use std::time::Duration;

use wasmi::TrapCode;
use wasmtime::{Trap, WasmBacktrace};

use super::limiter::{Limiter, Refused};
use crate::limits::engine as limits;

/// Why an invocation was ended by us or by the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ran longer than its deadline.
    Deadline(Duration),
    /// It needed more linear memory than it may have.
    Memory {
        /// The component's limit.
        bytes_max: usize,
        /// The guest's functions when it gave up, innermost first.
        backtrace: Vec<String>,
    },
    /// Its calls nested deeper than its stack.
    Stack {
        /// What its calls may take.
        bytes_max: usize,
        /// The guest's functions, innermost first.
        backtrace: Vec<String>,
    },
    /// It could not even begin: its code is not to be had.
    Code(String),
    /// It ran into another cap; the sentence names it.
    Limit(String),
    /// It trapped.
    Trap {
        /// What happened.
        message: String,
        /// The guest's functions, innermost first.
        backtrace: Vec<String>,
    },
    /// It called `exit` with this status. A world decides what 0 means: usually that it is done.
    Exit(u8),
}

impl Fault {
    /// One word for counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deadline(_) => "deadline",
            Self::Memory { .. } => "memory",
            Self::Stack { .. } => "stack",
            Self::Code(_) => "code",
            Self::Limit(_) => "limit",
            Self::Trap { .. } => "trap",
            Self::Exit(_) => "exit",
        }
    }

    /// The guest's functions at the fault, innermost first.
    pub fn backtrace(&self) -> &[String] {
        match self {
            Self::Memory { backtrace, .. }
            | Self::Stack { backtrace, .. }
            | Self::Trap { backtrace, .. } => backtrace,
            Self::Deadline(_) | Self::Code(_) | Self::Limit(_) | Self::Exit(_) => &[],
        }
    }

    /// What an error of the engine means, given what the limiter refused on the way.
    pub(super) fn from_error(error: &wasmtime::Error, limiter: &Limiter) -> Self {
        if let Some(ended) = error.downcast_ref::<Ended>() {
            return ended.0.clone();
        }
        let cause = match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => Cause::Stack,
            Some(Trap::UnreachableCodeReached) => {
                Cause::GaveUp(Trap::UnreachableCodeReached.to_string())
            }
            Some(trap) => Cause::Trap(trap.to_string()),
            None if is_host_call_fuel(error) => Cause::HostCallBytes,
            None => Cause::GaveUp(error.root_cause().to_string()),
        };
        Self::of(cause, limiter, backtrace(error))
    }

    /// The same of an error of the interpreter, which keeps no backtraces.
    pub(super) fn from_interpreter(error: &wasmi::Error, limiter: &Limiter) -> Self {
        let cause = match error.as_trap_code() {
            Some(TrapCode::StackOverflow) => Cause::Stack,
            Some(code @ TrapCode::UnreachableCodeReached) => Cause::GaveUp(described(code)),
            Some(code) => Cause::Trap(described(code)),
            None => Cause::GaveUp(error.to_string()),
        };
        Self::of(cause, limiter, Vec::new())
    }

    /// What a cause means, given what the limiter refused on the way.
    fn of(cause: Cause, limiter: &Limiter, backtrace: Vec<String>) -> Self {
        match (cause, limiter.refused()) {
            (Cause::Stack, _) => Self::Stack { bytes_max: limiter.stack_bytes_max(), backtrace },
            (Cause::GaveUp(_), Some(Refused::Memory)) => {
                Self::Memory { bytes_max: limiter.memory_bytes_max(), backtrace }
            }
            (_, Some(Refused::Table)) => Self::Limit(format!(
                "it needed tables of more than {} entries",
                limits::TABLE_ELEMENTS_MAX
            )),
            (Cause::HostCallBytes, _) => Self::Limit(format!(
                "it passed more than {} KiB to one host call",
                limits::HOST_CALL_BYTES_MAX / 1024
            )),
            (Cause::GaveUp(message) | Cause::Trap(message), _) => Self::Trap { message, backtrace },
        }
    }
}

/// What an engine says happened.
enum Cause {
    Stack,
    HostCallBytes,
    /// It aborted, or could not even be made: the reason may be something it was refused before.
    GaveUp(String),
    Trap(String),
}

/// An interpreter's trap in the words of the other engine, so that operators read the same.
fn described(code: TrapCode) -> String {
    match code {
        TrapCode::IndirectCallToNull => "wasm trap: uninitialized element".into(),
        code => format!("wasm trap: {code}"),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline(limit) => write!(f, "it ran longer than its deadline of {limit:?}")?,
            Self::Memory { bytes_max, .. } => {
                write!(f, "it needed more than its {} KiB of memory", bytes_max / 1024)?;
            }
            Self::Stack { bytes_max, .. } => {
                write!(f, "its calls nested deeper than {} KiB", bytes_max / 1024)?;
            }
            Self::Code(why) => write!(f, "its code is not to be had: {why}")?,
            Self::Limit(sentence) => f.write_str(sentence)?,
            Self::Trap { message, .. } => write!(f, "it trapped: {message}")?,
            Self::Exit(status) => write!(f, "it exited with status {status}")?,
        }
        if let Some(first) = self.backtrace().first() {
            write!(f, " (in {first}")?;
            for name in self.backtrace().iter().skip(1).take(3) {
                write!(f, " < {name}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Carries a fault that a host function decided on through the engine's error.
#[derive(Debug)]
pub(crate) struct Ended(pub(crate) Fault);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Ended {}

impl Fault {
    /// Ends the guest from inside a host function.
    pub(crate) fn end<T>(self) -> wasmtime::Result<T> {
        Err(wasmtime::Error::new(Ended(self)))
    }
}

/// wasmtime gives this cap no type of its own; a test holds the words.
fn is_host_call_fuel(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls")
}

fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let named = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    named.take(limits::BACKTRACE_FRAMES_MAX).map(demangled).collect()
}

/// A readable function name: Rust's mangling undone, the hash left out.
fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
