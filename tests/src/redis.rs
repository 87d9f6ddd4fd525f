//! A redis-server of the test's own, and a client that is not ours.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{PATIENCE, eventually};

/// A running redis-server on a loopback port.
pub struct RedisServer {
    port: u16,
    folder: tempfile::TempDir,
    process: Option<Child>,
    words: Vec<String>,
}

impl RedisServer {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no redis-server on this machine.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with these words on its command line too.
    ///
    /// # Panics
    /// As above.
    #[must_use]
    pub fn start_with(words: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let port = listener.local_addr().expect("its number").port();
        drop(listener);
        let folder = tempfile::tempdir().expect("a scratch folder");
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let mut server = Self { port, folder, process: None, words };
        server.restart();
        server
    }

    /// Starts one that speaks TLS, with a certificate for `localhost` of an authority of its own; the file with that is
    /// returned too.
    ///
    /// # Panics
    /// If there is no openssl on this machine.
    #[must_use]
    pub fn start_secure(certificates: &Path) -> Self {
        make_certificates(certificates);
        let file = |name: &str| certificates.join(name).display().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let port = listener.local_addr().expect("its number").port();
        drop(listener);
        let folder = tempfile::tempdir().expect("a scratch folder");
        let (tls_port, cert, key, ca) =
            (port.to_string(), file("server.pem"), file("server.key"), file("ca.pem"));
        let words = [
            "--tls-port",
            &tls_port,
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "no",
        ];
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let mut server = Self { port, folder, process: None, words };
        server.spawn("0");
        server
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://…`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it (again), on the same port and with nothing in it.
    pub fn restart(&mut self) {
        self.stop();
        self.spawn(&self.port.to_string());
    }

    fn spawn(&mut self, port: &str) {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is needed: apt-get install redis-server");
        self.process = Some(child);
        eventually("redis-server to listen", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// Stops it at once.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// A client.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn client(&self) -> RedisClient {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        RedisClient(BufReader::new(stream))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A client of the test's own: words out, words back.
pub struct RedisClient(BufReader<TcpStream>);

impl RedisClient {
    /// Sends a command and returns its reply: words separated by blanks.
    ///
    /// # Panics
    /// If there is none.
    pub fn ask(&mut self, words: &[&str]) -> String {
        self.send(words);
        self.reply()
    }

    /// Sends a command.
    ///
    /// # Panics
    /// If the server is gone.
    pub fn send(&mut self, words: &[&str]) {
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.get_mut().write_all(bytes.as_bytes()).expect("the server takes it");
    }

    /// The next reply.
    ///
    /// # Panics
    /// If there is none.
    pub fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a reply");
        let line = line.trim_end();
        let (kind, rest) = line.split_at(1);
        let count = || rest.parse::<i64>().expect("a number");
        match kind {
            "$" if count() < 0 => "nil".to_owned(),
            "$" => {
                let mut bytes = vec![0; usize::try_from(count()).expect("a length") + 2];
                self.0.read_exact(&mut bytes).expect("the bytes");
                String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned()
            }
            "*" => (0..count()).map(|_| self.reply()).collect::<Vec<_>>().join(" "),
            _ => rest.to_owned(),
        }
    }
}

/// An authority, and a certificate of it for `localhost`.
fn make_certificates(folder: &Path) {
    let script = "
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=an authority' \
            -keyout ca.key -out ca.pem &&
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN=localhost' \
            -keyout server.key -out server.csr &&
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > names &&
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
            -extfile names -out server.pem";
    let made = Command::new("sh").arg("-c").arg(script).current_dir(folder).output();
    let made = made.expect("a shell");
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}
