//! Redis servers: commands, and messages of channels.
//!
//! The protocol is RESP2, which every server speaks; its five shapes are read here and not by a crate. Of the two that
//! could, `redis` brings 184 KB, and `redis-protocol` (29 KB) descends as deep as a server nests its lists, until
//! the stack ends.
//!
//! - [`Pool`]: connections for an app's commands; a [`Lease`] of one is nobody else's until it is dropped.
//! - [`Subscriber`]: a connection that messages come from, made again whenever it breaks. Redis keeps nothing for
//!   whoever is away: what is published meanwhile does not come.

mod address;
mod connection;
mod pool;
mod subscriber;
mod wire;

pub use address::{Address, AddressError};
pub use connection::RedisError;
pub use pool::{Lease, Pool};
pub use subscriber::{Message, Messages, Notice, NoticeHandler, Subscriber};
pub use wire::Reply;
