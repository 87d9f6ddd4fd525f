//! Redis, in a build without it: nothing is offered, and what asks for it is told which feature was left out.

use super::Door;
use crate::engine::door::Answer;

pub(super) fn offer(_: &mut Door) -> Answer<()> {
    Ok(())
}
