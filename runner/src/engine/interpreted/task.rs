//! What is known of the calls of an instance's components: how far each is, who waits for it, what it came to.

use std::sync::Arc;

use wasmi::Val;

use super::builtins::is_result_of;
use super::guest::Inner;
use super::plan::{Core, Lifted, Lowered, Options};
use super::tasks::word;
use crate::engine::canonical::{Abi, Event, FuncType, Status, Value, trap};
use crate::engine::door::{Answer, Answering};
use crate::engine::fault::Fault;
use crate::limits::engine as limits;

/// One call of a component.
pub(super) struct Task {
    /// The function: an index into the lifted ones. The task that makes the instances has none.
    pub(super) function: usize,
    /// Handles lent to it that it still has.
    pub(super) borrowed: u32,
    /// Core functions under way, each called for the one before, those of its callers among them.
    pub(super) depth: usize,
    /// What the guest keeps with its task.
    pub(super) context: [u64; 2],
    has_begun: bool,
    has_answered: bool,
    /// It has answered, and whoever waits has not taken it yet.
    answer: Option<Ended>,
    /// Who is told what it answered; `None` if they wait for it.
    caller: Option<Caller>,
    /// It has ended, but its answer was not taken.
    is_over: bool,
    asked: Asked,
}

/// Whether a task was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    No,
    /// Before it began: it never will.
    Early,
    /// It does not know yet.
    Yes,
    /// It knows.
    Told,
}

/// What a task came to.
pub(super) enum Ended {
    /// With this result.
    Returned(Option<Value>),
    /// It was asked to end, and did.
    Cancelled,
}

/// Who made a call that goes on in the background.
pub(super) struct Caller {
    /// Its number in the caller's table.
    pub(super) subtask: u32,
    pub(super) call: Arc<Lowered>,
    pub(super) lent: Vec<u32>,
    /// Where the caller wants the result.
    pub(super) at: Option<u32>,
}

/// A call of the host that goes on in the background.
pub(super) struct Underway {
    pub(super) caller: Caller,
    pub(super) answering: Answering,
}

impl Inner<'_> {
    /// A call of this function begins, for that task.
    pub(super) fn new_task(&mut self, function: usize, by: Option<usize>) -> Result<usize, Fault> {
        let depth = by.map_or(Ok(0), |by| self.task(by).map(|by| by.depth))?;
        let task = Task {
            function,
            borrowed: 0,
            depth,
            context: [0; 2],
            has_begun: false,
            has_answered: false,
            answer: None,
            caller: None,
            is_over: false,
            asked: Asked::No,
        };
        if let Some(free) = self.tasks.iter().position(Option::is_none) {
            self.tasks[free] = Some(task);
            return Ok(free);
        }
        if self.tasks.len() >= limits::TASKS_MAX {
            let most = limits::TASKS_MAX;
            return Err(Fault::Limit(format!("its components had more than {most} calls at once")));
        }
        self.tasks.push(Some(task));
        Ok(self.tasks.len() - 1)
    }

    /// A task that has not ended.
    pub(super) fn task(&mut self, me: usize) -> Result<&mut Task, Fault> {
        let task = self.tasks.get_mut(me).and_then(Option::as_mut);
        task.ok_or_else(|| trap("it asked for a task that has ended"))
    }

    /// A handle that was lent to a task was dropped.
    pub(super) fn borrow_ended(&mut self, task: usize) {
        if let Ok(task) = self.task(task) {
            task.borrowed = task.borrowed.saturating_sub(1);
        }
    }

    /// A component that has answered has given back what was lent to it.
    pub(super) fn nothing_kept(&mut self, me: usize) -> Result<(), Fault> {
        match self.task(me)?.borrowed {
            0 => Ok(()),
            _ => Err(trap("it kept a handle that was only lent to it")),
        }
    }

    /// Whether a task may wait: only of functions whose callers know that they may, or when they have their answer.
    pub(super) fn may_wait(&mut self, me: usize) -> Result<(), Fault> {
        let plan = self.plan;
        let task = self.task(me)?;
        let lifted = plan.lifts.get(task.function);
        match task.has_answered || lifted.is_some_and(|lifted| lifted.ty.waits) {
            true => Ok(()),
            false => Err(trap("wasm trap: cannot block a synchronous task before returning")),
        }
    }

    /// Whether a call begins, or never will; `None` while it has to wait.
    pub(super) fn may_begin(&mut self, me: usize, component: usize) -> Result<Option<bool>, Fault> {
        if self.task(me)?.asked == Asked::Early {
            return Ok(Some(false));
        }
        let component = &self.components[component];
        Ok((!component.exclusive && component.backpressure == 0).then_some(true))
    }

    pub(super) fn begin_task(
        &mut self,
        me: usize,
        lifted: &Lifted,
        params: Vec<Value>,
    ) -> Result<Vec<Val>, Fault> {
        let task = self.task(me)?;
        task.has_begun = true;
        let caller = task.caller.as_ref();
        let waiting = caller.map(|caller| (caller.call.options.component, caller.subtask));
        if let Some((component, subtask)) = waiting {
            self.handles(component).progress(subtask, Status::Started);
        }
        self.entering(me, lifted, params)
    }

    /// The task's code is at its end.
    pub(super) fn end_task(&mut self, me: usize) -> Result<(), Fault> {
        let task = self.task(me)?;
        if !task.has_answered {
            return Err(trap("it ended without giving a result"));
        }
        task.is_over = true;
        if task.answer.is_none() {
            self.tasks[me] = None;
        }
        Ok(())
    }

    /// What a task answered, for whoever waits for it.
    pub(super) fn take_answer(&mut self, me: usize) -> Option<Ended> {
        let task = self.tasks.get_mut(me)?;
        let answer = task.as_mut()?.answer.take()?;
        task.take_if(|task| task.is_over);
        Some(answer)
    }

    /// A call goes on in the background. The caller is told how far it is, and its number.
    pub(super) fn goes_on(&mut self, me: usize, mut caller: Caller) -> Result<Option<Val>, Fault> {
        let status = match self.task(me)?.has_begun {
            true => Status::Started,
            false => Status::Starting,
        };
        caller.subtask = self.handles(caller.call.options.component).start(status, Some(me))?;
        let told = status as u32 | caller.subtask << 4;
        self.task(me)?.caller = Some(caller);
        Ok(word(told))
    }

    /// The task came to this: whoever waits for it may take it, or is told.
    pub(super) fn answered(&mut self, me: usize, ended: Ended) -> Result<(), Fault> {
        self.moved = true;
        let task = self.task(me)?;
        task.has_answered = true;
        let Some(caller) = task.caller.take() else {
            task.answer = Some(ended);
            return Ok(());
        };
        let status = self.deliver(&caller, ended)?;
        self.handles(caller.call.options.component).progress(caller.subtask, status);
        Ok(())
    }

    /// Puts what a task came to where its caller wants it.
    pub(super) fn deliver(&mut self, caller: &Caller, ended: Ended) -> Result<Status, Fault> {
        let Caller { call, lent, at, .. } = caller;
        match ended {
            Ended::Returned(result) => {
                self.returned(call, lent, result, *at)?;
                Ok(Status::Returned)
            }
            Ended::Cancelled => {
                self.give_back(call.options.component, lent);
                Ok(Status::Cancelled)
            }
        }
    }

    /// A call of the host has ended.
    pub(super) fn finish(
        &mut self,
        ended: Underway,
        answer: Answer<Option<Value>>,
    ) -> Result<(), Fault> {
        self.moved = true;
        let result = self.fine(answer)?;
        let status = self.deliver(&ended.caller, Ended::Returned(result))?;
        let Caller { call, subtask, .. } = ended.caller;
        self.handles(call.options.component).progress(subtask, status);
        Ok(())
    }

    /// A call of the host is given up: it is dropped where it stands.
    pub(super) fn give_up(&mut self, component: usize, subtask: u32) {
        let mine = |call: &Underway| {
            call.caller.subtask == subtask && call.caller.call.options.component == component
        };
        if let Some(index) = self.underway.iter().position(mine) {
            let given_up = self.underway.remove(index);
            self.give_back(component, &given_up.caller.lent);
        }
        self.handles(component).progress(subtask, Status::Cancelled);
    }

    /// Asks a task to end. Whether it has to be let run for that.
    pub(super) fn ask_to_end(&mut self, task: usize) -> Result<bool, Fault> {
        self.moved = true;
        let asked = self.task(task)?;
        if asked.has_begun {
            asked.asked = Asked::Yes;
            return Ok(true);
        }
        asked.asked = Asked::Early;
        if let Some(caller) = asked.caller.take() {
            let component = caller.call.options.component;
            self.give_back(component, &caller.lent);
            self.handles(component).progress(caller.subtask, Status::NeverStarted);
        }
        Ok(false)
    }

    /// Whether a task was asked to end and does not know yet: it does now.
    pub(super) fn asked_to_end(&mut self, me: usize) -> Option<Event> {
        let task = self.task(me).ok()?;
        if task.asked != Asked::Yes {
            return None;
        }
        task.asked = Asked::Told;
        Some(Event::CANCELLED)
    }

    /// `task.cancel`
    pub(super) fn end_cancelled(&mut self, me: usize) -> Result<(), Fault> {
        let task = self.task(me)?;
        if task.has_answered {
            return Err(trap("it gave more than one result"));
        }
        if task.asked != Asked::Told {
            return Err(trap("it ended a task that nobody asked it to end"));
        }
        self.nothing_kept(me)?;
        self.answered(me, Ended::Cancelled)
    }

    /// `task.return`
    pub(super) fn answer_task(
        &mut self,
        me: usize,
        ty: &FuncType,
        options: &Options,
        cells: &[u64],
    ) -> Result<(), Fault> {
        let plan = self.plan;
        let task = self.task(me)?;
        if task.has_answered {
            return Err(trap("it gave more than one result"));
        }
        let fits = |lifted: &&Arc<Lifted>| {
            lifted.options.abi == Abi::Async
                && lifted.options.component == options.component
                && lifted.options.encoding == options.encoding
                && is_result_of(ty, &lifted.ty)
        };
        if plan.lifts.get(task.function).filter(fits).is_none() {
            return Err(trap("it gave a result that is not its function's"));
        }
        let (values, _) = self.lift(options)?.params(ty, Abi::Sync, cells)?;
        self.nothing_kept(me)?;
        self.answered(me, Ended::Returned(values.into_iter().next()))
    }

    pub(super) fn backpressure(&mut self, component: usize, more: bool) -> Result<(), Fault> {
        let asked = &mut self.components[component].backpressure;
        let now = if more { asked.checked_add(1) } else { asked.checked_sub(1) };
        *asked = now.ok_or_else(|| trap("wasm trap: backpressure counter overflow"))?;
        Ok(())
    }

    /// An event, half returned and half in memory.
    pub(super) fn tell(
        &mut self,
        memory: &Core,
        at: u32,
        event: Event,
    ) -> Result<Option<Val>, Fault> {
        let memory = self.memory(memory)?;
        let mut words = [0; 8];
        words[..4].copy_from_slice(&event.index.to_le_bytes());
        words[4..].copy_from_slice(&event.payload.to_le_bytes());
        let written = memory.write(&mut self.store, at as usize, &words);
        written.map_err(|_| {
            trap(format!("it wants events at {at:#x}, which is outside of its memory"))
        })?;
        Ok(word(event.code))
    }
}
