//! Databases, in a build without them: nothing is offered, and what asks for it is told which feature was left out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Door;
use crate::engine::door::Answer;

/// None.
#[derive(Clone, Debug, Default)]
pub struct Databases {}

impl Databases {
    /// None, wherever.
    pub fn new(_folder: PathBuf) -> Self {
        Self {}
    }

    /// There is nothing to close.
    pub async fn close(&self) {}
}

/// Nothing is granted.
#[derive(Clone, Debug, Default)]
pub struct Grant {}

impl Grant {
    /// Nothing, whatever is asked.
    pub fn new(_: Databases, _: BTreeMap<String, PathBuf>, _bytes_max: u64) -> Self {
        Self {}
    }
}

pub(super) fn offer(_: &mut Door) -> Answer<()> {
    Ok(())
}
