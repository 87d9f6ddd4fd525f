//! The recording broker. It writes down what it received before it acknowledges it, and what it keeps for a client
//! before it answers, in the memory of this process, which no end of `pirnd` and none of its own touches: `kill`
//! drops every connection and whatever was not recorded, as `kill -9` would, and `restart` comes back with the rest.
//!
//! Messages are put in by the test itself and taken out of the record by the test itself: no other client is needed,
//! so nothing but the runner under test can lose any. Not a broker for anything else: it has no security and one lock.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::link;
use super::manners::Manners;
use super::packet::{Payload, Pieces};
use super::session::{Message, Session};

/// Something that a client published, as it was recorded.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its topic.
    pub topic: String,
    /// The first bytes of its payload, as text.
    pub text: String,
    /// Its quality of service.
    pub qos: u8,
    /// When.
    pub at: Instant,
}

/// What a connection has to say and who it is.
pub(super) struct Link {
    pub(super) stream: TcpStream,
    pub(super) client: Option<String>,
    pub(super) out: Pieces,
    /// Acknowledgements that wait for others, and since when.
    pub(super) gathered: Vec<Vec<u8>>,
    pub(super) gathered_at: Option<Instant>,
    /// Publishes that were recorded and not acknowledged.
    pub(super) unanswered: usize,
}

/// What outlives the broker, and what does not.
pub(super) struct State {
    pub(super) sessions: BTreeMap<String, Session>,
    retained: BTreeMap<String, Arc<Message>>,
    pub(super) record: Vec<Received>,
    /// What was taken over in sessions that are gone.
    accepted_earlier: Vec<Arc<Message>>,
    pub(super) injected: Vec<Arc<Message>>,
    pub(super) manners: Manners,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) connects: usize,
    /// Even while it runs: threads of an earlier life see that they are.
    pub(super) life: u64,
    up: bool,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A running recording broker.
pub struct Broker {
    shared: Arc<Shared>,
    port: u16,
}

impl Broker {
    /// Starts one on a loopback port.
    ///
    /// # Panics
    /// If there is no port to be had.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let port = listener.local_addr().expect("its number").port();
        let state = State {
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            record: Vec::new(),
            accepted_earlier: Vec::new(),
            injected: Vec::new(),
            manners: Manners::default(),
            links: BTreeMap::new(),
            connects: 0,
            life: 0,
            up: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let broker = Self { shared, port };
        broker.serve(listener);
        broker
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `mqtt://…`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    fn serve(&self, listener: TcpListener) {
        let life = {
            let mut state = self.shared.lock();
            state.up = true;
            state.life
        };
        listener.set_nonblocking(true).expect("a listener can be asked");
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            while shared.lock().life == life {
                match listener.accept() {
                    Ok((stream, _)) => link::start(&shared, stream, life),
                    Err(_) => std::thread::sleep(Duration::from_millis(3)),
                }
                link::hand_out_gathered(&shared);
            }
        });
    }

    /// Ends it as `kill -9` would: whatever it had not recorded, and all it had yet to say, is gone.
    pub fn kill(&self) {
        let mut state = self.shared.lock();
        state.up = false;
        state.life += 1;
        state.cut();
        let clean = state.sessions.iter().filter(|(_, session)| session.clean);
        let clean: Vec<String> = clean.map(|(client, _)| client.clone()).collect();
        clean.iter().for_each(|client| state.forget(client));
        self.shared.changed.notify_all();
    }

    /// Comes back with what it had recorded, on the same port.
    ///
    /// # Panics
    /// If the port was taken by another meanwhile.
    pub fn restart(&self) {
        if self.shared.lock().up {
            return;
        }
        let listener = crate::eventually("the broker's port to be free", || {
            TcpListener::bind(("127.0.0.1", self.port)).ok()
        });
        self.serve(listener);
    }

    /// Forgets every session with all that waited in it, as a broker without persistence does at its end.
    pub fn forget_sessions(&self) {
        let mut state = self.shared.lock();
        state.cut();
        let all: Vec<String> = state.sessions.keys().cloned().collect();
        all.iter().for_each(|client| state.forget(client));
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.shared.lock().cut();
        self.shared.changed.notify_all();
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared.lock().manners);
    }

    /// Puts a message in, for everybody who subscribed to its topic.
    pub fn publish(&self, topic: &str, text: &str, qos: u8) {
        self.publish_long(topic, text, 0, qos);
    }

    /// The same with so many zeros behind the text.
    pub fn publish_long(&self, topic: &str, text: &str, zeros: usize, qos: u8) {
        let mut state = self.shared.lock();
        let message = state.message(topic, text, zeros, qos, false);
        state.injected.push(Arc::clone(&message));
        state.route(&message);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Keeps a message for later subscribers.
    pub fn retain(&self, topic: &str, text: &str) {
        let mut state = self.shared.lock();
        let message = state.message(topic, text, 0, 1, true);
        state.injected.push(Arc::clone(&message));
        state.retained.insert(topic.to_owned(), message);
    }

    /// Says these bytes on every connection, whatever they mean.
    pub fn say(&self, bytes: &[u8]) {
        let mut state = self.shared.lock();
        for link in state.links.values_mut() {
            link.out.push(bytes.into());
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// A look at what it knows.
    #[must_use]
    pub fn look(&self) -> Look<'_> {
        Look(self.shared.lock())
    }

    /// Waits until this is so, at most so long. Says whether it is.
    pub fn wait(&self, at_most: Duration, is_so: impl Fn(&Look<'_>) -> bool) -> bool {
        let end = Instant::now() + at_most;
        let mut look = Look(self.shared.lock());
        loop {
            if is_so(&look) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let turn = left.min(Duration::from_millis(20));
            let woken = self.shared.changed.wait_timeout(look.0, turn);
            look = Look(woken.unwrap_or_else(std::sync::PoisonError::into_inner).0);
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

impl State {
    fn message(
        &mut self,
        topic: &str,
        text: &str,
        zeros: usize,
        qos: u8,
        retained: bool,
    ) -> Arc<Message> {
        let serial = self.injected.len() as u64;
        let payload = Payload { head: text.as_bytes().into(), zeros };
        Arc::new(Message { serial, topic: topic.to_owned(), payload, qos, retained })
    }

    /// Hands a message to every session with a filter for it.
    pub(super) fn route(&mut self, message: &Arc<Message>) {
        for session in self.sessions.values_mut() {
            if let Some(granted) = session.granted(&message.topic) {
                session.push(message, granted);
            }
        }
        self.flush();
    }

    /// Says what may be said to each client that is connected.
    pub(super) fn flush(&mut self) {
        let window = self.manners.window;
        for link in self.links.values_mut() {
            let session = link.client.as_ref().and_then(|client| self.sessions.get_mut(client));
            if let Some(session) = session {
                link.out.extend(session.next(window));
            }
        }
    }

    /// Messages that are kept for a new subscriber.
    pub(super) fn kept_for(&self, filter: &str) -> Vec<Arc<Message>> {
        let matching = |message: &&Arc<Message>| super::session::matches(filter, &message.topic);
        self.retained.values().filter(matching).cloned().collect()
    }

    /// Forgets a session, but not what its client took over: the books need that.
    pub(super) fn forget(&mut self, client: &str) {
        if let Some(session) = self.sessions.remove(client) {
            self.accepted_earlier.extend(session.accepted);
        }
    }

    fn cut(&mut self) {
        for (_, link) in std::mem::take(&mut self.links) {
            let _ = link.stream.shutdown(Shutdown::Both);
        }
    }
}

/// What the broker knows, while nothing changes.
pub struct Look<'a>(MutexGuard<'a, State>);

impl Look<'_> {
    /// Everything it received, in order.
    #[must_use]
    pub fn record(&self) -> &[Received] {
        &self.0.record
    }

    /// How much of that came on this topic.
    #[must_use]
    pub fn received_on(&self, topic: &str) -> usize {
        self.0.record.iter().filter(|received| received.topic == topic).count()
    }

    /// All that the test put in.
    #[must_use]
    pub fn injected(&self) -> &[Arc<Message>] {
        &self.0.injected
    }

    /// All that clients took over, with repetitions.
    pub fn accepted(&self) -> impl Iterator<Item = &Arc<Message>> {
        let now = self.0.sessions.values().flat_map(|session| &session.accepted);
        self.0.accepted_earlier.iter().chain(now)
    }

    /// All that clients have yet to take over.
    #[must_use]
    pub fn pending(&self) -> Vec<Arc<Message>> {
        self.0
            .sessions
            .values()
            .flat_map(|session| session.pending().into_iter().cloned())
            .collect()
    }

    /// How many those are.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.0.sessions.values().map(Session::pending_count).sum()
    }

    /// Names of clients that have a session.
    #[must_use]
    pub fn clients(&self) -> Vec<String> {
        self.0.sessions.keys().cloned().collect()
    }

    /// Whether a client with subscriptions is connected.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        let named = self.0.links.values().filter_map(|link| link.client.as_ref());
        let mut sessions = named.filter_map(|client| self.0.sessions.get(client));
        sessions.any(|session| !session.filters.is_empty())
    }

    /// Whether some session has this filter.
    #[must_use]
    pub fn is_subscribed_to(&self, filter: &str) -> bool {
        let mut filters = self.0.sessions.values().flat_map(|session| &session.filters);
        filters.any(|(known, _)| known == filter)
    }

    /// How often somebody connected.
    #[must_use]
    pub fn connects(&self) -> usize {
        self.0.connects
    }
}
