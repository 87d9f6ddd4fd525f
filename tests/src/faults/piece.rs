//! The apps of scenes: components of test guests, their manifest, their artifacts.

use crate::apps::ScratchApp;
use crate::guests::guest;

/// One component of a scene; its triggers are `in/ID/#`, at QoS 1 or what it says.
#[derive(Clone)]
pub struct Piece {
    id: &'static str,
    guest: &'static str,
    qos: u8,
    limits: &'static str,
    timer: Option<&'static str>,
}

impl Piece {
    /// The guest that passes numbers on.
    #[must_use]
    pub fn ledger(id: &'static str) -> Self {
        Self { id, guest: "ledger", qos: 1, limits: "deadline = \"5s\"", timer: None }
    }

    /// The guest that does what it must not do, tried once for a second each.
    #[must_use]
    pub fn misbehaving(id: &'static str) -> Self {
        const LIMITS: &str =
            "deadline = \"1s\"\nattempts_max = 1\nmemory = \"4MiB\"\nlog_rate = \"20/s\"";
        Self { id, guest: "misbehave", qos: 1, limits: LIMITS, timer: None }
    }

    /// With these lines in its `tool.pirn`.
    #[must_use]
    pub fn limits(self, limits: &'static str) -> Self {
        Self { limits, ..self }
    }

    /// Subscribed at another quality of service.
    #[must_use]
    pub fn at(self, qos: u8) -> Self {
        Self { qos, ..self }
    }

    /// Fired by a timer too.
    #[must_use]
    pub fn every(self, interval: &'static str) -> Self {
        Self { timer: Some(interval), ..self }
    }

    fn manifest(&self) -> String {
        let Self { id, guest, qos, limits, timer } = self;
        let timer = timer.map_or(String::new(), |interval| {
            format!("[[trigger.timer]]\ncomponent = \"{id}\"\ninterval = \"{interval}\"\n")
        });
        format!(
            "[[trigger.mqtt]]\ncomponent = \"{id}\"\ntopic = \"in/{id}/#\"\nqos = \"{qos}\"\n{timer}\
             [component.{id}]\nsource = \"{guest}.wasm\"\n\
             allowed_outbound_hosts = [\"{{{{ broker }}}}\", \"{{{{ other }}}}\"]\n\
             key_value_stores = [\"default\"]\n\
             [component.{id}.variables]\nbroker = \"{{{{ broker }}}}\"\nother = \"{{{{ other }}}}\"\n\
             [component.{id}.tool.pirn]\n{limits}\n"
        )
    }
}

fn manifest(pieces: &[Piece]) -> String {
    let head = "spin_manifest_version = 2\n[application]\nname = \"faults\"\n\
        [variables]\nbroker = { required = true }\nother = { default = \"mqtt://127.0.0.1:1\" }\n\
        [application.trigger.mqtt]\naddress = \"{{ broker }}\"\nusername = \"\"\npassword = \"\"\n\
        keep_alive_interval = \"5\"\n";
    pieces.iter().fold(head.to_owned(), |text, piece| text + &piece.manifest())
}

/// A folder with these components, built as a developer would.
///
/// # Panics
/// If a guest is missing or cannot be compiled.
#[must_use]
pub fn app(pieces: &[Piece]) -> ScratchApp {
    let app = ScratchApp::with_manifest(&manifest(pieces));
    for Piece { guest: name, .. } in pieces {
        app.copy(&guest(name), &format!("{name}.wasm"));
    }
    app.built()
}
