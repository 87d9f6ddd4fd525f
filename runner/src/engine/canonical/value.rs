//! A value on its way between a guest and whoever is on the other side. It says nothing of its type:
//! both ends know that, and it was compared when the component was linked.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use super::link::Link;
use super::pipe::Source;

/// A value of the component model.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Every number, `bool`, `char` and `flags`, as bits: signed integers sign-extended, floats as
    /// they are in memory.
    Bits(u64),
    /// `string`
    Text(String),
    /// `list<u8>`, which is never taken apart.
    Bytes(Bytes),
    /// Any other list.
    List(Vec<Value>),
    /// `record` and `tuple`.
    Fields(Vec<Value>),
    /// `variant`, `enum`, `option` and `result`: which case, and its payload.
    Case(u32, Option<Box<Value>>),
    /// A handle, as what it stands for.
    Handle(Handle),
    /// `stream`: the end that is read from.
    Stream(Flow),
    /// `future`: the same.
    Future(Flow),
}

/// Where what a stream or a future brings comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Flow {
    /// From outside of the guest.
    Host(Source),
    /// From one of its components.
    Guest(Link),
    /// From where an engine of its own keeps it.
    Foreign(Foreign),
}

/// Something that only the engine that it comes from knows; cheap to clone.
#[derive(Clone, Debug)]
pub struct Foreign(Arc<dyn Any + Send + Sync>);

impl Foreign {
    /// It is this.
    pub fn new(it: impl Any + Send + Sync) -> Self {
        Self(Arc::new(it))
    }

    /// What it is, for who made it.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl PartialEq for Foreign {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// It changed hands.
    Own(u32),
    /// It is lent for the time of the call.
    Borrow(u32),
}

impl Value {
    /// A case without payload.
    pub fn case(index: u32) -> Self {
        Self::Case(index, None)
    }

    /// A case with its payload.
    pub fn with(index: u32, payload: Self) -> Self {
        Self::Case(index, Some(Box::new(payload)))
    }
}
