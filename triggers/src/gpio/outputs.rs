//! All outputs of an app: asks the policy, sets the line, tries again what was lost.

use super::chips::{Chips, OutputLine};
use super::clock;
use super::fault::{Fault, Unavailable};
use super::line::{Level, LineState, Notice, NoticeHandler, OutputOptions};
use super::policy::{Input, Policy, PolicyError, Refusal};
use super::slot::Slot;
use crate::limits::gpio::CHECK_EVERY;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// The outputs of an app. Cheap to clone; when the last clone goes, all lines are set safe.
///
/// Somebody has to wait for [`Outputs::run`], or lines stay on for ever and lost ones stay lost.
#[derive(Clone)]
pub struct Outputs(Arc<Shared>);

/// Why a line was not set or read. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// The number is none of an output.
    #[error("there is no output number {index}: there are {count}")]
    NoSuchLine {
        /// What was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The line cannot be used right now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The policy forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// After [`Outputs::stop`].
    #[error("output {line} keeps its safe level: everything is being stopped")]
    Stopped {
        /// The board file's name.
        line: Arc<str>,
    },
}

struct Shared {
    chips: Chips,
    options: Box<[OutputOptions]>,
    on_notice: Option<NoticeHandler>,
    bank: Mutex<Bank>,
    /// There may be another deadline.
    changed: Notify,
}

struct Bank {
    policy: Policy,
    slots: Box<[Slot<OutputLine>]>,
    phase: Phase,
    check_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Stopped,
}

impl Outputs {
    /// Whether [`Outputs::open`] would take these, without opening anything.
    pub fn check(options: &[OutputOptions]) -> Result<(), PolicyError> {
        Policy::new(options, clock::now()).map(drop)
    }

    /// Requests all lines at their initial levels, and goes on trying where that fails. The numbers of
    /// the lines are their places in `options`. Needs a tokio runtime with I/O and time.
    pub fn open(
        chips: Chips,
        options: Vec<OutputOptions>,
        on_notice: Option<NoticeHandler>,
    ) -> Result<Self, PolicyError> {
        let now = clock::now();
        let policy = Policy::new(&options, now)?;
        let slots = options.iter().map(|options| Slot::new(options.line.name.clone(), now));
        let (phase, check_at) = (Phase::Running, now + CHECK_EVERY);
        let bank = Mutex::new(Bank { policy, slots: slots.collect(), phase, check_at });
        let (options, changed) = (options.into(), Notify::new());
        let outputs = Self(Arc::new(Shared { chips, options, on_notice, bank, changed }));
        outputs.0.perform_due();
        Ok(outputs)
    }

    /// The number of a line.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.0.options.iter().position(|options| &*options.line.name == name)
    }

    /// What they were opened with.
    pub fn options(&self) -> &[OutputOptions] {
        &self.0.options
    }

    /// Sets the level: one system call.
    pub fn set(&self, line: usize, level: Level) -> Result<(), OutputError> {
        self.0.set(line, |_| level).map(drop)
    }

    /// Sets the other level, and says which that is.
    pub fn toggle(&self, line: usize) -> Result<Level, OutputError> {
        self.0.set(line, |level| !level)
    }

    /// The level that it was set to last.
    pub fn level(&self, line: usize) -> Result<Level, OutputError> {
        let bank = self.0.lock();
        let slot = self.0.slot(&bank, line)?;
        if slot.line().is_none() {
            return Err(slot.unavailable().into());
        }
        Ok(bank.policy.level(line))
    }

    /// Sets these lines to their safe levels; never refused. Numbers of no line are passed over.
    pub fn make_safe(&self, lines: &[usize]) {
        lines.iter().for_each(|line| self.0.force(*line, Input::Safe));
    }

    /// The same for all lines.
    pub fn make_all_safe(&self) {
        self.0.make_all_safe();
    }

    /// All safe, and from now on nothing is set any more. The lines stay requested, so that they keep
    /// their levels, until the last clone goes.
    pub fn stop(&self) {
        self.0.lock().phase = Phase::Stopped;
        self.make_all_safe();
    }

    /// Whether a line can be used; `None` for a number of no line.
    pub fn state(&self, line: usize) -> Option<LineState> {
        self.0.lock().slots.get(line).map(Slot::state)
    }

    /// Turns off what was on for too long, notices chips that went away, and tries again what was
    /// lost. Never ends. One at a time. Dropped,
    /// everything stays as it is, and another call goes on.
    pub async fn run(&self) {
        loop {
            let deadline = self.0.perform_due();
            tokio::select! {
                () = clock::sleep_until(deadline) => {}
                () = self.0.changed.notified() => {}
            }
        }
    }
}

impl Shared {
    fn set(&self, line: usize, wanted: impl FnOnce(Level) -> Level) -> Result<Level, OutputError> {
        let mut bank = self.lock();
        let slot = self.slot(&bank, line)?;
        if bank.phase == Phase::Stopped {
            return Err(OutputError::Stopped { line: self.options[line].line.name.clone() });
        }
        if slot.line().is_none() {
            return Err(slot.unavailable().into());
        }
        let level = wanted(bank.policy.level(line));
        let write = bank.policy.step(line, Input::Set(level), clock::now())?;
        let notice = bank.write(line, write);
        let failed = bank.slots[line].line().is_none().then(|| bank.slots[line].unavailable());
        drop(bank);
        self.rearm(line, &notice);
        self.notify(notice);
        failed.map_or(Ok(level), |unavailable| Err(unavailable.into()))
    }

    /// What the policy never refuses.
    fn force(&self, line: usize, input: Input) {
        let mut bank = self.lock();
        let usable = bank.slots.get(line).is_some_and(|slot| slot.line().is_some());
        let write = match usable {
            true => bank.policy.step(line, input, clock::now()).unwrap_or_default(),
            false => None,
        };
        let notice = bank.write(line, write);
        drop(bank);
        if let (Input::Tick, Some(_), None) = (input, write, &notice) {
            self.say_turned_off(line);
        }
        self.notify(notice);
    }

    fn say_turned_off(&self, line: usize) {
        let OutputOptions { line, on_longest, .. } = &self.options[line];
        let turned_off =
            on_longest.map(|on_longest| Notice::TurnedOff { line: line.name.clone(), on_longest });
        self.notify(turned_off);
    }

    fn make_all_safe(&self) {
        (0..self.options.len()).for_each(|line| self.force(line, Input::Safe));
    }

    /// Everything that is due by now; says when the next thing is.
    fn perform_due(&self) -> Option<Instant> {
        let now = clock::now();
        self.check_all(now);
        for line in 0..self.options.len() {
            self.try_again(line, now);
            self.force(line, Input::Tick);
        }
        let bank = self.lock();
        let retries = bank.slots.iter().filter_map(Slot::retry_at);
        retries.chain(bank.policy.deadline()).chain([bank.check_at]).min()
    }

    fn try_again(&self, line: usize, now: Instant) {
        let mut bank = self.lock();
        if !bank.slots[line].is_due(now) {
            return;
        }
        let level = match bank.phase {
            Phase::Running => bank.policy.level_on_request(line),
            Phase::Stopped => self.options[line].safe,
        };
        let opened = self.chips.output(&self.options[line], level);
        let acquired = opened.is_ok();
        let notice = bank.slots[line].tried(opened, now);
        if acquired {
            // Never refused, and the line has the level already.
            let _ = bank.policy.step(line, Input::Acquired(level), now);
        }
        drop(bank);
        self.notify(notice);
    }

    /// Asks each line whether its chip is still there.
    fn check_all(&self, now: Instant) {
        let mut bank = self.lock();
        if bank.check_at > now {
            return;
        }
        bank.check_at = now + CHECK_EVERY;
        let notices: Vec<_> = (0..self.options.len()).filter_map(|line| bank.check(line)).collect();
        drop(bank);
        notices.into_iter().for_each(|notice| self.notify(Some(notice)));
    }

    fn rearm(&self, line: usize, notice: &Option<Notice>) {
        if notice.is_some() || self.options[line].on_longest.is_some() {
            self.changed.notify_one();
        }
    }

    fn slot<'a>(&self, bank: &'a Bank, index: usize) -> Result<&'a Slot<OutputLine>, OutputError> {
        let count = bank.slots.len();
        bank.slots.get(index).ok_or(OutputError::NoSuchLine { index, count })
    }

    fn notify(&self, notice: Option<Notice>) {
        if let (Some(notice), Some(on_notice)) = (notice, &self.on_notice) {
            on_notice(notice);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Bank> {
        self.bank.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bank {
    fn write(&mut self, line: usize, level: Option<Level>) -> Option<Notice> {
        let (level, there) = (level?, self.slots[line].line()?);
        let fault = there.set(level).err()?;
        self.lose(line, Input::Failed, &fault)
    }

    fn check(&mut self, line: usize) -> Option<Notice> {
        let fault = self.slots[line].line()?.check().err()?;
        self.lose(line, Input::Lost, &fault)
    }

    fn lose(&mut self, line: usize, how: Input, fault: &Fault) -> Option<Notice> {
        // A loss is never refused.
        let _ = self.policy.step(line, how, clock::now());
        self.slots[line].lost(fault, clock::now())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.make_all_safe();
    }
}
