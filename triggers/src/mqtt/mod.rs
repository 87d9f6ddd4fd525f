//! One MQTT session with one broker, over rumqttc, that loses nothing.

mod message;
mod notice;
mod options;
mod session;
mod shared;
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
