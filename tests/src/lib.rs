//! What the end-to-end tests share: processes, brokers, scratch folders.

pub mod guests;
