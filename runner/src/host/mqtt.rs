//! Outbound MQTT: `fermyon:spin/mqtt@2.0.0` and its async twin. A connection is a grant to use one of
//! the app's sessions: to the app's own broker it is the trigger's, so that no event pays for a
//! connection.

use crate::engine::door::{Answer, Door};

/// What a component may publish.
pub struct Grant;

/// A publish that is not yet acknowledged.
pub struct Receipt;

pub(super) fn offer(_door: &mut Door) -> Answer<()> {
    Ok(())
}
