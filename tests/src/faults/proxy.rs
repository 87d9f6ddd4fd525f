//! A wire that can be cut, bent and pinched: a TCP proxy between the runner and its broker. Bytes that are under way
//! in it when it is cut are gone, as they would be in a cable.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bytes carried at once.
const CARRIED: usize = 16 << 10;

#[derive(Default)]
struct Wire {
    gone: AtomicBool,
    /// Nobody is let through; those who come are sent away at once.
    closed: AtomicBool,
    /// Connections up to this one carry nothing any more, in the one or the other direction.
    dead_up: AtomicU64,
    dead_down: AtomicU64,
    /// Before each portion.
    delay_us: AtomicU64,
    /// Carried at once at most; 0: no limit.
    narrow_bytes: AtomicU64,
    /// Until the cut; negative: never.
    left_bytes: AtomicI64,
    made: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

impl Wire {
    fn cut(&self) {
        let mut streams = self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for stream in streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A running proxy.
pub struct Proxy {
    wire: Arc<Wire>,
    port: u16,
}

impl Proxy {
    /// Starts one before a port of loopback.
    ///
    /// # Panics
    /// If there is no port to be had.
    #[must_use]
    pub fn before(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let port = listener.local_addr().expect("its number").port();
        listener.set_nonblocking(true).expect("a listener can be asked");
        let wire = Arc::new(Wire { left_bytes: AtomicI64::new(-1), ..Wire::default() });
        let serving = Arc::clone(&wire);
        std::thread::spawn(move || {
            while !serving.gone.load(SeqCst) {
                match listener.accept() {
                    Ok((near, _)) => connect(&serving, near, to),
                    Err(_) => std::thread::sleep(Duration::from_millis(3)),
                }
            }
        });
        Self { wire, port }
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

    /// Cuts every connection.
    pub fn cut(&self) {
        self.wire.cut();
    }

    /// From now on nobody is let through.
    pub fn close(&self) {
        self.wire.closed.store(true, SeqCst);
        self.cut();
    }

    /// From now on everybody is.
    pub fn open(&self) {
        self.wire.closed.store(false, SeqCst);
    }

    /// The connections of now stay open and carry nothing any more towards the broker.
    pub fn deaden_up(&self) {
        self.wire.dead_up.store(self.wire.made.load(SeqCst), SeqCst);
    }

    /// The same towards the runner.
    pub fn deaden_down(&self) {
        self.wire.dead_down.store(self.wire.made.load(SeqCst), SeqCst);
    }

    /// Also the connections to come, until the next call with `false`.
    pub fn swallow_all(&self, all: bool) {
        let to = if all { u64::MAX } else { 0 };
        self.wire.dead_up.store(to, SeqCst);
        self.wire.dead_down.store(to, SeqCst);
    }

    /// Each portion takes so much longer.
    pub fn delay(&self, by: Duration) {
        self.wire.delay_us.store(u64::try_from(by.as_micros()).unwrap_or(0), SeqCst);
    }

    /// Carries so many bytes at once at most; 0: no limit.
    pub fn narrow(&self, bytes: u64) {
        self.wire.narrow_bytes.store(bytes, SeqCst);
    }

    /// Cuts all once so many more bytes were carried, the last portion in part.
    pub fn cut_after(&self, bytes: i64) {
        self.wire.left_bytes.store(bytes, SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wire.gone.store(true, SeqCst);
        self.cut();
    }
}

fn connect(wire: &Arc<Wire>, near: TcpStream, to: u16) {
    if wire.closed.load(SeqCst) {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { return };
    let number = wire.made.fetch_add(1, SeqCst) + 1;
    for stream in [&near, &far] {
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_nodelay(true);
        if let (Ok(kept), Ok(mut streams)) = (stream.try_clone(), wire.streams.lock()) {
            streams.push(kept);
        }
    }
    let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { return };
    let (up, down) = (Arc::clone(wire), Arc::clone(wire));
    std::thread::spawn(move || carry(&up, near, far, number, |wire| &wire.dead_up));
    std::thread::spawn(move || carry(&down, far_too, near_too, number, |wire| &wire.dead_down));
}

/// Carries one direction until its end. A dead one does not even read: what is sent fills the sender's buffers.
fn carry(
    wire: &Wire,
    mut from: TcpStream,
    mut to: TcpStream,
    number: u64,
    dead: fn(&Wire) -> &AtomicU64,
) {
    let mut buffer = vec![0; CARRIED];
    loop {
        while dead(wire).load(SeqCst) >= number {
            if wire.gone.load(SeqCst) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let narrow = wire.narrow_bytes.load(SeqCst) as usize;
        let room = if narrow == 0 { CARRIED } else { narrow.min(CARRIED) };
        let Ok(count) = from.read(&mut buffer[..room]) else { break };
        let delay = wire.delay_us.load(SeqCst);
        if delay > 0 {
            std::thread::sleep(Duration::from_micros(delay));
        }
        // What was read before the wire went dead is lost in it.
        if dead(wire).load(SeqCst) >= number {
            continue;
        }
        let left = wire.left_bytes.load(SeqCst);
        let carried = if left < 0 { count } else { count.min(left as usize) };
        if count == 0 || to.write_all(&buffer[..carried]).is_err() {
            break;
        }
        if left >= 0 && wire.left_bytes.fetch_sub(carried as i64, SeqCst) <= carried as i64 {
            wire.left_bytes.store(-1, SeqCst);
            wire.cut();
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echoing() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its number").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(2).map_while(Result::ok) {
                let Ok(mut back) = stream.try_clone() else { return };
                std::thread::spawn(move || std::io::copy(&mut &stream, &mut back));
            }
        });
        port
    }

    #[test]
    fn what_is_carried_arrives_and_a_cut_ends_it_after_so_many_bytes() {
        let proxy = Proxy::before(echoing());
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).expect("it listens");
        stream.set_read_timeout(Some(crate::PATIENCE)).expect("a patience");
        let mut answer = [0; 5];
        stream.write_all(b"hello").expect("it carries");
        stream.read_exact(&mut answer).expect("it carries back");
        assert_eq!(&answer, b"hello");
        proxy.cut_after(3);
        stream.write_all(b"hello").expect("it is taken");
        assert!(stream.read_exact(&mut answer).is_err(), "three bytes are no five");
    }

    #[test]
    fn a_dead_wire_stays_open_and_says_nothing() {
        let proxy = Proxy::before(echoing());
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a patience");
        proxy.swallow_all(true);
        stream.write_all(b"hello").expect("it is taken");
        let error = stream.read(&mut [0; 5]).expect_err("nothing comes").kind();
        assert_eq!(error, std::io::ErrorKind::WouldBlock);
    }
}
