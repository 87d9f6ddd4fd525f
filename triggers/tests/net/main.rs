//! Connections to other machines, against servers that say what the test has them say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod http;
mod redis;
mod server;
mod tls;
