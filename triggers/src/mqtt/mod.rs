//! One MQTT session with one broker, that starts with the broker away, outlives its outages and
//! loses nothing that was promised.
//!
//! [`Session::start`] gives two ends: a [`Session`] to publish and settle with, cheap to clone, and
//! an [`Inbox`] of messages. Everything runs on the caller's tokio runtime, in one task (two with
//! TLS), without a thread (tokio looks names up on one, for as long as that takes) and without a
//! wake-up when idle but the keep-alive.
//!
//! # What holds
//!
//! - A QoS 1 or 2 message is acknowledged when its [`Delivery`] is settled, not before. Not settled,
//!   it comes again after the next reconnect of a persistent session.
//! - A publish whose [`Receipt`] says so has reached the broker. Until then it is kept, and sent
//!   again after a reconnect; with QoS 1, and with QoS 2 after a broker lost its session, it may
//!   then arrive twice.
//! - Nothing grows: every queue has a cap in [`limits`](crate::limits::mqtt).
//! - Not kept over a restart of this process: what was published and not acknowledged. A durable
//!   outbox belongs in front of [`Session::publish`].
//!
//! # What it costs
//!
//! On the machine it was written on, a QoS 1 round trip over loopback and mosquitto took 50 µs at
//! the median, 47 with rumqttc alone, 67 over TLS; a burst ran as fast as rumqttc alone. A connected,
//! idle session was one thread, 1.9 MiB of PSS with the program around it, and no wake-up between
//! two keep-alives.
//!
//! # Why MQTT 3.1.1 is the default
//!
//! Both of rumqttc's modules pass the same tests here, against mosquitto and against a hostile
//! broker, so the choice is about what happens off the beaten track. Version 5 is better on the wire:
//! the broker learns how much may be under way and how large a packet may be, so it never has to
//! be stopped and never sends what would cost the connection; it gives reasons; it is told how long
//! to keep the session. But the module is the less sound of the two: a write has no time limit, it
//! panics on short keep-alives, forgets to free its place for a refused QoS 2 publish, and pings
//! without pause if the broker asks for a keep-alive of nought (all met here, see `link`); and a
//! broker that speaks only 3.1.1 answers it in a form it cannot read, which looks like a time-out.
//! Spin apps name a broker and no version, and 3.1.1 is what every broker speaks.

mod backoff;
#[cfg(feature = "broker")]
pub mod broker;
mod connection;
mod core;
mod dial;
mod inbound;
mod link;
mod message;
mod notice;
mod options;
mod outbound;
mod session;
mod shared;
mod subscriptions;
mod tls;
pub mod topic;

pub use message::{Delivery, DeliveryError, Message, Publish, PublishError, Qos, Receipt};
pub use notice::{Counters, Notice, RefusedSubscription, State};
pub use options::{
    Address, AddressFilter, ClientCertificate, Credentials, NoticeHandler, Options, OptionsError,
    Persistence, Protocol, Security, Subscription, TlsOptions,
};
pub use session::{Inbox, Session};
pub use tls::TlsConfigError;
pub use topic::{TopicError, topic_matches, validate_filter, validate_topic};
