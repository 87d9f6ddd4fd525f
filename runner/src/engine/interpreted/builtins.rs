//! The functions that the component model itself offers to async components: to answer, to wait, to
//! read streams. Here is which there are and what their core types are; `tasks.rs` does them.

use wasmparser::{CanonicalFunction, ComponentValType, ValType};

use super::LoadError;
use super::link::canonical_options;
use super::plan::{Core, Options};
use super::scope::Scope;
use crate::engine::canonical::{Flat, FuncType, Shape, Type};

/// One of these functions.
pub(super) enum Builtin {
    /// `task.return`: the parameters of this type are the task's result.
    Return { ty: FuncType, options: Options },
    /// `task.cancel`, which only a task may call that was asked to: none is.
    Cancel,
    /// `context.get`
    Get { slot: usize, flat: Flat },
    /// `context.set`
    Set { slot: usize },
    /// `backpressure.inc` and `.dec`: a component is not called while it is busy anyway.
    Backpressure,
    /// `thread.yield`
    Yield,
    /// `waitable-set.new`
    NewSet,
    /// `waitable-set.wait`
    Wait { memory: Core },
    /// `waitable-set.poll`
    Poll { memory: Core },
    /// `waitable-set.drop`
    DropSet,
    /// `waitable.join`
    Join,
    /// `subtask.cancel`
    CancelCall,
    /// `subtask.drop`
    DropCall,
    /// `stream.read` and `future.read`
    Read { ty: Type, options: Options },
    /// `stream.cancel-read` and `future.cancel-read`: no read ever waits.
    CancelRead,
    /// `stream.drop-readable` and `future.drop-readable`
    DropReadable { ty: Type },
    /// `stream.new` and `future.new`
    Make,
    /// What is done to the end that is written to, which no component has.
    Writable,
}

type Signature = (Vec<Flat>, Vec<Flat>);

/// The function, with its core parameters and results.
pub(super) fn builtin(
    function: CanonicalFunction,
    scope: &Scope<'_>,
) -> Result<(Signature, Builtin), LoadError> {
    use CanonicalFunction as F;
    let words = |params: usize, results: usize| (vec![Flat::I32; params], vec![Flat::I32; results]);
    Ok(match function {
        F::TaskReturn { result, options } => {
            let options = canonical_options(&options, scope)?;
            let ty = FuncType { params: returned(result, scope)?, result: None };
            ((ty.lifted_params().to_vec(), Vec::new()), Builtin::Return { ty, options })
        }
        F::TaskCancel => (words(0, 0), Builtin::Cancel),
        F::ContextGet { ty, slot } => {
            let flat = context(ty)?;
            ((Vec::new(), vec![flat]), Builtin::Get { slot: slot as usize, flat })
        }
        F::ContextSet { ty, slot } => {
            ((vec![context(ty)?], Vec::new()), Builtin::Set { slot: slot as usize })
        }
        F::BackpressureInc | F::BackpressureDec => (words(0, 0), Builtin::Backpressure),
        F::ThreadYield { .. } => (words(0, 1), Builtin::Yield),
        F::WaitableSetNew => (words(0, 1), Builtin::NewSet),
        F::WaitableSetWait { memory, .. } => {
            (words(2, 1), Builtin::Wait { memory: scope.core_memory(memory)?.clone() })
        }
        F::WaitableSetPoll { memory, .. } => {
            (words(2, 1), Builtin::Poll { memory: scope.core_memory(memory)?.clone() })
        }
        F::WaitableSetDrop => (words(1, 0), Builtin::DropSet),
        F::WaitableJoin => (words(2, 0), Builtin::Join),
        F::SubtaskCancel { .. } => (words(1, 1), Builtin::CancelCall),
        F::SubtaskDrop => (words(1, 0), Builtin::DropCall),
        F::StreamRead { ty, options } => {
            let (ty, options) = (scope.types.readable(ty)?, canonical_options(&options, scope)?);
            (words(3, 1), Builtin::Read { ty, options })
        }
        F::FutureRead { ty, options } => {
            let (ty, options) = (scope.types.readable(ty)?, canonical_options(&options, scope)?);
            (words(2, 1), Builtin::Read { ty, options })
        }
        F::StreamCancelRead { .. } | F::FutureCancelRead { .. } => {
            (words(1, 1), Builtin::CancelRead)
        }
        F::StreamDropReadable { ty } | F::FutureDropReadable { ty } => {
            (words(1, 0), Builtin::DropReadable { ty: scope.types.readable(ty)? })
        }
        F::StreamNew { .. } | F::FutureNew { .. } => ((Vec::new(), vec![Flat::I64]), Builtin::Make),
        F::StreamWrite { .. } => (words(3, 1), Builtin::Writable),
        F::FutureWrite { .. } => (words(2, 1), Builtin::Writable),
        F::StreamCancelWrite { .. } | F::FutureCancelWrite { .. } => {
            (words(1, 1), Builtin::Writable)
        }
        F::StreamDropWritable { .. } | F::FutureDropWritable { .. } => {
            (words(1, 0), Builtin::Writable)
        }
        F::ErrorContextNew { .. } | F::ErrorContextDebugMessage { .. } | F::ErrorContextDrop => {
            return Err(LoadError::Unsupported("it uses error contexts".into()));
        }
        _ => return Err(LoadError::Unsupported("it uses threads".into())),
    })
}

/// A task's result as a list of parameters.
fn returned(
    result: Option<ComponentValType>,
    scope: &Scope<'_>,
) -> Result<Option<Type>, LoadError> {
    let Some(result) = result else { return Ok(None) };
    let list = Shape::Tuple([scope.types.valued(result)?].into());
    Type::new(list).map(Some).map_err(|error| LoadError::Refused(error.to_string()))
}

fn context(ty: ValType) -> Result<Flat, LoadError> {
    match ty {
        ValType::I32 => Ok(Flat::I32),
        ValType::I64 => Ok(Flat::I64),
        _ => Err(LoadError::Refused("it keeps something else than a number as a context".into())),
    }
}

/// Whether parameters of this type are the result of that function.
pub(super) fn is_result_of(returned: &FuncType, function: &FuncType) -> bool {
    match (returned.params.as_ref().map(Type::shape), &function.result) {
        (Some(Shape::Tuple(list)), Some(result)) => **list == [result.clone()],
        (None, None) => true,
        _ => false,
    }
}
