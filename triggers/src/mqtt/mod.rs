//! One MQTT session with one broker, that starts with the broker away, outlives its outages and
//! loses nothing that was promised.
//!
//! [`Session::start`] gives two ends: a [`Session`] to publish and settle with, cheap to clone, and
//! an [`Inbox`] of messages. Everything runs on the caller's tokio runtime, in one task,
//! without a thread (names are looked up on one, for as long as that takes) and without a
//! wake-up when idle but the keep-alive.
//!
//! # What holds
//!
//! - A QoS 1 or 2 message is acknowledged when its [`Delivery`] is settled, not before. Not settled,
//!   it comes again after the next reconnect of a persistent session.
//! - A publish whose [`Receipt`] says so has reached the broker. Until then it is kept, and sent
//!   again after a reconnect; with QoS 1, and with QoS 2 after a broker lost its session, it may
//!   then arrive twice.
//! - QoS 0 promises nothing and waits for nothing: what cannot be sent is dropped and counted.
//! - A message larger than what is accepted is handed out as its first bytes, to be kept aside; it is read
//!   past without being held, whatever length is announced.
//! - Whatever order the broker acknowledges in, and however often, nothing is stuck: see `outbound`.
//! - Subscriptions come and go while it runs, thousands of them: what comes is asked for before what goes is
//!   dropped, so no message falls between.
//! - Nothing grows: every queue has a cap in [`limits`](crate::limits::mqtt).
//! - Not kept over a restart of this process: what was published and not acknowledged. A durable
//!   outbox belongs in front of [`Session::publish`].
//!
//! # What it costs
//!
//! `examples/mqtt_echo.rs` measures an echo at QoS 1 over loopback and mosquitto, in turns with a bare
//! program that does the same with the same codec, keeps no record and promises nothing. Medians of five
//! rounds on a busy machine: a burst of 20 000 at 1.12 of its rate and 0.98 of its CPU time, a round trip in 0.97
//! of its time (0.86 of rumqttc's event loop's). A connected, idle session has one task and no wake-up between
//! two keep-alives.
//!
//! # How it is built
//!
//! [`core`] is the session: a state machine without I/O or clock, which decides on every packet. `pump` is
//! one connection: it reads, writes what the core gives, and waits. `connection` makes connections, one
//! after the other. `codec` turns packets to bytes and back, with rumqttc's packet types; its event loop is
//! not used, for it was the cause of most of what broke (identifiers that it counts blindly, messages that it
//! loses on a cut, a packet that is too large, which costs the connection for ever).
//!
//! # Why MQTT 3.1.1 is the default
//!
//! Both versions pass the same tests here, against mosquitto and against a hostile broker. Version 5
//! is better on the wire: the broker learns how much may be under way and how large a packet may be, it
//! gives reasons, it is told how long to keep the session, and it does not send retained messages again.
//! But Spin apps name a broker and no version, and 3.1.1 is what every broker speaks.

#[cfg(feature = "broker")]
pub mod broker;
mod codec;
mod connection;
pub mod core;
mod dial;
mod filters;
mod inbound;
mod message;
mod notice;
mod options;
mod outbound;
pub mod packet;
mod pulse;
mod pump;
mod session;
mod shared;
mod subscriptions;
pub mod topic;

pub use crate::net::{AddressFilter, ClientCertificate, TlsConfigError, TlsOptions};
pub use filters::Filters;
pub use message::{
    Delivery, DeliveryError, Message, Publish, PublishError, Qos, Receipt, TryPublishError,
};
pub use notice::{Counters, Notice, RefusedSubscription, State};
pub use options::{
    Address, Credentials, NoticeHandler, Options, OptionsError, Persistence, Protocol, Security,
    SubscribeError, Subscription,
};
pub use session::{Inbox, Session};
pub use topic::{TopicError, filter_covers, topic_matches, validate_filter, validate_topic};
