//! The HTTP server, from outside: raw bytes over real sockets, good and bad, fast and slow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod cases;
mod late;
mod many;
mod raw;
mod secure;
mod streams;
mod support;
