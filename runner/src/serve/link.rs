//! One connection with a broker, for all apps of a process that log in there in the same way. What is subscribed is what
//! any of them wants; the broker's session outlives us all, under a name that is kept with the state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use pirn_triggers::mqtt::{Options, Session, Subscription};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::loading::LoadAppError;
use super::session;
use crate::flow::all::Lanes;
use crate::flow::crew::Crew;
use crate::flow::event::digest;
use crate::flow::feeds;
use crate::flow::router::{Ask, Router};
use crate::host::brokers::options::options;
use crate::plan::{App, BrokerPlan};
use crate::report::{Report, Reporter};
use crate::store::folder;

/// A connection, and who uses it.
pub struct Link {
    client_id: String,
    /// Where its name and its subscriptions are kept.
    folder: PathBuf,
    options: Options,
    router: Arc<Router>,
    crew: Arc<Crew>,
    reporter: Arc<dyn Reporter>,
    /// What is wanted, until the session starts.
    wanted: Mutex<BTreeMap<String, Subscription>>,
    started: OnceLock<Started>,
    over: watch::Sender<bool>,
}

struct Started {
    session: Session,
    feed: JoinHandle<()>,
}

impl Link {
    /// A connection for this app, and for whoever joins it; not begun yet. `folder` is where it keeps what it is to
    /// know after a restart.
    pub(super) fn new(
        app: &App,
        plan: &BrokerPlan,
        (name, folder): (&str, &Path),
        crew: Arc<Crew>,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Arc<Self>, LoadAppError> {
        let unusable = |error| LoadAppError::State { path: folder.to_owned(), error };
        folder::make(folder).map_err(unusable)?;
        let client_id = match &plan.client_id {
            Some(id) => id.clone(),
            None => session::client_id(name, folder).map_err(LoadAppError::Session)?,
        };
        let options = options(app, plan, client_id.clone(), Arc::clone(&reporter));
        // Whatever is wrong with them is known before anything runs.
        drop(Session::start(options.clone()).map_err(wrong)?);
        Ok(Arc::new(Self {
            client_id,
            folder: folder.to_owned(),
            options: Options { subscriptions: Vec::new(), ..options },
            router: Arc::default(),
            crew,
            reporter,
            wanted: Mutex::default(),
            started: OnceLock::new(),
            over: watch::Sender::new(false),
        }))
    }

    /// The name that the session has with the broker.
    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The session, once it was begun.
    pub fn session(&self) -> Option<&Session> {
        self.started.get().map(|started| &started.session)
    }

    /// Messages that an app's triggers want go to its lanes from here on.
    pub(super) fn join(&self, lanes: &Lanes) {
        self.ask(self.router.add(lanes));
    }

    /// They do no longer, and what nobody else wants is not to be sent.
    pub(super) fn leave(&self, lanes: &Lanes) {
        self.ask(self.router.remove(lanes));
    }

    /// What went to the old lanes goes to the new ones.
    pub(super) fn replace(&self, old: &Lanes, new: &Lanes) {
        self.ask(self.router.replace(old, new));
    }

    fn ask(&self, asks: Vec<Ask>) {
        let session = self.session();
        let mut wanted = self.wanted();
        for ask in asks {
            match (ask, session) {
                (Ask::For(one), Some(session)) => {
                    if let Err(error) = session.subscribe(one) {
                        self.reporter.report(&Report::Warning(&error.to_string()));
                    }
                }
                (Ask::Again(filter), Some(session)) => session.subscribe_again(&filter),
                (Ask::Without(filter), Some(session)) => session.unsubscribe(&filter),
                (Ask::For(one), None) => drop(wanted.insert(one.filter.clone(), one)),
                (Ask::Again(_), None) => {}
                (Ask::Without(filter), None) => drop(wanted.remove(&filter)),
            }
        }
    }

    /// Begins the session, if that was not done: everybody who is to be there at the start has joined. What the broker
    /// holds of an earlier run and nobody wants any more, it is told so.
    pub(super) fn start(&self) -> Result<&Session, LoadAppError> {
        if let Some(session) = self.session() {
            return Ok(session);
        }
        let options = Options {
            subscriptions: std::mem::take(&mut *self.wanted()).into_values().collect(),
            kept: session::kept_subscriptions(&self.folder),
            ..self.options.clone()
        };
        let (session, inbox) = Session::start(options).map_err(wrong)?;
        let (folder, reporter) = (self.folder.clone(), Arc::clone(&self.reporter));
        tokio::spawn(session::keep_subscriptions(session.granted(), folder, reporter));
        let feed = feeds::messages(inbox, Arc::clone(&self.router), Arc::clone(&self.crew));
        let over = self.over.clone();
        let feed = tokio::spawn(async move {
            feed.await;
            over.send_replace(true);
        });
        Ok(&self.started.get_or_init(|| Started { session, feed }).session)
    }

    /// Waits until the session has ended.
    pub(super) async fn over(&self) {
        // The sender is ours: it is there.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// No message is taken any more: what comes stays with the broker.
    pub(super) fn close(&self) {
        if let Some(started) = self.started.get() {
            started.feed.abort();
        }
    }

    /// Ends the session, saying goodbye.
    pub(super) async fn stop(&self, grace: Duration) {
        self.close();
        if let Some(session) = self.session() {
            session.stop(grace).await;
        }
    }

    fn wanted(&self) -> MutexGuard<'_, BTreeMap<String, Subscription>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wrong(error: impl std::fmt::Display) -> LoadAppError {
    LoadAppError::Session(error.to_string())
}

/// The connections of a process, by who may share them.
pub(super) struct Links {
    folder: PathBuf,
    all: Mutex<BTreeMap<String, Arc<Link>>>,
    crew: Arc<Crew>,
    reporter: Arc<dyn Reporter>,
}

impl Links {
    /// None yet; they keep what they are to know after a restart below this folder.
    pub(super) fn new(folder: PathBuf, crew: Arc<Crew>, reporter: Arc<dyn Reporter>) -> Self {
        Self { folder, all: Mutex::default(), crew, reporter }
    }

    /// The connection for an app, if it has a broker. One that has a name, a will or a word of its own for its broker
    /// has a connection of its own.
    pub(super) fn of(&self, app: &App) -> Result<Option<Arc<Link>>, LoadAppError> {
        let Some(plan) = &app.broker else { return Ok(None) };
        let is_own = plan.client_id.is_some() || plan.will.is_some() || plan.online.is_some();
        let key = key(plan, is_own.then_some(&app.name));
        let mut all = self.all();
        if let Some(link) = all.get(&key) {
            return Ok(Some(Arc::clone(link)));
        }
        let (crew, reporter) = (Arc::clone(&self.crew), Arc::clone(&self.reporter));
        let link = match is_own {
            true => Link::new(app, plan, (&app.name, &app.state_dir), crew, reporter)?,
            false => Link::new(app, plan, ("pirn", &self.folder.join(name(plan))), crew, reporter)?,
        };
        all.insert(key, Arc::clone(&link));
        Ok(Some(link))
    }

    /// All of them.
    pub(super) fn all_links(&self) -> Vec<Arc<Link>> {
        self.all().values().cloned().collect()
    }

    /// Ends the session of a connection that nobody uses any more.
    pub(super) async fn drop_unused(&self, grace: Duration) {
        let unused: Vec<_> =
            self.all().extract_if(.., |_, link| Arc::strong_count(link) == 1).collect();
        for (_, link) in unused {
            link.stop(grace).await;
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Link>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What two apps must have in common to share a connection.
fn key(plan: &BrokerPlan, own: Option<&String>) -> String {
    let BrokerPlan { address, username, password, keep_alive, protocol, session_expiry, .. } = plan;
    format!(
        "{address} {username:?} {password:?} {keep_alive:?} {protocol:?} {session_expiry:?} {own:?}"
    )
}

/// The folder of a connection: the same after a restart, whatever the password is.
fn name(plan: &BrokerPlan) -> String {
    let BrokerPlan { address, username, keep_alive, protocol, session_expiry, .. } = plan;
    let whole = format!("{address} {username:?} {keep_alive:?} {protocol:?} {session_expiry:?}");
    format!("{:016x}", digest(&[whole.as_bytes()]))
}
