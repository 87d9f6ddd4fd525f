//! What one instance may grow to: linear memory, tables, how many of each. It remembers what it
//! refused, because a guest that could not grow its memory usually traps a little later, and the
//! outcome should name the cause.

use crate::limits::engine as limits;

#[derive(Debug)]
pub(super) struct Limiter {
    memory_bytes_max: usize,
    /// Linear memory of all the instance's memories together.
    memory_bytes: usize,
    /// Entries of all its tables together.
    table_elements: usize,
    /// What was granted last, of each: it is given back if the growth fails all the same. An interpreted guest that
    /// runs out of its slice there asks once more.
    last_granted: (usize, usize),
    /// What its calls may take of its stack; the engine holds this, here it is for messages.
    stack_bytes_max: usize,
    refused: Option<Refused>,
}

/// The first growth that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Memory,
    Table,
}

impl Limiter {
    pub(super) fn new(memory_bytes_max: usize, stack_bytes_max: usize) -> Self {
        let (memory_bytes, table_elements, last_granted) = (0, 0, (0, 0));
        let refused = None;
        Self {
            memory_bytes_max,
            memory_bytes,
            table_elements,
            last_granted,
            stack_bytes_max,
            refused,
        }
    }

    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    pub(super) fn memory_bytes_max(&self) -> usize {
        self.memory_bytes_max
    }

    pub(super) fn stack_bytes_max(&self) -> usize {
        self.stack_bytes_max
    }

    /// Whether all memories together may grow by as much as one of them wants to.
    fn memory_may_grow(&mut self, current: usize, desired: usize) -> bool {
        let total = self.memory_bytes.saturating_sub(current).saturating_add(desired);
        self.last_granted.0 = 0;
        if total > self.memory_bytes_max {
            self.refused.get_or_insert(Refused::Memory);
            return false;
        }
        self.last_granted.0 = total.saturating_sub(self.memory_bytes);
        self.memory_bytes = total;
        true
    }

    fn memory_did_not_grow(&mut self) {
        self.memory_bytes -= std::mem::take(&mut self.last_granted.0);
    }

    /// The same of all tables.
    fn table_may_grow(&mut self, current: usize, desired: usize) -> bool {
        let total = self.table_elements.saturating_sub(current).saturating_add(desired);
        self.last_granted.1 = 0;
        if total > limits::TABLE_ELEMENTS_MAX {
            self.refused.get_or_insert(Refused::Table);
            return false;
        }
        self.last_granted.1 = total.saturating_sub(self.table_elements);
        self.table_elements = total;
        true
    }

    fn table_did_not_grow(&mut self) {
        self.table_elements -= std::mem::take(&mut self.last_granted.1);
    }
}

/// Each engine has a trait of its own for the same questions.
macro_rules! limits {
    ($limiter:path, $error:ty, $memory:ty, $table:ty) => {
        impl $limiter for Limiter {
            fn memory_growing(
                &mut self,
                current: usize,
                desired: usize,
                _maximum: Option<usize>,
            ) -> Result<bool, $error> {
                Ok(self.memory_may_grow(current, desired))
            }

            fn table_growing(
                &mut self,
                current: usize,
                desired: usize,
                _maximum: Option<usize>,
            ) -> Result<bool, $error> {
                Ok(self.table_may_grow(current, desired))
            }

            fn memory_grow_failed(&mut self, _: $memory) -> Result<(), $error> {
                self.memory_did_not_grow();
                Ok(())
            }

            fn table_grow_failed(&mut self, _: $table) -> Result<(), $error> {
                self.table_did_not_grow();
                Ok(())
            }

            fn instances(&self) -> usize {
                limits::CORE_INSTANCES_MAX
            }

            fn tables(&self) -> usize {
                limits::TABLES_MAX
            }

            fn memories(&self) -> usize {
                limits::MEMORIES_MAX
            }
        }
    };
}

limits!(wasmtime::ResourceLimiter, wasmtime::Error, wasmtime::Error, wasmtime::Error);
limits!(
    wasmi::ResourceLimiter,
    wasmi_core::LimiterError,
    &wasmi_core::MemoryError,
    &wasmi_core::TableError
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_memories_share_one_budget() {
        let mut limiter = Limiter::new(100, 0);
        assert!(limiter.memory_may_grow(0, 60));
        assert!(limiter.memory_may_grow(0, 40));
        assert!(!limiter.memory_may_grow(40, 41));
        assert_eq!(limiter.refused(), Some(Refused::Memory));
    }

    #[test]
    fn what_did_not_grow_after_all_is_not_counted() {
        let mut limiter = Limiter::new(100, 0);
        assert!(limiter.memory_may_grow(0, 60));
        for _ in 0..5 {
            assert!(limiter.memory_may_grow(60, 100));
            limiter.memory_did_not_grow();
        }
        assert!(!limiter.memory_may_grow(60, 101));
        // Refused, nothing was granted that could be given back.
        limiter.memory_did_not_grow();
        assert!(limiter.memory_may_grow(60, 100) && !limiter.memory_may_grow(100, 101));
    }

    #[test]
    fn several_tables_share_one_budget() {
        let mut limiter = Limiter::new(0, 0);
        let half = limits::TABLE_ELEMENTS_MAX / 2;
        assert!(limiter.table_may_grow(0, half));
        assert!(limiter.table_may_grow(0, half));
        assert!(!limiter.table_may_grow(0, 1));
        assert_eq!(limiter.refused(), Some(Refused::Table));
    }
}
