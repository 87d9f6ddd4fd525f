//! Memory of components and of instances, as slopes of the process's PSS: what is there once, whatever
//! runs, is in neither.

use std::time::Duration;

use pirn_tests::apps::ScratchApp;
use pirn_tests::broker::Mosquitto;
use pirn_tests::guests::{example, guest};
use pirn_tests::peer::Peer;
use pirn_tests::process::Running;

/// Components in the smaller and in the larger app. Both are more than there are places for instances, so
/// that the memory which places keep is the same.
const LOADED: [usize; 2] = [16, 48];
/// As many as the boards of 64 bits allow at the same time.
const LIVE: usize = 8;
/// How long an instance waits; it is looked at in the middle of that.
const WAIT: Duration = Duration::from_secs(6);

/// Prints the table.
pub(crate) fn print(engines: &[&str]) {
    let echo = std::fs::read(example("echo").join("echo.wasm")).unwrap();
    let with_std = std::fs::read(guest("wasi-std")).unwrap();
    println!("\nMemory (PSS), KiB");
    println!("{:45}{}", "", engines.iter().map(|e| format!("{e:>14}")).collect::<String>());
    let components = [("echo", &echo, "bench/out"), ("wasi-std", &with_std, "findings")];
    for (name, component, answers) in components {
        let what = format!("each component, {name} ({} KiB), used once", component.len() / 1024);
        row(&what, engines, |engine| loaded(engine, component, answers));
    }
    row("each instance that waits, wasi-std", engines, |engine| live(engine, &with_std));
}

fn row(what: &str, engines: &[&str], measure: impl Fn(&str) -> f64) {
    let cells = engines.iter().map(|engine| format!("{:>14.0}", measure(engine)));
    println!("{what:45}{}", cells.collect::<String>());
}

/// What one more component takes, after one event.
fn loaded(engine: &str, component: &[u8], answers: &str) -> f64 {
    let [small, large] = LOADED.map(|count| {
        let files: Vec<Vec<u8>> = (0..count).map(|number| distinct(component, number)).collect();
        let app = App::start(engine, &files, answers);
        // One after the other: what a burst leaves behind is not theirs.
        (0..count).for_each(|number| {
            app.ask(number, "env NOTHING");
            app.answered();
        });
        app.pss_kib()
    });
    (large - small) / (LOADED[1] - LOADED[0]) as f64
}

/// What one more waiting instance takes, of one and the same component file.
fn live(engine: &str, component: &[u8]) -> f64 {
    let app = App::start(engine, &vec![component.to_vec(); LIVE], "findings");
    let wait = format!("sleep {}", WAIT.as_millis());
    app.ask(0, &wait);
    let one = app.pss_kib();
    app.answered();
    (0..LIVE).for_each(|number| app.ask(number, &wait));
    let all = app.pss_kib();
    assert!(app.peer.next_within(Duration::ZERO).is_none(), "an instance no longer waited");
    (0..LIVE).for_each(|_| app.answered());
    (all - one) / (LIVE - 1) as f64
}

/// The same component in another file: a custom section is not code, but it is in the digest.
fn distinct(component: &[u8], number: usize) -> Vec<u8> {
    let mut file = component.to_vec();
    file.extend_from_slice(&[0, 6, 1, b'n']);
    file.extend_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
    file
}

/// A running app, one component for each file.
struct App {
    peer: Peer,
    running: Running,
    _app: ScratchApp,
    _broker: Mosquitto,
}

impl App {
    fn start(engine: &str, files: &[Vec<u8>], answers: &str) -> Self {
        let broker = Mosquitto::start();
        let app = ScratchApp::with_manifest(&manifest(engine, &broker.address(), files.len()));
        for (number, file) in files.iter().enumerate() {
            std::fs::write(app.file(&format!("{}.wasm", id(number))), file).unwrap();
        }
        let app = app.built();
        let running = app.connected(&[]);
        let peer = Peer::subscribed(broker.port(), answers);
        Self { peer, running, _app: app, _broker: broker }
    }

    fn ask(&self, component: usize, question: &str) {
        self.peer.publish(&format!("ask/{}/1", id(component)), question);
    }

    fn answered(&self) {
        let _ = self.peer.next();
    }

    /// Once it has settled.
    fn pss_kib(&self) -> f64 {
        std::thread::sleep(WAIT / 2);
        let path = format!("/proc/{}/smaps_rollup", self.running.id());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

fn manifest(engine: &str, broker: &str, count: usize) -> String {
    let head = format!(
        "spin_manifest_version = 2\n[application]\nname = \"scratch\"\n\
         [application.trigger.mqtt]\naddress = \"{broker}\"\nusername = \"\"\npassword = \"\"\n\
         keep_alive_interval = \"30\"\n[variables]\nbroker = {{ default = \"{broker}\" }}\n"
    );
    let of_component = |number| {
        let id = id(number);
        format!(
            "[[trigger.mqtt]]\ncomponent = \"{id}\"\ntopic = \"ask/{id}/1\"\nqos = \"1\"\n\
             [component.{id}]\nsource = \"{id}.wasm\"\nallowed_outbound_hosts = [\"{broker}\"]\n\
             [component.{id}.variables]\nbroker = \"{{{{ broker }}}}\"\n\
             [component.{id}.tool.pirn]\nengine = \"{engine}\"\nmemory = \"2 MiB\"\n\
             deadline = \"60s\"\n"
        )
    };
    head + &(0..count).map(of_component).collect::<String>()
}

/// Ids are words of letters.
fn id(number: usize) -> String {
    let letter = |of: usize| char::from(b'a' + (of % 26) as u8);
    format!("c-{}{}", letter(number / 26), letter(number))
}
