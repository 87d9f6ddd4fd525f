//! An app at work: from its plan to what runs, what it is connected to, and what it says of itself.

pub mod apps;
pub mod at_work;
#[cfg(feature = "redis")]
mod channels;
#[cfg(not(feature = "redis"))]
#[path = "left_out/channels.rs"]
mod channels;
pub mod control;
mod gate;
mod inward;
pub mod link;
mod loading;
pub mod log_files;
pub mod overview;
pub mod readiness;
pub mod runner;
pub mod session;
pub mod shop;
pub mod status;
pub mod tenant;
pub mod tenants;
