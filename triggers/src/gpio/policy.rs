//! What outputs may do: how often they toggle, how long they are on, which are never on together. A
//! state machine: time is an argument, and performing is [`outputs`](super::outputs)' business.
//!
//! What is forced (a safe level, the end of the longest time) is never refused, but counts among the
//! toggles that the next change is measured by.

use super::line::{Level, OutputOptions};
use crate::limits::gpio::TOGGLES_PER_SECOND_CEILING;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);

/// Why a policy cannot be held. The board's or the operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Two outputs of one name.
    #[error("two outputs are called {line}: a line can be given once")]
    Twice {
        /// The board file's name.
        line: Arc<str>,
    },
    /// A limit that cannot be meant or kept.
    #[error(
        "output {line}: {asked} toggles a second cannot be the limit; at least 1 and at most \
         {TOGGLES_PER_SECOND_CEILING}"
    )]
    Toggles {
        /// The board file's name.
        line: Arc<str>,
        /// The limit.
        asked: u32,
    },
    /// No time at all.
    #[error("output {line}: a longest time on of 0 would never let it be on; leave the line out")]
    NeverOn {
        /// The board file's name.
        line: Arc<str>,
    },
    /// Safe and on, but not for long.
    #[error(
        "output {line}: it has a longest time on, but its safe level is high, so that time would \
         never end; make its safe level low"
    )]
    SafeButLimited {
        /// The board file's name.
        line: Arc<str>,
    },
    /// Safe and on, but not beside others.
    #[error(
        "output {line}: its safe level is high, but only one line of group {group} may be high at a \
         time; make its safe level low"
    )]
    SafeButExclusive {
        /// The board file's name.
        line: Arc<str>,
        /// The group.
        group: String,
    },
    /// The group is broken before anything happened.
    #[error(
        "outputs {line} and {other} are both high at first, but only one line of group {group} may \
         be; make the initial level of one of them low"
    )]
    BothOnAtFirst {
        /// The board file's name.
        line: Arc<str>,
        /// The same.
        other: Arc<str>,
        /// The group.
        group: String,
    },
}

/// Why a change was not made. The guest's fault, or bad luck.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many toggles.
    #[error("output {line} may toggle {max} times a second at most; it stays {level}")]
    TooOften {
        /// The board file's name.
        line: Arc<str>,
        /// The limit.
        max: u32,
        /// What it stays.
        level: Level,
    },
    /// Another line of the group is on.
    #[error(
        "output {line} may not be high while {other} is: only one line of group {group} may be; set \
         {other} low first"
    )]
    Exclusive {
        /// The board file's name.
        line: Arc<str>,
        /// The one that is high, or may still be since it was lost.
        other: Arc<str>,
        /// The group.
        group: String,
    },
}

/// What happens to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Somebody wants a level.
    Set(Level),
    /// Nobody can be trusted.
    Safe,
    /// Time has passed.
    Tick,
    /// The line was requested with this level, [`Policy::level_on_request`] or the safe one.
    Acquired(Level),
    /// The line cannot be reached. It may go on being driven, so a high line still counts as high.
    Lost,
    /// The same, found when it was set: it may have either level, the old or the new.
    Failed,
}

pub(super) struct Policy {
    lines: Box<[Line]>,
}

struct Line {
    name: Arc<str>,
    initial: Level,
    safe: Level,
    on_longest: Option<Duration>,
    group: Option<String>,
    toggles: Option<Toggles>,
    level: Level,
    /// The level before the last step.
    before: Level,
    on_since: Instant,
    acquired: Acquired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acquired {
    Never,
    Now,
    Lost,
}

/// When the last toggles were, as many as the limit: the next may come a second after the oldest.
struct Toggles {
    times: Box<[Option<Instant>]>,
    oldest: usize,
}

impl Policy {
    pub(super) fn new(options: &[OutputOptions], now: Instant) -> Result<Self, PolicyError> {
        for (index, line) in options.iter().enumerate() {
            check(line)?;
            check_against(line, &options[..index])?;
        }
        Ok(Self { lines: options.iter().map(|options| Line::new(options, now)).collect() })
    }

    /// What is to be set on the wire, if anything. A refusal changes nothing.
    pub(super) fn step(
        &mut self,
        line: usize,
        input: Input,
        now: Instant,
    ) -> Result<Option<Level>, Refusal> {
        let wanted = match input {
            Input::Set(level) => self.admit(line, level, now)?,
            Input::Safe => self.lines[line].safe,
            Input::Tick => self.lines[line].in_time(now),
            Input::Acquired(level) => {
                self.lines[line].acquired = Acquired::Now;
                level
            }
            Input::Lost | Input::Failed => {
                self.lines[line].lose(input);
                return Ok(None);
            }
        };
        let change = self.lines[line].change(wanted, now);
        // Written even if the line should have that level: then a chip that is gone is noticed.
        Ok(if matches!(input, Input::Set(_)) { Some(wanted) } else { change })
    }

    fn admit(&self, line: usize, level: Level, now: Instant) -> Result<Level, Refusal> {
        let this = &self.lines[line];
        if level == this.level {
            return Ok(level);
        }
        if let (Level::High, Some((other, group))) = (level, self.other_on(line)) {
            let (line, other) = (this.name.clone(), other.name.clone());
            return Err(Refusal::Exclusive { line, other, group: group.to_owned() });
        }
        match &this.toggles {
            Some(toggles) if !toggles.admits(now) => Err(Refusal::TooOften {
                line: this.name.clone(),
                max: toggles.max(),
                level: this.level,
            }),
            _ => Ok(level),
        }
    }

    /// A line of the same group that is on.
    fn other_on(&self, line: usize) -> Option<(&Line, &str)> {
        let group = self.lines[line].group.as_deref()?;
        let others = self.lines.iter().enumerate().filter(|(index, _)| *index != line);
        let mut on = others.filter(|(_, other)| other.level == Level::High);
        let found = on.find(|(_, other)| other.group.as_deref() == Some(group))?;
        Some((found.1, group))
    }

    /// At first the initial level, later the safe one: nobody knows what happened meanwhile.
    pub(super) fn level_on_request(&self, line: usize) -> Level {
        let this = &self.lines[line];
        let taken = this.initial == Level::High && self.other_on(line).is_some();
        if this.acquired == Acquired::Never && !taken { this.initial } else { this.safe }
    }

    pub(super) fn level(&self, line: usize) -> Level {
        self.lines[line].level
    }

    /// When lines have to be looked at ([`Input::Tick`]) next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lines.iter().filter_map(Line::deadline).min()
    }
}

impl Line {
    fn new(options: &OutputOptions, now: Instant) -> Self {
        Self {
            name: options.line.name.clone(),
            initial: options.initial,
            safe: options.safe,
            on_longest: options.on_longest,
            group: options.group.clone(),
            toggles: options.toggles_per_second_max.map(Toggles::new),
            level: Level::Low,
            before: Level::Low,
            on_since: now,
            acquired: Acquired::Never,
        }
    }

    fn change(&mut self, level: Level, now: Instant) -> Option<Level> {
        self.before = std::mem::replace(&mut self.level, level);
        if level == self.before {
            return None;
        }
        self.on_since = now;
        if let Some(toggles) = &mut self.toggles {
            toggles.note(now);
        }
        Some(level)
    }

    fn lose(&mut self, how: Input) {
        if how == Input::Failed {
            self.level = self.level.max(self.before);
        }
        if self.acquired == Acquired::Now {
            self.acquired = Acquired::Lost;
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let on = self.level == Level::High && self.acquired == Acquired::Now;
        self.on_longest.filter(|_| on).map(|longest| self.on_since + longest)
    }

    fn in_time(&self, now: Instant) -> Level {
        if self.deadline().is_some_and(|at| at <= now) { self.safe } else { self.level }
    }
}

impl Toggles {
    fn new(max: u32) -> Self {
        Self { times: vec![None; max as usize].into(), oldest: 0 }
    }

    fn max(&self) -> u32 {
        u32::try_from(self.times.len()).unwrap_or(u32::MAX)
    }

    fn admits(&self, now: Instant) -> bool {
        self.times[self.oldest].is_none_or(|at| now.saturating_duration_since(at) >= WINDOW)
    }

    fn note(&mut self, now: Instant) {
        self.times[self.oldest] = Some(now);
        self.oldest = (self.oldest + 1) % self.times.len();
    }
}

fn check(options: &OutputOptions) -> Result<(), PolicyError> {
    let line = options.line.name.clone();
    let safe_is_on = options.safe == Level::High;
    match options {
        OutputOptions { toggles_per_second_max: Some(asked), .. }
            if !(1..=TOGGLES_PER_SECOND_CEILING).contains(asked) =>
        {
            Err(PolicyError::Toggles { line, asked: *asked })
        }
        OutputOptions { on_longest: Some(Duration::ZERO), .. } => {
            Err(PolicyError::NeverOn { line })
        }
        OutputOptions { on_longest: Some(_), .. } if safe_is_on => {
            Err(PolicyError::SafeButLimited { line })
        }
        OutputOptions { group: Some(group), .. } if safe_is_on => {
            Err(PolicyError::SafeButExclusive { line, group: group.clone() })
        }
        _ => Ok(()),
    }
}

fn check_against(options: &OutputOptions, earlier: &[OutputOptions]) -> Result<(), PolicyError> {
    let line = options.line.name.clone();
    if earlier.iter().any(|other| other.line.name == line) {
        return Err(PolicyError::Twice { line });
    }
    let Some(group) = options.group.clone() else { return Ok(()) };
    let clashes = |other: &&OutputOptions| {
        let both_on = options.initial == Level::High && other.initial == Level::High;
        both_on && other.group.as_ref() == Some(&group)
    };
    match earlier.iter().find(clashes) {
        Some(other) => {
            Err(PolicyError::BothOnAtFirst { line, other: other.line.name.clone(), group })
        }
        None => Ok(()),
    }
}
