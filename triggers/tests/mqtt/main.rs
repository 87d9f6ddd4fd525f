//! The MQTT session, from outside: against a real mosquitto and against a broker that is as unkind as
//! the standard allows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod acknowledgements;
mod garbage;
mod hostile;
mod hostile_log;
mod inbound;
mod large;
mod life;
mod loss;
mod malformed;
mod mosquitto;
mod outbound;
mod recovery;
mod subscriptions;
mod support;
mod tls;
mod wire;
