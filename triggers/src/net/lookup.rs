//! Names become addresses.
//!
//! The C library looks names up in its own time, and nothing can hurry it. So it does that on a thread
//! of its own, which nobody waits for at the end (the runtime waits for those of its pool). How many there are at a
//! time is the caller's to bound: a session has one, a connector a few.

use super::dial::DialError;
use crate::limits::net as limits;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A look-up that is under way.
pub(crate) type Lookup = oneshot::Receiver<io::Result<Vec<SocketAddr>>>;

/// Begins a look-up. `held` is held until it ends, whoever waits for it.
pub(crate) fn start<H: Send + 'static>(host: String, port: u16, held: H) -> io::Result<Lookup> {
    on_a_thread("look-up", held, move || {
        let found = (host.as_str(), port).to_socket_addrs();
        found.map(|found| found.take(limits::ADDRESSES_SEEN_MAX).collect())
    })
}

/// Work that blocks, on a thread of its own.
pub(super) fn on_a_thread<H: Send + 'static, T: Send + 'static>(
    name: &str,
    held: H,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (answer, result) = oneshot::channel();
    let work = move || {
        // Nobody may be waiting any more.
        let _ = answer.send(work());
        drop(held);
    };
    std::thread::Builder::new().name(name.into()).spawn(work)?;
    Ok(result)
}

/// The addresses of a name, for somebody who looks up one at a time: an attempt that finds the last one's look-up
/// still under way waits for that. Dropped half-way, the look-up goes on and serves the next call.
pub(crate) async fn look_up(
    under_way: &mut Option<Lookup>,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, DialError> {
    let lookup = match under_way.take() {
        Some(lookup) => lookup,
        None => start(host.to_owned(), port, ()).map_err(|why| DialError::unknown(host, &why))?,
    };
    let answer = within(under_way.insert(lookup), host).await;
    if !matches!(answer, Err(DialError::LookupTimeout { .. })) {
        *under_way = None;
    }
    answer
}

/// Waits for a look-up, but not for ever.
pub(super) async fn within(lookup: &mut Lookup, host: &str) -> Result<Vec<SocketAddr>, DialError> {
    let Ok(answer) = timeout(limits::RESOLVE_TIMEOUT, lookup).await else {
        return Err(DialError::LookupTimeout { host: host.into() });
    };
    let gone = |_| io::Error::other("the look-up broke down");
    let found = answer.map_err(gone).and_then(|found| found);
    found.map_err(|why| DialError::unknown(host, &why))
}
