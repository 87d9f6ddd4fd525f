//! An app that is the guest `outbound` (or its async twin) alone: it asks other machines what the test has it ask.

use crate::apps::ScratchApp;
use crate::broker::Mosquitto;
use crate::guests::guest;
use crate::machine;
use crate::peer::Peer;
use crate::process::Running;

/// The app at work, and the broker between it and the test.
pub struct Outward {
    outside: Peer,
    /// The runner.
    pub pirnd: Running,
    _app: ScratchApp,
    _broker: Mosquitto,
}

/// What the app is made of.
pub struct Setting<'a> {
    /// The guest.
    pub guest: &'a str,
    /// The engine that runs it.
    pub engine: &'a str,
    /// What `allowed_outbound_hosts` has beside the broker.
    pub hosts: &'a [&'a str],
    /// Lines for its `[component.app]` table.
    pub more: &'a str,
    /// The operator's file.
    pub config: &'a str,
    /// Guests beside it, each in a file of its name; `more` has their tables. One of them takes requests.
    pub beside: &'a [&'a str],
    /// How long it may take for one event.
    pub deadline: &'a str,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        let (guest, engine, deadline) = ("outbound", "native", "20s");
        Self { guest, engine, hosts: &[], more: "", config: "", beside: &[], deadline }
    }
}

impl Setting<'_> {
    /// Builds the app and starts it.
    ///
    /// # Panics
    /// If either fails.
    #[must_use]
    pub fn start(self) -> Outward {
        let broker = Mosquitto::start();
        let address = broker.address();
        let Self { guest: name, engine, hosts, more, config, beside, deadline } = self;
        let hosts: String = hosts.iter().map(|host| format!(", \"{host}\"")).collect();
        let app = ScratchApp::with_manifest(&format!(
            "spin_manifest_version = 2\n[application]\nname = \"scratch\"\n\
             [application.trigger.mqtt]\naddress = \"{address}\"\n\
             [variables]\nbroker = {{ default = \"{address}\" }}\n\
             [[trigger.mqtt]]\ncomponent = \"app\"\ntopic = \"ask/#\"\n\
             [component.app]\nsource = \"guest.wasm\"\n\
             allowed_outbound_hosts = [\"{address}\"{hosts}]\n{more}\n\
             [component.app.variables]\nbroker = \"{{{{ broker }}}}\"\n\
             [component.app.tool.pirn]\nengine = \"{}\"\ndeadline = \"{deadline}\"\nmemory = \"16MiB\"\n",
            machine::engine(engine)
        ));
        app.copy(&guest(name), "guest.wasm");
        for name in beside {
            app.copy(&guest(name), &format!("{name}.wasm"));
        }
        let file = app.file("runtime-config.toml");
        std::fs::write(&file, config).expect("the operator's file");
        let app = app.built();
        let outside = Peer::subscribed(broker.port(), "answer/#");
        let file = file.display().to_string();
        let listen: &[&str] = if beside.is_empty() { &[] } else { &["--listen", "127.0.0.1:0"] };
        let words = [&["--runtime-config-file", &file, "--verbose"], listen].concat();
        let pirnd = app.connected(&words);
        Outward { outside, pirnd, _app: app, _broker: broker }
    }
}

impl Outward {
    /// Has the guest do something that is not answered.
    pub fn tell(&self, command: &str, payload: &str) {
        self.outside.publish(&format!("ask/{command}"), payload);
    }

    /// Has the guest do something, and says what it answered.
    ///
    /// # Panics
    /// If it answers something else than was asked.
    #[must_use]
    pub fn ask(&self, command: &str, payload: &str) -> String {
        self.tell(command, payload);
        let (topic, answer) = self.outside.next();
        assert_eq!(topic, format!("answer/{command}"), "{}", self.pirnd.printed());
        answer
    }
}
