//! Time, turned into events.

mod driver;
