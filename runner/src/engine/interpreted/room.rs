//! A guest's memory as the canonical ABI sees it, and core values as it does: as bits.

use wasmi::{F32, F64, Func, Memory, Store, TrapCode, Val};

use super::guest::State;
use crate::engine::canonical::{Flat, Heap, trap};
use crate::engine::fault::Fault;
use crate::limits::engine as limits;

/// A guest's memory, with its own allocator.
pub(super) struct Room<'a> {
    pub(super) store: &'a mut Store<State>,
    pub(super) memory: Option<Memory>,
    pub(super) realloc: Option<Func>,
    /// What its allocator may still use, for all values together.
    pub(super) fuel: u64,
}

impl Heap for Room<'_> {
    fn bytes(&mut self) -> &mut [u8] {
        match self.memory {
            Some(memory) => memory.data_mut(&mut *self.store),
            None => &mut [],
        }
    }

    /// Calls the guest's `realloc`, which may not call out and gets little more than one slice for all the
    /// values that pass at once: allocating is quick, and nobody else has a turn meanwhile.
    fn allocate(&mut self, align: u32, bytes: u32) -> Result<u32, Fault> {
        let realloc = self.realloc.ok_or_else(|| trap("it gave no `realloc` for a value"))?;
        let params = [0, 0, align, bytes].map(|word| Val::I32(word as i32));
        let mut result = [Val::I32(0)];
        let left = self.store.get_fuel().unwrap_or(0);
        let _ = self.store.set_fuel(self.fuel + limits::REALLOC_FUEL + u64::from(bytes));
        let called = realloc.call(&mut *self.store, &params, &mut result);
        self.fuel = self.store.get_fuel().unwrap_or(0).min(self.fuel);
        let _ = self.store.set_fuel(left);
        match (called, result) {
            (Ok(()), [Val::I32(at)]) => Ok(at as u32),
            (Ok(()), _) => Err(trap("its `realloc` returned no address")),
            (Err(error), _) if error.as_trap_code() == Some(TrapCode::OutOfFuel) => {
                Err(trap("its `realloc` did not return"))
            }
            (Err(error), _) => Err(Fault::from_interpreter(&error, &self.store.data().limiter)),
        }
    }
}

/// A core value of this type, from its bits.
pub(super) fn val(flat: Flat, cell: u64) -> Val {
    match flat {
        Flat::I32 => Val::I32(cell as i32),
        Flat::I64 => Val::I64(cell as i64),
        Flat::F32 => Val::F32(F32::from_bits(cell as u32)),
        Flat::F64 => Val::F64(F64::from_bits(cell)),
    }
}

/// A core value's bits. References are never among the values of a trampoline's or a lifted
/// function's type.
pub(super) fn cell(val: &Val) -> u64 {
    match val {
        Val::I32(word) => u64::from(*word as u32),
        Val::I64(word) => *word as u64,
        Val::F32(float) => u64::from(float.to_bits()),
        Val::F64(float) => float.to_bits(),
        Val::V128(_) | Val::FuncRef(_) | Val::ExternRef(_) => 0,
    }
}
