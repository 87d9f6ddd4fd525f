//! From an event to its end, and from a publish to its acknowledgement: the state machines that keep what was
//! promised, each pure, and the thin drivers around them.

pub mod lane;
pub mod outbox;
pub mod pace;
pub mod strikes;
