//! What a session is told before it starts, and the check of it. Nothing here connects.

use super::message::{Publish, Qos};
use super::notice::Notice;
use super::topic::{TopicError, validate_filter, validate_topic};
use crate::limits::mqtt as limits;
use crate::net::{AddressFilter, TlsConfigError, TlsOptions};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Called with everything an operator may want to read. Must not block.
pub type NoticeHandler = Arc<dyn Fn(Notice) + Send + Sync>;

/// All that a session needs to know. Make it with [`Options::new`] and change the fields.
#[derive(Clone)]
pub struct Options {
    /// The broker.
    pub address: Address,
    /// User name and password.
    pub credentials: Option<Credentials>,
    /// Stable for the life of the device: the broker keeps the session under it.
    pub client_id: String,
    /// MQTT 3.1.1 or 5.
    pub protocol: Protocol,
    /// 5 s to 65 535 s. A connection that is dead is noticed after one and a half times this long.
    pub keep_alive: Duration,
    /// Whether the broker keeps the session while we are away.
    pub persistence: Persistence,
    /// Made after every connect, before anything is published. May be empty, and changes with
    /// [`Session::subscribe`](super::Session::subscribe).
    pub subscriptions: Vec<Subscription>,
    /// What the broker is believed to hold from an earlier run, as [`Session::granted`](super::Session::granted)
    /// told it then. If the broker has kept the session, what is wanted and here is not subscribed
    /// again (MQTT 3.1.1; MQTT 5 asks again without its retained messages, which is safer), and what is here
    /// and not wanted is unsubscribed. When in doubt, leave it out: a filter that is here and not
    /// with the broker gets no messages.
    pub kept: Vec<Subscription>,
    /// Of a larger inbound message only the first bytes are handed out (see
    /// [`Message::oversize`](super::Message::oversize)); larger outbound ones are refused. However large a
    /// message is, it is read past without being held. An MQTT 5 broker is told a packet limit well above
    /// this one, and drops what is larger itself.
    pub payload_bytes_max: usize,
    /// What the broker publishes when the connection breaks. Published by the session itself when
    /// it stops in order and `online` is set, since the broker then would not.
    pub will: Option<Publish>,
    /// Published after every connect, right after the subscriptions. QoS 2 is taken as 1.
    pub online: Option<Publish>,
    /// `None` allows every address.
    pub address_filter: Option<AddressFilter>,
    /// Where notices go.
    pub on_notice: Option<NoticeHandler>,
}

impl Options {
    /// Options with the defaults: [`Protocol::default`], a keep-alive of 60 s, a session that the
    /// broker keeps for a day, no subscriptions.
    pub fn new(address: Address, client_id: impl Into<String>) -> Self {
        Self {
            address,
            credentials: None,
            client_id: client_id.into(),
            protocol: Protocol::default(),
            keep_alive: limits::KEEP_ALIVE,
            persistence: Persistence::default(),
            subscriptions: Vec::new(),
            kept: Vec::new(),
            payload_bytes_max: limits::PAYLOAD_BYTES_MAX,
            will: None,
            online: None,
            address_filter: None,
            on_notice: None,
        }
    }

    /// What an MQTT 5 broker is told as the largest packet: well above what is accepted, since it drops
    /// what is larger without a word, where we can at least say what it was.
    pub(crate) fn packet_bytes_max(&self) -> usize {
        let wanted = 2 * self.payload_bytes_max + limits::PACKET_OVERHEAD_BYTES_MAX;
        wanted.max(limits::PACKET_BYTES_FLOOR)
    }

    /// The receive maximum for MQTT 5: what fits into the inbox however large the messages are.
    pub(crate) fn receive_max(&self) -> u16 {
        let bytes = limits::INBOX_BYTES_MAX - limits::INBOX_QOS0_BYTES_MAX;
        let fit = u16::try_from(bytes / self.payload_bytes_max).unwrap_or(u16::MAX);
        fit.clamp(1, limits::RECEIVE_MAX)
    }

    pub(crate) fn notify(&self, notice: Notice) {
        if let Some(handler) = &self.on_notice {
            handler(notice);
        }
    }

    /// Checks everything that can be known without the broker.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        self.check_names()?;
        if !(limits::KEEP_ALIVE_MIN..=limits::KEEP_ALIVE_MAX).contains(&self.keep_alive) {
            return Err(OptionsError::KeepAlive(self.keep_alive));
        }
        if !(1..=limits::PAYLOAD_BYTES_CEILING).contains(&self.payload_bytes_max) {
            return Err(OptionsError::PayloadLimit(self.payload_bytes_max));
        }
        self.check_subscriptions()?;
        self.check_status("will", self.will.as_ref())?;
        self.check_status("online", self.online.as_ref())
    }

    fn check_names(&self) -> Result<(), OptionsError> {
        let host = &self.address.host;
        if host.is_empty() || host.contains(['\0', '/', ' ']) || self.address.port == 0 {
            return Err(OptionsError::Address { host: host.clone(), port: self.address.port });
        }
        let credentials = self.credentials.iter();
        let mut names =
            credentials.flat_map(|c| [&c.username, &c.password]).chain([&self.client_id]);
        let id = &self.client_id;
        if id.is_empty() || names.any(|n| n.len() > limits::NAME_BYTES_MAX || n.contains('\0')) {
            return Err(OptionsError::Name);
        }
        Ok(())
    }

    fn check_subscriptions(&self) -> Result<(), OptionsError> {
        if self.subscriptions.len() > limits::SUBSCRIPTIONS_MAX {
            return Err(OptionsError::TooManySubscriptions(self.subscriptions.len()));
        }
        for Subscription { filter, .. } in self.subscriptions.iter().chain(&self.kept) {
            validate_filter(filter)
                .map_err(|why| OptionsError::Filter { filter: filter.clone(), why })?;
        }
        Ok(())
    }

    fn check_status(
        &self,
        key: &'static str,
        status: Option<&Publish>,
    ) -> Result<(), OptionsError> {
        let Some(Publish { topic, payload, .. }) = status else { return Ok(()) };
        validate_topic(topic).map_err(|why| OptionsError::Status {
            key,
            topic: topic.clone(),
            why,
        })?;
        match payload.len() > self.payload_bytes_max {
            true => Err(OptionsError::StatusTooLarge { key, bytes: payload.len() }),
            false => Ok(()),
        }
    }
}

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// Usually 1883, 8883 with TLS.
    pub port: u16,
    /// TLS or not.
    pub security: Security,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.security {
            Security::Plain => "mqtt",
            Security::Tls(_) => "mqtts",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plain,
    /// TLS 1.2 or 1.3; the broker's certificate must be valid for the host.
    Tls(TlsOptions),
}

/// User name and password. The password is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// MQTT 3.1.1.
    #[default]
    V311,
    /// MQTT 5.
    V5,
}

/// Whether the broker keeps the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It keeps subscriptions and messages while we are away.
    Persistent {
        /// For how long. MQTT 5 only; with 3.1.1 the broker decides.
        expiry: Duration,
    },
    /// It forgets us when the connection ends.
    Clean,
}

impl Default for Persistence {
    fn default() -> Self {
        Self::Persistent { expiry: Duration::from_secs(24 * 3600) }
    }
}

/// One filter to subscribe to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// May have wildcards, may be `$share/group/filter`.
    pub filter: String,
    /// The most that is asked for; the broker may grant less.
    pub qos: Qos,
}

/// Why a running session does not take a subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// A filter that is none.
    #[error("`{filter}` is not a topic filter: {why}")]
    Filter {
        /// As given.
        filter: String,
        /// The rule it breaks.
        why: TopicError,
    },
    /// Beyond the cap.
    #[error("a session may not have more than {max} subscriptions", max = limits::SUBSCRIPTIONS_MAX)]
    TooMany,
}

/// What is wrong with [`Options`].
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// No host, or no port.
    #[error(
        "`{host}:{port}` is not a broker's address: a host name or IP address and a port from 1 to 65535 are needed"
    )]
    Address {
        /// As given.
        host: String,
        /// As given.
        port: u16,
    },
    /// Client id, user name or password.
    #[error(
        "the client id must not be empty, and like user name and password at most 65535 bytes without NUL"
    )]
    Name,
    /// Outside 5 s to 65 535 s.
    #[error("the keep-alive of {0:?} is not between 5 and 65535 seconds")]
    KeepAlive(Duration),
    /// Zero, or beyond the ceiling.
    #[error("the payload limit of {0} bytes is not between 1 byte and 16 MiB")]
    PayloadLimit(usize),
    /// Beyond the cap.
    #[error(
        "{0} subscriptions are more than the {max} that a session may have",
        max = limits::SUBSCRIPTIONS_MAX
    )]
    TooManySubscriptions(usize),
    /// A filter that is none.
    #[error("`{filter}` is not a topic filter: {why}")]
    Filter {
        /// As given.
        filter: String,
        /// The rule it breaks.
        why: TopicError,
    },
    /// A topic of `will` or `online` that is none.
    #[error("`{topic}` of `{key}` is not a topic: {why}")]
    Status {
        /// `will` or `online`.
        key: &'static str,
        /// As given.
        topic: String,
        /// The rule it breaks.
        why: TopicError,
    },
    /// A payload of `will` or `online` beyond the limit.
    #[error("the payload of `{key}` has {bytes} bytes, more than the payload limit")]
    StatusTooLarge {
        /// `will` or `online`.
        key: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// Certificates or keys that cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    /// `start` was called outside a tokio runtime.
    #[error("the session needs a running tokio runtime")]
    NoRuntime,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(change: impl FnOnce(&mut Options)) -> String {
        let address = Address { host: "broker".into(), port: 1883, security: Security::Plain };
        let mut options = Options::new(address, "device");
        change(&mut options);
        options.check().map_or_else(|error| error.to_string(), |()| "fine".into())
    }

    fn status(topic: &str, bytes: usize) -> Option<Publish> {
        let payload = vec![0; bytes].into();
        Some(Publish { topic: topic.into(), payload, qos: Qos::AtLeastOnce, retain: true })
    }

    fn filters(count: usize, filter: &str) -> Vec<Subscription> {
        vec![Subscription { filter: filter.into(), qos: Qos::AtLeastOnce }; count]
    }

    #[test]
    fn each_wrong_option_is_refused_by_name() {
        type Change = fn(&mut Options);
        let rows: [(Change, &str); 17] = [
            (|_| {}, "fine"),
            (|o| o.address.host = "::1".into(), "fine"),
            (|o| o.address.host = String::new(), "`:1883` is not a broker's address"),
            (|o| o.address.host = "a/b".into(), "`a/b:1883` is not a broker's address"),
            (|o| o.address.port = 0, "`broker:0` is not a broker's address"),
            (|o| o.client_id = String::new(), "the client id must not be empty"),
            (|o| o.client_id = "x".repeat(65_536), "the client id must not be empty"),
            (|o| o.keep_alive = Duration::from_secs(4), "the keep-alive of 4s is not between"),
            (|o| o.keep_alive = Duration::from_secs(65_536), "the keep-alive of 65536s is not"),
            (|o| o.keep_alive = Duration::ZERO, "the keep-alive of 0ns is not between"),
            (|o| o.payload_bytes_max = 0, "the payload limit of 0 bytes"),
            (|o| o.payload_bytes_max = 17 << 20, "the payload limit of 17825792 bytes"),
            (
                |o| o.subscriptions = filters(20_001, "a"),
                "20001 subscriptions are more than the 20000",
            ),
            (|o| o.subscriptions = filters(1, "a/#/b"), "`a/#/b` is not a topic filter: + must"),
            (|o| o.kept = filters(1, "a/#/b"), "`a/#/b` is not a topic filter: + must"),
            (|o| o.will = status("a/+", 1), "`a/+` of `will` is not a topic: a topic to publish"),
            (|o| o.online = status("a", 65_537), "the payload of `online` has 65537 bytes"),
        ];
        for (change, expected) in rows {
            let said = check(change);
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let (username, password) = ("ann".to_owned(), "secret".to_owned());
        let shown = format!("{:?}", Credentials { username, password });
        assert!(shown.contains("ann") && !shown.contains("secret"), "{shown}");
    }
}
