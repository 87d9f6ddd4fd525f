//! Time, turned into events.

pub mod cron;
mod driver;
mod zone;

pub use cron::{Cron, CronError};
pub use zone::{Zone, ZoneError};
