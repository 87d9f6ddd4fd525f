//! HTTP/1.1: a listener whose requests are handed out, each with its body as it comes and somebody who waits for the
//! answer. It knows neither components nor manifests; what a request may cost is in [`crate::limits::http`].
//!
//! hyper decides what a message is (RFC 9112); what a request is (RFC 9110) is decided in `request.rs`, when a client is
//! late in `wire.rs`, who may be connected in `hall.rs`.

mod address;
mod connection;
mod hall;
pub mod pipe;
mod request;
pub mod routes;
mod server;
mod source;
mod tls;
mod wire;

pub use address::{Address, AddressError};
pub use connection::Handler;
pub use request::{Answer, Head, Outgoing, Request, Responder};
pub use server::{ListenError, Listener, Server, ServerOptions};
pub use source::{Broken, Source, Taken};
pub use tls::{TlsError, TlsFiles};
