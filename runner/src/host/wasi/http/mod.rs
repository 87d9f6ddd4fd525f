//! `wasi:http`: requests that come in, and those of guests that go out. What goes over HTTP has the same [`fields`],
//! [`bodies`] and words whichever way it goes.

mod asked;
mod bodies;
mod client;
mod draft;
mod failures;
mod fields;
mod flows;
mod incoming;
mod options;
mod outgoing;
mod program;
mod service;
mod words;

use super::{Door, Host, Interface};
use crate::engine::door::Answer;

pub(super) use bodies::{BodyReader, BodyWriter};
pub use incoming::{Exchange, IncomingRequest, ResponseOutparam};
pub use program::ProgramRequest;
pub(super) use program::{Printed, Program};
pub use service::{ServiceRequest, ServiceResponse};
pub use words::ErrorCode;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut types = fields::types(door)?;
    fields::offer(&mut types)?;
    bodies::offer(&mut types)?;
    incoming::offer(&mut types)?;
    outgoing::offer(&mut types)?;
    outgoing::offer_handler(door)?;
    draft::offer(door)
}

/// The same in a version of 0.3.
pub(super) fn offer_of_3(door: &mut Door, version: &str) -> Answer<()> {
    service::offer(door, version)?;
    client::offer(door, version)
}
