//! Where an app takes requests: an address that no other app of the process has. Clients can connect before the app works;
//! they wait until then.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pirn_triggers::http::{Address, ListenError, Listener, Server};

use super::loading::LoadAppError;
use crate::flow::house::House;
use crate::flow::site::{Site, handler};
use crate::plan::{HttpPlan, PortChoice};

/// Which app of the process has which address.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    all: Mutex<BTreeMap<Address, String>>,
    /// Those whose app is about to be replaced.
    kept: Mutex<BTreeMap<Address, Listener>>,
}

/// An app is about to be replaced: who connects until this is dropped waits for the next version.
#[derive(Debug)]
pub(super) struct Kept {
    addresses: Arc<Addresses>,
    address: Address,
}

/// An app's address, until this is dropped.
#[derive(Debug)]
struct Claim {
    addresses: Arc<Addresses>,
    address: Address,
}

/// A listener whose app does not work yet.
#[derive(Debug)]
pub(super) struct Gate {
    listener: Listener,
    claim: Claim,
}

/// A listener whose app works.
#[derive(Debug)]
pub(super) struct OpenGate {
    server: Server,
    claim: Claim,
}

impl Addresses {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Address, String>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Address, Listener>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.addresses.kept().remove(&self.address);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.addresses.all().remove(&self.address);
    }
}

impl Gate {
    /// Listens for the app.
    pub(super) fn bind(
        plan: &HttpPlan,
        app: &str,
        addresses: &Arc<Addresses>,
    ) -> Result<Self, LoadAppError> {
        if let (PortChoice::Fixed, Some(other)) = (plan.port, addresses.all().get(&plan.listen)) {
            return Err(LoadAppError::Listen(format!(
                "the apps {other} and {app} both listen at {}; give one of them another address",
                plan.listen
            )));
        }
        let kept = addresses.kept().remove(&plan.listen);
        let listener = kept.map_or_else(|| listen(plan), Ok).map_err(|error| {
            let help = match error.is_taken() {
                true => "; another program listens there: --listen takes another address, --find-free-port another port",
                false => "",
            };
            LoadAppError::Listen(format!("{error}{help}"))
        })?;
        let listener = match &plan.tls {
            None => listener,
            Some(files) => listener
                .with_tls(files)
                .map_err(|error| LoadAppError::Listen(format!("--tls-cert, --tls-key: {error}")))?,
        };
        let address = listener.address().clone();
        addresses.all().insert(address.clone(), app.to_owned());
        let claim = Claim { addresses: Arc::clone(addresses), address };
        Ok(Self { listener, claim })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Requests are answered from here on.
    pub(super) fn open(self, plan: &HttpPlan, site: Arc<Site>, house: Arc<House>) -> OpenGate {
        let Self { listener, claim } = self;
        let listener = listener.when_rested(move || house.look_for_spare());
        let server = Server::start(listener, plan.options, handler(site));
        OpenGate { server, claim }
    }
}

impl OpenGate {
    /// Who connects from here on is not turned away when this closes, as long as what this returns is there.
    pub(super) fn keep(&self) -> Option<Kept> {
        let Claim { addresses, address } = &self.claim;
        let listener = self.server.listener()?;
        addresses.kept().insert(address.clone(), listener);
        Some(Kept { addresses: Arc::clone(addresses), address: address.clone() })
    }

    /// Nobody can connect any more; waits a moment for who has just come.
    pub(super) async fn drain(&mut self) {
        self.server.drain().await;
    }

    /// The same, and waits a moment for answers under way.
    pub(super) async fn stop(self) {
        self.server.stop().await;
    }
}

fn listen(plan: &HttpPlan) -> Result<Listener, ListenError> {
    let mut address = plan.listen.clone();
    loop {
        match (Listener::bind(&address), plan.port, &address) {
            (Err(error), PortChoice::NextFree, Address::Tcp(tcp)) if error.is_taken() => {
                let Some(port) = tcp.port().checked_add(1) else { return Err(error) };
                address = Address::Tcp(SocketAddr::new(tcp.ip(), port));
            }
            (bound, ..) => return bound,
        }
    }
}
