//! A component's ends of streams and futures: which it has, and what it may do with them right now. Both are
//! waitables; what is told of them is in `waitables.rs`.

use super::handles::{Entry, Handles};
use super::link::{Link, Side, Way};
use super::lower::disagree;
use super::types::{Shape, Type};
use super::value::{Flow, Value};
use super::waitables::{DROPPED, not_a, packed};
use super::{Fault, trap};

/// One end that a component has.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) ty: Type,
    pub(super) link: Link,
    pub(super) way: Way,
    pub(super) state: State,
    pub(super) set: Option<u32>,
    /// What it was not told yet.
    pub(super) event: Option<u32>,
}

/// What goes on at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    /// A copy waits.
    Busy,
    /// The component was told that the other end is gone.
    Done,
}

impl Held {
    /// The component is told this now.
    pub(super) fn told(&mut self, payload: u32) {
        self.link.shared().forget(self.way);
        self.settle(payload);
    }

    /// A copy came to this.
    fn settle(&mut self, payload: u32) {
        self.state = if payload & 0xf == DROPPED { State::Done } else { State::Idle };
    }
}

fn is_future(ty: &Type) -> bool {
    matches!(ty.shape(), Shape::Future(_))
}

impl Handles {
    /// A stream or a future of the component's own: its end to read from, and the one to write to.
    pub fn make(&mut self, ty: &Type) -> Result<(u32, u32), Fault> {
        let link = Link::new(ty, Side::Idle, Side::Idle);
        let reads = self.hold(ty, link.clone(), Way::Read)?;
        Ok((reads, self.hold(ty, link, Way::Write)?))
    }

    fn hold(&mut self, ty: &Type, link: Link, way: Way) -> Result<u32, Fault> {
        let (ty, shared) = (ty.clone(), link.clone());
        let held = Held { ty, link, way, state: State::Idle, set: None, event: None };
        let index = self.table.add(Entry::End(held))?;
        *shared.shared().holder(way) = Some((self.component, index));
        Ok(index)
    }

    fn end(&mut self, ty: &Type, index: u32, way: Way) -> Result<&mut Held, Fault> {
        match self.table.get(index)? {
            Entry::End(held) if held.ty == *ty && held.way == way => Ok(held),
            _ => Err(not_a(&ty.to_string(), index)),
        }
    }

    /// The component is given a stream or a future to read from.
    pub(super) fn give_end(&mut self, ty: &Type, value: Value) -> Result<u32, Fault> {
        let flow = match (ty.shape(), value) {
            (Shape::Stream(_), Value::Stream(flow)) | (Shape::Future(_), Value::Future(flow)) => {
                flow
            }
            _ => return Err(disagree()),
        };
        let link = match flow {
            Flow::Guest(link) => link,
            Flow::Host(source) => Link::new(ty, Side::Idle, Side::Source(source)),
            Flow::Foreign(_) => return Err(disagree()),
        };
        let is_dropped = matches!(link.shared().writer, Side::Dropped);
        let index = self.hold(ty, link, Way::Read)?;
        if is_dropped {
            self.tell(index, packed(DROPPED, 0));
        }
        Ok(index)
    }

    /// The component gives away what it could read.
    pub(super) fn take_end(&mut self, ty: &Type, index: u32) -> Result<Value, Fault> {
        let held = self.end(ty, index, Way::Read)?;
        match held.state {
            State::Idle if held.set.is_some() => {
                return Err(trap(format!(
                    "it gave away handle {index} while it was in a waitable set"
                )));
            }
            State::Idle if !held.link.shared().done => {}
            State::Busy => return Err(busy(index)),
            State::Idle | State::Done => return Err(past(index, Way::Read)),
        }
        let link = held.link.clone();
        self.forget(index);
        *link.shared().holder(Way::Read) = None;
        let flow = Flow::Guest(link);
        Ok(if is_future(ty) { Value::Future(flow) } else { Value::Stream(flow) })
    }

    /// A copy begins at this end; [`Self::copied`] ends it, or the component is told later.
    pub fn copy(&mut self, ty: &Type, index: u32, way: Way, waits: bool) -> Result<Link, Fault> {
        let held = self.end(ty, index, way)?;
        match held.state {
            State::Busy => return Err(busy(index)),
            State::Done => return Err(past(index, way)),
            State::Idle if held.link.shared().done => return Err(past(index, way)),
            State::Idle => {}
        }
        if waits && held.set.is_some() {
            return Err(in_a_set(index));
        }
        held.state = State::Busy;
        Ok(held.link.clone())
    }

    /// That copy came to this at once.
    pub fn copied(&mut self, index: u32, payload: u32) {
        if let Ok(Entry::End(held)) = self.table.get(index) {
            held.settle(payload);
            // That the other end is gone is known now.
            held.event = None;
            self.events.retain(|told| *told != index);
        }
    }

    /// A copy is given up: what it came to if it came to something, and the link.
    pub fn cancel_copy(
        &mut self,
        ty: &Type,
        index: u32,
        way: Way,
        waits: bool,
    ) -> Result<(Link, Option<u32>), Fault> {
        let held = self.end(ty, index, way)?;
        if held.state != State::Busy {
            return Err(trap(format!("it cancelled a copy at handle {index}, where none waited")));
        }
        if waits && held.set.is_some() {
            return Err(in_a_set(index));
        }
        let event = held.event.take();
        held.told(event.unwrap_or(0));
        let link = held.link.clone();
        self.events.retain(|told| *told != index);
        Ok((link, event))
    }

    /// The component drops an end, at which no copy may wait.
    pub fn drop_end(&mut self, ty: &Type, index: u32, way: Way) -> Result<Link, Fault> {
        let held = self.end(ty, index, way)?;
        if held.state == State::Busy {
            return Err(trap(format!("it dropped handle {index} while a copy waited there")));
        }
        let is_owed = way == Way::Write && is_future(ty) && held.state != State::Done;
        if is_owed && !held.link.shared().done {
            return Err(trap(format!("it dropped the future of handle {index} without a value")));
        }
        let link = held.link.clone();
        self.forget(index);
        *link.shared().holder(way) = None;
        Ok(link)
    }

    /// The number is free, and nothing is told of it any more.
    fn forget(&mut self, index: u32) {
        self.table.remove(index);
        self.events.retain(|told| *told != index);
    }

    /// All links of ends that are written to.
    pub fn written(&self) -> impl Iterator<Item = &Link> {
        self.table.iter().filter_map(|entry| match entry {
            Entry::End(Held { way: Way::Write, link, .. }) => Some(link),
            _ => None,
        })
    }
}

fn busy(index: u32) -> Fault {
    trap(format!("it used handle {index} while a copy waited there"))
}

pub(super) fn in_a_set(index: u32) -> Fault {
    trap(format!("it waited for handle {index} by itself, which is in a waitable set"))
}

fn past(index: u32, way: Way) -> Fault {
    match way {
        Way::Read => trap(format!("it read from handle {index} after its end")),
        Way::Write => trap(format!("it wrote to handle {index} after its end")),
    }
}
