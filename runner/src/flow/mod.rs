//! From an event to its end: which lanes it goes to, when it runs, how often it is tried, where it waits, and that
//! it is settled once, when it is handled or kept aside.
//!
//! [`lane`], [`strikes`], [`pace`] and [`fair`] decide and do nothing; [`lanes`] runs what they decide, with the hands of
//! the [`crew`]; `keeper` writes down what waits for too long, `running` remembers what ran when the process died, [`books`] counts.

pub mod all;
pub mod books;
pub mod clock;
pub mod counters;
pub mod crew;
mod endings;
pub mod event;
pub mod fair;
pub(crate) mod feeds;
pub(crate) mod house;
pub(crate) mod keeper;
pub mod lane;
pub mod lanes;
pub mod ledger;
pub(crate) mod letters;
pub mod pace;
mod program;
mod requests;
pub mod router;
mod running;
pub mod site;
pub(crate) mod spare;
pub mod strikes;
pub mod tries;
pub mod unit;
mod whole;
