//! The workbench as an MQTT client: a short session of its own, forgotten by the broker afterwards.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pirn_runner::plan::{BrokerAddress, Transport};
use pirn_triggers::mqtt::{
    Address, Credentials, Inbox, Options, Persistence, Qos, Security, Session, State, Subscription,
    TlsOptions,
};
use tokio::time::timeout;

use crate::cli::BrokerArgs;
use crate::failure::{Failure, Outcome};
use crate::limits;
use crate::ui::Volume;

/// A session with the broker of the command line.
pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) inbox: Inbox,
}

impl Client {
    /// Connects and subscribes to `filter`, if there is one; done when the broker has agreed, so that
    /// no message published from then on is missed.
    pub(crate) async fn connect(
        broker: &BrokerArgs,
        filter: Option<&str>,
        wait: Duration,
    ) -> Result<Client, Failure> {
        let address = BrokerAddress::parse(&broker.broker)
            .map_err(|error| Failure::wrong(format!("--broker {}: {error}", broker.broker)))?;
        let mut options = options(broker, &address);
        options.subscriptions.extend(
            filter.map(|filter| Subscription { filter: filter.to_owned(), qos: qos(broker.qos) }),
        );
        let (session, inbox) = Session::start(options).map_err(Failure::wrong)?;
        match timeout(wait, connected(&session)).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(nobody_there(&session, &address)),
        }
        Ok(Client { session, inbox })
    }

    /// Says goodbye.
    pub(crate) async fn end(self) {
        self.session.stop(limits::GOODBYE_WAIT).await;
    }
}

fn options(broker: &BrokerArgs, address: &BrokerAddress) -> Options {
    let security = match address.transport {
        Transport::Plain => Security::Plain,
        Transport::Tls => {
            Security::Tls(TlsOptions { ca_file: broker.cafile.clone(), client: None })
        }
    };
    let named = address.client_id.clone();
    let address = Address { host: address.host.clone(), port: address.port, security };
    let mut options = Options::new(address, named.unwrap_or_else(client_id));
    options.persistence = Persistence::Clean;
    options.payload_bytes_max = limits::PAYLOAD_BYTES_MAX;
    options.credentials = broker.username.clone().map(|username| Credentials {
        username,
        password: broker.password.clone().unwrap_or_default(),
    });
    options
}

/// Different each time, so that two terminals do not throw each other out.
fn client_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("pirn-{}-{:08x}", std::process::id(), now.subsec_nanos())
}

/// The quality of service of the command line, which is 0, 1 or 2.
pub(crate) fn qos(number: u8) -> Qos {
    match number {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}

/// Waits until the session is connected with all its subscriptions.
async fn connected(session: &Session) -> Outcome {
    let mut states = session.state();
    let state = states
        .wait_for(|state| !matches!(state, State::Connecting { .. }))
        .await
        .map_err(|_| Failure::failed("the session ended"))?;
    match &*state {
        State::Connected { refused, .. } => match refused.first() {
            None => Ok(()),
            Some(refused) => Err(Failure::failed(format!(
                "the broker refused the subscription to {} (reason code {:#04x})",
                refused.filter, refused.code
            ))),
        },
        State::Connecting { .. } | State::Stopped => Err(Failure::failed("the session ended")),
    }
}

fn nobody_there(session: &Session, address: &BrokerAddress) -> Failure {
    let why = match &*session.state().borrow() {
        State::Connecting { last_error: Some(error), .. } => format!(" ({error})"),
        _ => String::new(),
    };
    Failure::failed(format!(
        "no broker answers at {address}{why}\n  `pirn up` brings one; --broker names another"
    ))
}

/// Says what the user should know about how the session is going, if it is in trouble.
pub(crate) fn warn_of_trouble(state: &State, volume: Volume) {
    if let State::Connecting { last_error: Some(error), .. } = state {
        volume.warning(&format!("the connection is gone ({error}); trying again"));
    }
}
