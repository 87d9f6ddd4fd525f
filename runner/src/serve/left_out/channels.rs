//! Redis channels, in a build without Redis: nobody listens. A component with such a trigger does not start.

use tokio::task::JoinSet;

use super::runner::Runner;
use crate::flow::all::Lanes;

pub(super) fn listen(_: &Runner, _: &Lanes, _: &mut JoinSet<()>) {}
