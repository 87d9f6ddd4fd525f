//! The app's MQTT sessions: one per broker and credentials, however many components use it. The
//! trigger's own session is put in at the start; others are opened when a guest asks, and kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn_triggers::mqtt::{
    Address, Credentials, Notice, Options, Persistence, Security, Session, State, TlsOptions,
};

use super::locked;
use crate::app::{BrokerAddress, Transport};
use crate::outbox::{Outlet, Settings};
use crate::store::Store;
use crate::limits::host::{BROKER_OPEN_TIMEOUT, BROKER_SESSIONS_MAX};
use crate::manifest::Hosts;
use crate::report::{Report, Reporter};

/// What makes two connections the same session. The client id is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Login {
    transport: &'static str,
    host: String,
    port: u16,
    username: String,
    password: String,
    client_id: Option<String>,
}

impl Login {
    /// From an address and credentials; an empty user name is none.
    pub fn new(address: BrokerAddress, username: String, password: String) -> Self {
        Self {
            transport: address.transport.scheme(),
            host: address.host,
            port: address.port,
            username,
            password,
            client_id: address.client_id,
        }
    }

    /// Under which its publishes are kept: without the password, and the same after a restart.
    fn name(&self) -> String {
        format!("{}://{}@{}:{}", self.transport, self.username, self.host, self.port)
    }

    /// Without the client id: the trigger's session serves whatever id a guest asks for.
    fn key(&self) -> Self {
        Self { client_id: None, ..self.clone() }
    }

    fn options(&self, client_id: String, tls: &TlsOptions) -> Options {
        let security = match self.transport == Transport::Tls.scheme() {
            true => Security::Tls(tls.clone()),
            false => Security::Plain,
        };
        let address = Address { host: self.host.clone(), port: self.port, security };
        let mut options = Options::new(address, client_id);
        options.persistence = Persistence::Clean;
        options.credentials = (!self.username.is_empty()).then(|| Credentials {
            username: self.username.clone(),
            password: self.password.clone(),
        });
        options
    }
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The app holds as many as it may.
    TooMany,
    /// The broker cannot be reached, or refuses.
    Failed(String),
}

/// The sessions, shared by all components.
pub struct Brokers {
    sessions: Mutex<HashMap<Login, Arc<Outlet>>>,
    app: String,
    tls: TlsOptions,
    store: Store,
    /// Of each broker's outbox.
    outbox: Settings,
    reporter: Arc<dyn Reporter>,
}

impl Brokers {
    /// No sessions yet. `tls` is the device's, for every broker.
    pub fn new(
        app: &str,
        tls: TlsOptions,
        store: Store,
        outbox: Settings,
        reporter: Arc<dyn Reporter>,
    ) -> Self {
        Self { sessions: Mutex::default(), app: app.into(), tls, store, outbox, reporter }
    }

    /// Shares the trigger's session with guests that log in the same way.
    pub fn share(&self, login: Login, session: Session) -> Arc<Outlet> {
        let outlet = self.outlet(&login, session);
        locked(&self.sessions).insert(login.key(), Arc::clone(&outlet));
        outlet
    }

    fn outlet(&self, login: &Login, session: Session) -> Arc<Outlet> {
        let (store, reporter) = (self.store.clone(), Arc::clone(&self.reporter));
        Outlet::start(session, store, login.name(), self.outbox, reporter)
    }

    /// The outboxes of all sessions.
    pub fn outlets(&self) -> Vec<Arc<Outlet>> {
        locked(&self.sessions).values().cloned().collect()
    }

    /// The session for this login; a new one is opened and waited for. Dropped half-way, a session
    /// that is being opened stays and will serve the next who asks.
    pub async fn session(&self, login: Login, hosts: &Hosts) -> Result<Arc<Outlet>, OpenError> {
        let key = login.key();
        if let Some(outlet) = locked(&self.sessions).get(&key) {
            return Ok(Arc::clone(outlet));
        }
        let outlet = self.open(&login, hosts)?;
        match connected(outlet.session(), BROKER_OPEN_TIMEOUT).await {
            Ok(()) => Ok(outlet),
            Err(sentence) => {
                outlet.close();
                locked(&self.sessions).remove(&key);
                Err(OpenError::Failed(sentence))
            }
        }
    }

    fn open(&self, login: &Login, hosts: &Hosts) -> Result<Arc<Outlet>, OpenError> {
        let mut sessions = locked(&self.sessions);
        if sessions.len() > BROKER_SESSIONS_MAX {
            return Err(OpenError::TooMany);
        }
        let own_id = || format!("{}-{}-{}", self.app, std::process::id(), sessions.len());
        let client_id = login.client_id.clone().unwrap_or_else(own_id);
        let mut options = login.options(client_id, &self.tls);
        let hosts = hosts.clone();
        options.address_filter = Some(Arc::new(move |ip| hosts.permits_address(ip)));
        options.on_notice = Some(on_notice(options.address.to_string(), self.reporter.clone()));
        let started = Session::start(options).map_err(|e| OpenError::Failed(e.to_string()))?;
        // Nothing is subscribed, so nothing comes in.
        let (session, _inbox) = started;
        let outlet = self.outlet(login, session);
        sessions.insert(login.key(), Arc::clone(&outlet));
        Ok(outlet)
    }

    /// Ends every session, together, within `grace`.
    pub async fn stop(&self, grace: Duration) {
        let outlets: Vec<_> = locked(&self.sessions).drain().map(|(_, outlet)| outlet).collect();
        let stops = outlets.into_iter().map(|outlet| {
            tokio::spawn(async move {
                outlet.close();
                outlet.session().stop(grace).await;
            })
        });
        for stop in stops.collect::<Vec<_>>() {
            let _ = stop.await;
        }
    }
}

/// Reports what happens to a session.
pub fn on_notice(
    address: String,
    reporter: Arc<dyn Reporter>,
) -> Arc<dyn Fn(Notice) + Send + Sync> {
    Arc::new(move |notice| reporter.report(&Report::Broker { address: &address, notice: &notice }))
}

/// Waits until the session is connected, or says why it is not.
async fn connected(session: &Session, within: Duration) -> Result<(), String> {
    let mut state = session.state();
    let up = async {
        loop {
            match &*state.borrow_and_update() {
                State::Connected { .. } => return Ok(()),
                State::Connecting { last_error: Some(error), .. } => return Err(error.to_string()),
                State::Connecting { .. } => {}
                State::Stopped => return Err("the session has stopped".into()),
            }
            if state.changed().await.is_err() {
                return Err("the session has stopped".into());
            }
        }
    };
    match tokio::time::timeout(within, up).await {
        Ok(result) => result,
        Err(_) => Err(format!("the broker did not answer within {within:?}")),
    }
}
