//! The app's MQTT sessions: one per broker and credentials, however many components use it. The
//! trigger's own session is put in at the start; others are opened when a guest asks, kept while they
//! are used, and closed when they are not, or when their broker stays away.
//!
//! What is the app's own is not for guests to take along: its client id, under which the broker keeps
//! its session, and the device's certificate, which says who the device is.

mod lease;
pub mod options;
mod slots;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use pirn_triggers::mqtt::{
    Address, Credentials, Notice, Options, Persistence, Security, Session, State, TlsOptions,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

pub use self::lease::Lease;
use self::lease::{Held, Whose};
use self::slots::{Verdict, gives_way, step};
use super::locked;
use crate::files::manifest::Hosts;
use crate::limits::bounds::OutboxBounds;
use crate::limits::dispatch::FAREWELL_GRACE;
use crate::limits::host::{BROKER_OPEN_TIMEOUT, BROKER_SESSIONS_MAX};
use crate::outbox::Outlet;
use crate::plan::{App, BrokerAddress, Transport};
use crate::report::{Report, Reporter};
use crate::store::Store;

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

    /// The address, for sentences: no credentials.
    fn shown(&self) -> String {
        format!("{}://{}:{}", self.transport, self.host, self.port)
    }

    /// Under which its publishes are kept: without the password, and the same after a restart.
    fn name(&self) -> String {
        format!("{}://{}@{}:{}", self.transport, self.username, self.host, self.port)
    }

    /// Without the client id: the trigger's session serves whatever id a guest asks for.
    fn key(&self) -> Self {
        Self { client_id: None, ..self.clone() }
    }

    fn options(&self, client_id: String, tls: TlsOptions) -> Options {
        let security = match self.is_secure() {
            true => Security::Tls(tls),
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

    fn is_secure(&self) -> bool {
        self.transport == Transport::Tls.scheme()
    }

    /// Whether both are the same broker, whoever logs in.
    fn is_at(&self, address: &BrokerAddress) -> bool {
        self.transport == address.transport.scheme()
            && self.host.eq_ignore_ascii_case(&address.host)
            && self.port == address.port
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
    app: String,
    identity: Identity,
    store: Store,
    /// Of each broker's outbox.
    outbox: OutboxBounds,
    reporter: Arc<dyn Reporter>,
    pool: Arc<Pool>,
}

/// What the device shows to brokers.
#[derive(Default)]
struct Identity {
    tls: TlsOptions,
    /// The app's own broker: it is shown the certificate.
    own: Option<BrokerAddress>,
    /// Other brokers that are shown it too.
    certificate_for: Hosts,
}

#[derive(Default)]
struct Pool {
    sessions: Mutex<Sessions>,
    stopping: Arc<AtomicBool>,
}

/// The session of the trigger, which guests share that log in in the same way.
struct Own {
    login: Login,
    session: Session,
    /// Its outbox: there once a guest publishes, or from the start if an earlier process left something in it.
    held: Option<Arc<Held>>,
}

#[derive(Default)]
struct Sessions {
    own: Option<Own>,
    /// The client id that the app's own session has, or would have.
    own_client_id: Option<String>,
    others: HashMap<Login, Arc<Held>>,
    /// How many others were opened so far: part of their names.
    opened: u64,
}

impl Brokers {
    /// No sessions yet. `tls` names the authorities to trust; a certificate in it is shown to nobody.
    pub fn new(
        app: &str,
        tls: TlsOptions,
        store: Store,
        outbox: OutboxBounds,
        reporter: Arc<dyn Reporter>,
    ) -> Self {
        let identity = Identity { tls, ..Identity::default() };
        Self { app: app.into(), identity, store, outbox, reporter, pool: Arc::default() }
    }

    /// No sessions yet, with what the device and the app are to brokers. The app has this client id, or had it the
    /// last time.
    pub fn for_app(
        app: &App,
        client_id: Option<String>,
        store: Store,
        reporter: Arc<dyn Reporter>,
    ) -> Self {
        let hosts = app.runtime_config.mqtt.client_cert_hosts.clone();
        let outbox = app.board.outbox;
        let mut brokers = Self::new(&app.name, options::tls(app), store, outbox, reporter);
        brokers.identity.own = app.broker.as_ref().map(|plan| plan.address.clone());
        brokers.identity.certificate_for = Hosts::new(hosts, None, Default::default());
        locked(&brokers.pool.sessions).own_client_id = client_id;
        brokers
    }

    /// Shares the trigger's session, with this client id, with guests that log in the same way.
    pub fn share(&self, login: Login, client_id: &str, session: Session) {
        let held = self.store.has_kept().then(|| self.held(session.clone(), Whose::Own, &login));
        let mut sessions = locked(&self.pool.sessions);
        sessions.own_client_id = Some(client_id.into());
        sessions.own = Some(Own { login: login.key(), session, held });
    }

    fn held(&self, session: Session, whose: Whose, login: &Login) -> Arc<Held> {
        let (store, reporter) = (self.store.clone(), Arc::clone(&self.reporter));
        let outlet = Outlet::start(session, store, login.name(), self.outbox, reporter);
        Held::new(outlet, whose, login.shown(), &self.pool.stopping)
    }

    /// The outboxes of all sessions.
    pub fn outlets(&self) -> Vec<Arc<Outlet>> {
        let sessions = locked(&self.pool.sessions);
        let own = sessions.own.iter().filter_map(|own| own.held.as_ref());
        own.chain(sessions.others.values()).map(|held| Arc::clone(&held.outlet)).collect()
    }

    /// The session for this login; a new one is opened and waited for. Dropped half-way, a session
    /// that is being opened stays for a moment, and will serve the next who asks.
    pub async fn session(&self, login: Login, hosts: &Hosts) -> Result<Lease, OpenError> {
        let lease = self.lease(&login, hosts)?;
        if lease.held().whose == Whose::Own || lease.held().was_opened() {
            return Ok(lease);
        }
        match connected(lease.held().outlet.session(), BROKER_OPEN_TIMEOUT).await {
            Ok(()) => Ok(lease),
            Err(sentence) => {
                let held = Arc::clone(lease.held());
                drop(lease);
                self.pool.close_if_unheld(&login.key(), held);
                Err(OpenError::Failed(sentence))
            }
        }
    }

    /// The lease of a session that is there, or of one that is started.
    fn lease(&self, login: &Login, hosts: &Hosts) -> Result<Lease, OpenError> {
        let mut sessions = locked(&self.pool.sessions);
        let key = login.key();
        if let Some(own) = sessions.own.as_mut().filter(|own| own.login == key) {
            let session = &own.session;
            let begun = || self.held(session.clone(), Whose::Own, &own.login);
            return Ok(Lease::of(own.held.get_or_insert_with(begun)));
        }
        if let Some(held) = sessions.others.get(&key) {
            if *held.outlet.session().state().borrow() != State::Stopped {
                return Ok(Lease::of(held));
            }
            // It ended by itself; who still holds it has been told.
            sessions.others.remove(&key);
        }
        if login.client_id.is_some() && login.client_id == sessions.own_client_id {
            return Err(OpenError::Failed(
                "this client id is the app's own, and a second session with it would end the first: leave client_id out of the address, or take another".into(),
            ));
        }
        sessions.make_room()?;
        self.start(&mut sessions, login, hosts)
    }

    fn start(
        &self,
        sessions: &mut Sessions,
        login: &Login,
        hosts: &Hosts,
    ) -> Result<Lease, OpenError> {
        sessions.opened += 1;
        let client_id = login.client_id.clone();
        let client_id = client_id.unwrap_or_else(|| sessions.fresh_client_id(&self.app));
        let mut options = login.options(client_id, self.identity.shown_to(login));
        let hosts = hosts.clone();
        options.address_filter = Some(Arc::new(move |ip| hosts.permits_address(ip)));
        options.on_notice = Some(on_notice(options.address.to_string(), self.reporter.clone()));
        let started = Session::start(options).map_err(|e| OpenError::Failed(e.to_string()))?;
        // Nothing is subscribed, so nothing comes in.
        let (session, _inbox) = started;
        let held = self.held(session, Whose::Guests, login);
        sessions.others.insert(login.key(), Arc::clone(&held));
        let lease = Lease::of(&held);
        tokio::spawn(watch(Arc::downgrade(&self.pool), login.key(), Arc::downgrade(&held)));
        Ok(lease)
    }

    /// Ends every session, together, within `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.pool.stopping.store(true, Relaxed);
        let mut sessions = std::mem::take(&mut *locked(&self.pool.sessions));
        let own = sessions.own.take().and_then(|own| own.held);
        let all = sessions.others.into_values().chain(own);
        let stops = all.map(|held| tokio::spawn(async move { held.end(grace).await }));
        for stop in stops.collect::<Vec<_>>() {
            let _ = stop.await;
        }
    }
}

impl Identity {
    /// What a broker is shown: the certificate says who the device is, and not every broker that a
    /// guest may talk to has to know.
    fn shown_to(&self, login: &Login) -> TlsOptions {
        let own = self.own.as_ref().is_some_and(|own| login.is_at(own));
        let named = self.certificate_for.permits(login.transport, &login.host, Some(login.port));
        let client = self.tls.client.clone().filter(|_| own || named);
        TlsOptions { client, ..self.tls.clone() }
    }
}

impl Sessions {
    /// Sees to it that there is a place, by closing a session that nobody uses.
    fn make_room(&mut self) -> Result<(), OpenError> {
        if self.others.len() < BROKER_SESSIONS_MAX {
            return Ok(());
        }
        // One moment for all, or the one that is looked at last would seem the longest unused.
        let now = Instant::now();
        let facts = self.others.iter().map(|(key, held)| (key, held.facts(now, leases(held))));
        let key = gives_way(facts).cloned().ok_or(OpenError::TooMany)?;
        if let Some(held) = self.others.remove(&key) {
            tokio::spawn(async move { held.end(FAREWELL_GRACE).await });
        }
        Ok(())
    }

    /// A name that no other device has, because the app's own has none twice; without such, a random one.
    fn fresh_client_id(&self, app: &str) -> String {
        match &self.own_client_id {
            Some(own) if own.starts_with(app) => format!("{own}-{}", self.opened),
            // It is that of all apps of the process.
            Some(own) => format!("{own}-{app}-{}", self.opened),
            None => format!("{app}-{}-{}", options::random_name(), self.opened),
        }
    }
}

impl Pool {
    /// Closes a session that did not open, unless somebody else still waits for it.
    fn close_if_unheld(&self, key: &Login, held: Arc<Held>) {
        let mut sessions = locked(&self.sessions);
        // Beside the place in the pool there is only ours.
        if Arc::strong_count(&held) <= 2 {
            sessions.remove(key, &held);
            drop(sessions);
            tokio::spawn(async move { held.end(Duration::ZERO).await });
        }
    }
}

impl Sessions {
    fn remove(&mut self, key: &Login, held: &Arc<Held>) {
        if self.others.get(key).is_some_and(|there| Arc::ptr_eq(there, held)) {
            self.others.remove(key);
        }
    }
}

/// How many leases there are of a session that is in the pool.
fn leases(held: &Arc<Held>) -> usize {
    Arc::strong_count(held).saturating_sub(1)
}

/// What is next for a session.
enum Next {
    /// Another look, after this time or a change.
    Look(Duration, watch::Receiver<State>),
    /// It has left the pool, and is to be ended.
    End(Arc<Held>),
}

/// Closes a session when that is due. Ends with the session or the pool.
async fn watch(pool: Weak<Pool>, key: Login, session: Weak<Held>) {
    while let Some(next) = next(&pool, &key, &session) {
        match next {
            // A change and the time are the same to us.
            Next::Look(time, mut state) => drop(timeout(time, state.changed()).await),
            Next::End(held) => return held.end(FAREWELL_GRACE).await,
        }
    }
}

fn next(pool: &Weak<Pool>, key: &Login, session: &Weak<Held>) -> Option<Next> {
    let (held, pool) = session.upgrade().zip(pool.upgrade())?;
    let mut sessions = locked(&pool.sessions);
    let state = held.outlet.session().state();
    // Two are not leases: the pool's and ours.
    let verdict = step(held.facts(Instant::now(), Arc::strong_count(&held).saturating_sub(2)));
    Some(match verdict {
        // It ended by itself.
        _ if *state.borrow() == State::Stopped => {
            sessions.remove(key, &held);
            return None;
        }
        Verdict::KeepFor(time) => Next::Look(time, state),
        Verdict::CloseUnused | Verdict::GiveUp => {
            sessions.remove(key, &held);
            Next::End(Arc::clone(&held))
        }
    })
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
    match timeout(within, up).await {
        Ok(result) => result,
        Err(_) => Err(format!("the broker did not answer within {within:?}")),
    }
}
