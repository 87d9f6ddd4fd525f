//! A mosquitto of the test's own.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::eventually;

/// A running mosquitto on a loopback port. Its sessions and queues survive a polite stop, as they
/// would with `persistence true` on a real machine.
pub struct Mosquitto {
    port: u16,
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Mosquitto {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no mosquitto on this machine.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with these settings too.
    ///
    /// # Panics
    /// As above.
    #[must_use]
    pub fn start_with(settings: &str) -> Self {
        let mut broker = Self::stopped();
        let file = broker.folder.path().join("mosquitto.conf");
        let own = std::fs::read_to_string(&file).expect("its settings");
        std::fs::write(file, own + settings).expect("its settings");
        broker.restart();
        broker
    }

    /// A port and a folder, with nothing running yet.
    #[must_use]
    pub fn stopped() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let port = listener.local_addr().expect("its number").port();
        let folder = tempfile::tempdir().expect("a scratch folder");
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
             max_queued_messages 0\npersistence true\npersistence_location {}/\n\
             autosave_on_changes true\nautosave_interval 1\nuser root\n",
            folder.path().display()
        );
        std::fs::write(folder.path().join("mosquitto.conf"), settings).expect("its settings");
        Self { port, folder, process: None }
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

    /// Starts it (again), on the same port with what it kept.
    pub fn restart(&mut self) {
        self.stop();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path).chain([std::path::PathBuf::from("/usr/sbin")]);
        let program = places.map(|place| place.join("mosquitto")).find(|file| file.is_file());
        let program = program.expect("mosquitto is needed: apt-get install mosquitto");
        let child = Command::new(program)
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto starts");
        self.process = Some(child);
        eventually("mosquitto to listen", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// Stops it politely: it writes down its sessions.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.stop();
    }
}
