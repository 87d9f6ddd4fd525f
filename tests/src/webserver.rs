//! A web server of the test's own, which says what the test wants and remembers what it was asked. It is plain enough to
//! misbehave in every way.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A running server.
pub struct Web {
    port: u16,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// What it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `GET /path`.
    pub line: String,
    /// Header lines, in order.
    pub headers: Vec<String>,
    /// The body.
    pub body: String,
}

impl Asked {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let fits = |line: &&String| {
            line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
        };
        Some(self.headers.iter().find(fits)?.split_once(':')?.1.trim())
    }
}

/// A connection from whose request it was read.
pub struct Client(TcpStream);

impl Client {
    /// Writes this.
    pub fn say(&mut self, bytes: &[u8]) {
        // Whoever is gone hears nothing.
        let _ = self.0.write_all(bytes);
    }

    /// An answer of this status with this body.
    pub fn answer(&mut self, status: &str, body: &str) {
        let length = body.len();
        self.say(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes());
    }

    /// Waits until the other side is gone.
    pub fn linger(&mut self) {
        let _ = self.0.read_to_end(&mut Vec::new());
    }

    /// Closes the connection.
    pub fn cut(&self) {
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

impl Web {
    /// A server on loopback that answers each request by `serve`.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn start(serve: impl Fn(&Asked, &mut Client) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let port = listener.local_addr().expect("its number").port();
        let connections = Arc::<AtomicUsize>::default();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (count, all) = (Arc::clone(&connections), Arc::clone(&asked));
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                let (serve, all) = (Arc::clone(&serve), Arc::clone(&all));
                std::thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    let mut client = Client(stream);
                    while let Some(asked) = read(&mut client.0) {
                        all.lock().expect("nobody panicked with it").push(asked.clone());
                        serve(&asked, &mut client);
                    }
                });
            }
        });
        Self { port, connections, asked }
    }

    /// One that hands over each connection as it is.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn raw(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let port = listener.local_addr().expect("its number").port();
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { port, connections: Arc::default(), asked: Arc::default() }
    }

    /// The address of one that is not there.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn closed() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        format!("http://{}", listener.local_addr().expect("its address"))
    }

    /// `http://127.0.0.1:…`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// All that it was asked.
    ///
    /// # Panics
    /// Never, unless the server did.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nobody panicked with it").clone()
    }
}

/// One request; `None` when there is no more.
fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.trim_end().lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let mut asked =
        Asked { line, headers: lines.map(str::to_owned).collect(), body: String::new() };
    let body = match asked.header("transfer-encoding") {
        Some(_) => chunks(stream)?,
        None => {
            let length = asked.header("content-length").and_then(|text| text.parse().ok());
            bytes(stream, length.unwrap_or(0))?
        }
    };
    asked.body = String::from_utf8(body).ok()?;
    Some(asked)
}

fn bytes(stream: &mut TcpStream, count: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// A body of which nobody knew the length when it began.
fn chunks(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(bytes(stream, 1)?);
        }
        let size = std::str::from_utf8(&line).ok()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        body.extend(bytes(stream, size)?);
        bytes(stream, 2)?;
        if size == 0 {
            return Some(body);
        }
    }
}
