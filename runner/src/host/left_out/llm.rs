//! Language models, in a build without them: nothing is offered, and what asks for it is told which feature was left out.

use pirn_triggers::net::http::Client;

use super::Door;
use crate::engine::door::Answer;
use crate::files::runtime_config::LlmCompute;

/// None, wherever the operator has them.
pub(super) struct Models;

impl Models {
    /// None.
    pub(super) fn new(_: LlmCompute, _: Client) -> Self {
        Self
    }
}

pub(super) fn offer(_: &mut Door) -> Answer<()> {
    Ok(())
}
