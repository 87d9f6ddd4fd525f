//! Publishes from the component's hands to the broker's acknowledgement: what is promised is kept, over outages
//! and power cuts, without wearing the card while the broker answers.
//!
//! [`machine`] decides and does nothing; [`outlet`] sends, writes and tells.

pub mod machine;
pub mod outlet;

pub use machine::Tally;
pub use outlet::{Ended, Outlet, PublishError, Receipt};
