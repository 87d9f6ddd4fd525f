//! MQTT: the client session, and for the workbench a small broker.

#[cfg(feature = "broker")]
pub mod broker;
