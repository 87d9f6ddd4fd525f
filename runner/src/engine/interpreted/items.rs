//! What components import and export while they are walked: things that are known, but not made yet.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::LoadError;
use super::plan::Target;
use super::scope::Component;
use super::types::TypeDef;
use crate::engine::canonical::FuncType;
use crate::limits::engine as limits;

/// Anything that a component can import or export.
#[derive(Clone)]
pub(super) enum Item<'a> {
    Func(Func),
    Instance(Rc<Items<'a>>),
    Type(TypeDef<'a>),
    Component(Component<'a>),
    Module(usize),
}

/// What an instance exports, and how deep the instances among that nest.
pub(super) struct Items<'a> {
    pub(super) all: BTreeMap<String, Item<'a>>,
    depth: u32,
}

impl<'a> Items<'a> {
    /// Refused if they nest too deep: dropping them is recursive.
    pub(super) fn new(all: BTreeMap<String, Item<'a>>) -> Result<Rc<Self>, LoadError> {
        let depths = all.values().map(|item| match item {
            Item::Instance(items) => items.depth + 1,
            _ => 0,
        });
        let (depth, most) = (depths.max().unwrap_or(0), limits::INSTANCE_DEPTH_MAX);
        if depth > most {
            let sentence = format!("its interfaces nest deeper than {most}");
            return Err(LoadError::Refused(sentence));
        }
        Ok(Rc::new(Self { all, depth }))
    }
}

/// A function, once it is known what it is.
#[derive(Clone)]
pub(super) enum Func {
    Typed {
        target: Target,
        ty: Arc<FuncType>,
    },
    /// It has a type that this engine does not take.
    Unsupported(Arc<str>),
}
