//! Time, turned into events: intervals and cron, thousands of rules on one timer.
//!
//! [`Schedule::next`] waits for the next tick. It runs in whoever awaits it, and is driven by
//! embassy-time's clock, which here is tokio's (`driver.rs`).
//!
//! # What holds
//!
//! - Intervals go by the monotonic clock, cron by the wall clock.
//! - A rule that is late comes once and says how many it missed; it keeps its phase. Nothing piles
//!   up, nothing comes in a storm.
//! - Cron waits until the wall clock can be believed, and says so.
//! - A wall clock that is set, by a second or by a century, makes nothing run twice and nothing run
//!   that it jumped over: `belief.rs` has the rule.
//! - Rules that are due together come in the order of their ids, and each before any comes again.
//! - Rules may be added and removed while somebody waits ([`Rules`]): one that is removed comes no more, and its id
//!   never names another.
//! - Idle is idle: no wake-up before the next rule is due, and one when somebody sets the clock.
//!
//! # What it costs
//!
//! A rule takes at most 128 bytes, so 5 000 rules take 0.6 MiB (a test adds it up), and one step of
//! a heap when it is due.

mod belief;
mod calendar;
mod cron;
mod driver;
mod interval;
mod plan;
mod rules;
mod schedule;
mod wall;
mod zone;

pub use belief::ClockNotice;
pub use cron::{Cron, CronError};
pub use interval::{First, Interval, IntervalError};
pub use plan::{Rule, RuleId, ScheduleError, Scheduled, Tick};
pub use schedule::{Rules, Schedule};
pub use wall::{ManualClock, WallClock};
pub use zone::{Zone, ZoneError};
