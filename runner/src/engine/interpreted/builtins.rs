//! The functions that the component model itself offers to async components: to answer, to wait, to
//! make, read and write streams. Here is which there are and what their core types are; `tasks.rs` and `copies.rs` do
//! them.

use wasmparser::{CanonicalFunction, CanonicalOption, ComponentValType, ValType};

use super::LoadError;
use super::link::canonical_options;
use super::plan::{Core, Options};
use super::scope::Scope;
use crate::engine::canonical::{Flat, FuncType, Shape, Type, Way};

/// One of these functions.
pub(super) enum Builtin {
    /// `task.return`: the parameters of this type are the task's result.
    Return { ty: FuncType, options: Options },
    /// `task.cancel`, which only a task may call that was asked to.
    Cancel,
    /// `context.get`
    Get { slot: usize, flat: Flat },
    /// `context.set`
    Set { slot: usize },
    /// `backpressure.inc` and `.dec`: whether calls have to wait.
    Backpressure { more: bool },
    /// `thread.yield`
    Yield { cancellable: bool },
    /// `waitable-set.new`
    NewSet,
    /// `waitable-set.wait`
    Wait { cancellable: bool, memory: Core },
    /// `waitable-set.poll`
    Poll { cancellable: bool, memory: Core },
    /// `waitable-set.drop`
    DropSet,
    /// `waitable.join`
    Join,
    /// `subtask.cancel`
    CancelCall { waits: bool },
    /// `subtask.drop`
    DropCall,
    /// `stream.new` and `future.new`
    Make { ty: Type },
    /// `stream.read`, `stream.write` and the same of futures
    Copy(Copying),
    /// What gives these up.
    CancelCopy { way: Way, ty: Type, waits: bool },
    /// `stream.drop-readable`, `stream.drop-writable` and the same of futures
    DropEnd { way: Way, ty: Type },
}

/// How values of a stream or a future are copied.
pub(super) struct Copying {
    pub(super) way: Way,
    /// The stream's or the future's type.
    pub(super) ty: Type,
    pub(super) options: Options,
}

impl Copying {
    /// What is copied; `None` if it is nothing but that it came.
    pub(super) fn item(&self) -> Option<&Type> {
        match self.ty.shape() {
            Shape::Stream(item) | Shape::Future(item) => item.as_ref(),
            _ => None,
        }
    }

    pub(super) fn item_bytes(&self) -> u32 {
        self.item().map_or(0, Type::bytes)
    }

    pub(super) fn is_future(&self) -> bool {
        matches!(self.ty.shape(), Shape::Future(_))
    }
}

impl Builtin {
    /// Whether a component that cleans up may not call it.
    pub(super) fn leaves(&self) -> bool {
        !matches!(self, Self::Get { .. } | Self::Set { .. } | Self::Backpressure { .. })
    }
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
            let params = returned(result, scope)?;
            let ty = FuncType { params, result: None, waits: false };
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
        F::BackpressureInc => (words(0, 0), Builtin::Backpressure { more: true }),
        F::BackpressureDec => (words(0, 0), Builtin::Backpressure { more: false }),
        F::ThreadYield { cancellable } => (words(0, 1), Builtin::Yield { cancellable }),
        F::WaitableSetNew => (words(0, 1), Builtin::NewSet),
        F::WaitableSetWait { memory, cancellable } => {
            let memory = scope.core_memory(memory)?.clone();
            (words(2, 1), Builtin::Wait { cancellable, memory })
        }
        F::WaitableSetPoll { memory, cancellable } => {
            let memory = scope.core_memory(memory)?.clone();
            (words(2, 1), Builtin::Poll { cancellable, memory })
        }
        F::WaitableSetDrop => (words(1, 0), Builtin::DropSet),
        F::WaitableJoin => (words(2, 0), Builtin::Join),
        F::SubtaskCancel { async_ } => (words(1, 1), Builtin::CancelCall { waits: !async_ }),
        F::SubtaskDrop => (words(1, 0), Builtin::DropCall),
        F::StreamNew { ty } | F::FutureNew { ty } => {
            ((Vec::new(), vec![Flat::I64]), Builtin::Make { ty: scope.types.readable(ty)? })
        }
        F::StreamRead { ty, options } => (words(3, 1), copy(Way::Read, ty, &options, scope)?),
        F::FutureRead { ty, options } => (words(2, 1), copy(Way::Read, ty, &options, scope)?),
        F::StreamWrite { ty, options } => (words(3, 1), copy(Way::Write, ty, &options, scope)?),
        F::FutureWrite { ty, options } => (words(2, 1), copy(Way::Write, ty, &options, scope)?),
        F::StreamCancelRead { ty, async_ } | F::FutureCancelRead { ty, async_ } => {
            let (way, ty, waits) = (Way::Read, scope.types.readable(ty)?, !async_);
            (words(1, 1), Builtin::CancelCopy { way, ty, waits })
        }
        F::StreamCancelWrite { ty, async_ } | F::FutureCancelWrite { ty, async_ } => {
            let (way, ty, waits) = (Way::Write, scope.types.readable(ty)?, !async_);
            (words(1, 1), Builtin::CancelCopy { way, ty, waits })
        }
        F::StreamDropReadable { ty } | F::FutureDropReadable { ty } => {
            (words(1, 0), Builtin::DropEnd { way: Way::Read, ty: scope.types.readable(ty)? })
        }
        F::StreamDropWritable { ty } | F::FutureDropWritable { ty } => {
            (words(1, 0), Builtin::DropEnd { way: Way::Write, ty: scope.types.readable(ty)? })
        }
        F::ErrorContextNew { .. } | F::ErrorContextDebugMessage { .. } | F::ErrorContextDrop => {
            return Err(LoadError::Unsupported("it uses error contexts".into()));
        }
        _ => return Err(LoadError::Unsupported("it uses threads".into())),
    })
}

fn copy(
    way: Way,
    ty: u32,
    options: &[CanonicalOption],
    scope: &Scope<'_>,
) -> Result<Builtin, LoadError> {
    let (ty, options) = (scope.types.readable(ty)?, canonical_options(options, scope)?);
    Ok(Builtin::Copy(Copying { way, ty, options }))
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
