//! A scene of the battery: a recording broker, an app of test guests, a real `pirnd` on a state folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::books::{self, Books};
use super::broker::Broker;
use super::kept::{self, Kept};
use super::piece;
pub use super::piece::Piece;
use super::processes::{children_of, lives};
use crate::apps::ScratchApp;
use crate::process::Running;

/// How long the runner has to come back to a broker that is well again.
pub const LINK_BACK: Duration = Duration::from_secs(35);
/// How long nothing may happen before messages count as stuck. Longer than a rest after some failures.
pub const STUCK: Duration = Duration::from_secs(15);
/// In which SIGTERM must be obeyed, and a little for a machine that is busy with other cases.
pub const STOPPED: Duration = Duration::from_millis(6_000);

impl Drop for Scene {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Broker, app, runner.
pub struct Scene {
    /// What records.
    pub broker: Broker,
    /// The app's folder.
    pub app: ScratchApp,
    address: String,
    other: String,
    state: PathBuf,
    operator: Option<PathBuf>,
    running: Option<Running>,
    printed_before: String,
    stuck: Duration,
}

impl Scene {
    /// A scene in which nothing runs yet but the broker.
    #[must_use]
    pub fn of(pieces: &[Piece]) -> Self {
        Self::with(piece::app(pieces))
    }

    /// The same with an app that is built already.
    #[must_use]
    pub fn with(app: ScratchApp) -> Self {
        let broker = Broker::start();
        let (address, state) = (broker.address(), app.file("state"));
        let other = "mqtt://127.0.0.1:1".to_owned();
        Self {
            broker,
            app,
            address,
            other,
            state,
            operator: None,
            running: None,
            printed_before: String::new(),
            stuck: STUCK,
        }
    }

    /// The same, and the runner is connected.
    #[must_use]
    pub fn connected(pieces: &[Piece]) -> Self {
        let mut scene = Self::of(pieces);
        scene.start();
        scene
    }

    /// The runner is to reach its broker here.
    #[must_use]
    pub fn by(mut self, address: String) -> Self {
        self.address = address;
        self
    }

    /// Where guests find the other broker.
    #[must_use]
    pub fn beside(mut self, address: String) -> Self {
        self.other = address;
        self
    }

    /// The operator says this.
    ///
    /// # Panics
    /// If it cannot be written down.
    #[must_use]
    pub fn operated(mut self, text: &str) -> Self {
        let file = self.app.file("operator.toml");
        std::fs::write(&file, text).expect("the operator's file");
        self.operator = Some(file);
        self
    }

    /// The runner is to keep its state here.
    #[must_use]
    pub fn keeping(mut self, state: PathBuf) -> Self {
        self.state = state;
        self
    }

    /// Nothing may happen for so long before messages count as stuck.
    pub fn be_patient(&mut self, stuck: Duration) {
        self.stuck = stuck;
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// `pirnd WORDS` for this scene's app and state.
    #[must_use]
    pub fn pirnd(&self, words: &[&str]) -> Command {
        let mut command = self.app.pirnd(words);
        command.arg("--state-dir").arg(&self.state);
        if let Some(file) = &self.operator {
            command.arg("--runtime-config-file").arg(file);
        }
        for (name, value) in [("broker", &self.address), ("other", &self.other)] {
            command.arg("--variable").arg(format!("{name}={value}"));
        }
        command
    }

    /// Starts the runner and waits until its subscriptions are with the broker.
    ///
    /// # Panics
    /// If they do not come.
    pub fn start(&mut self) {
        self.start_under(&[]);
        let connected = self.broker.wait(LINK_BACK, |look| look.is_subscribed());
        assert!(connected, "a fresh runner does not connect; it printed:\n{}", self.printed());
    }

    /// Starts the runner as the last words of another command, and waits for nothing.
    pub fn start_under(&mut self, words: &[&str]) {
        self.gather();
        let up = self.pirnd(&["up"]);
        let command = match words {
            [] => up,
            [program, words @ ..] => {
                let mut command = Command::new(program);
                command.args(words).arg(up.get_program()).args(up.get_args());
                command.env_remove("JOURNAL_STREAM");
                command
            }
        };
        let mut command = command;
        self.running = Some(Running::start(&mut command));
    }

    /// Keeps what a runner printed that is about to go.
    fn gather(&mut self) {
        if let Some(running) = self.running.take() {
            self.printed_before += &running.printed();
            self.printed_before.push('\n');
        }
    }

    /// The process that was started.
    ///
    /// # Panics
    /// If none was.
    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("a runner was started")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(Running::is_running)
    }

    /// What runners of this scene printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        let now = self.running.as_ref().map(Running::printed).unwrap_or_default();
        format!("{}{now}", self.printed_before)
    }

    /// Waits until a runner of this scene says this, beyond so many bytes of what was printed.
    #[must_use]
    pub fn wait_until_it_says(&self, beyond: usize, words: &str) -> bool {
        let end = Instant::now() + LINK_BACK;
        let says = || self.printed().get(beyond..).is_some_and(|text| text.contains(words));
        while !says() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Ends the runner with -9, also if it was started under strace, which would let it go on.
    pub fn kill(&mut self) {
        let children = self.signal_children("KILL");
        let end = Instant::now() + STOPPED;
        while children.iter().any(|child| lives(*child)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        // Dropped, it is killed and waited for.
        self.gather();
        self.wait_for_the_folder();
    }

    /// A process that was traced is gone a moment after it is dead: its last thread holds the folder until then. Looked
    /// at and not tried: a lock that is tried here would be held by whatever another case starts meanwhile.
    fn wait_for_the_folder(&self) {
        use std::os::unix::fs::MetadataExt as _;
        let Ok(about) = std::fs::metadata(self.state.join("pirnd.lock")) else { return };
        let held = format!(":{} ", about.ino());
        let end = Instant::now() + STOPPED;
        while std::fs::read_to_string("/proc/locks").is_ok_and(|locks| locks.contains(&held))
            && Instant::now() < end
        {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends a signal to whatever the started process started, and says what that is.
    fn signal_children(&self, name: &str) -> Vec<u32> {
        let Some(running) = &self.running else { return Vec::new() };
        let children = children_of(running.id());
        for child in &children {
            let _ = Command::new("kill").args([&format!("-{name}"), &child.to_string()]).status();
        }
        children
    }

    /// Asks the runner to end, waits, and says how long that took; `None` if it did not within this and was killed.
    pub fn stop(&mut self, at_most: Duration) -> Option<Duration> {
        let begun = Instant::now();
        if self.signal_children("TERM").is_empty() {
            self.running.as_ref()?.signal("TERM");
        }
        while self.is_running() {
            if begun.elapsed() > at_most {
                self.kill();
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let took = begun.elapsed();
        self.gather();
        Some(took)
    }

    /// Puts numbered messages in, each with a command.
    pub fn publish(&self, lane: &str, command: &str, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.broker.publish(&format!("in/{lane}/{command}"), &number.to_string(), 1);
        }
    }

    /// Waits until the runner is with its broker again.
    ///
    /// # Errors
    /// A sentence, if it is not within [`LINK_BACK`].
    pub fn link_back(&self) -> Result<(), String> {
        match self.broker.wait(LINK_BACK, |look| look.is_subscribed()) {
            true => Ok(()),
            false => Err(format!("not back with its broker within {LINK_BACK:?}")),
        }
    }

    /// Waits until so many numbers came out of a lane, as long as any come.
    pub fn wait_for(&self, lane: &str, count: usize) -> bool {
        let topic = format!("out/{lane}");
        self.broker.wait(self.stuck, |look| look.received_on(&topic) >= count)
    }

    /// Waits until so many numbers came out of a lane, until the runner ended, or at most so long.
    pub fn wait_or_end(&mut self, lane: &str, count: usize, at_most: Duration) {
        let (topic, end) = (format!("out/{lane}"), Instant::now() + at_most);
        let turn = Duration::from_millis(20);
        while Instant::now() < end && self.is_running() {
            if self.broker.wait(turn, |look| look.received_on(&topic) >= count) {
                return;
            }
        }
    }

    /// Waits until the books are even, or until nothing happened for a while.
    ///
    /// # Errors
    /// A sentence, if the dead letters cannot be read.
    pub fn drain(&self) -> Result<Books, String> {
        self.drain_into(&self.broker)
    }

    /// The same for numbers that come out at another broker.
    ///
    /// # Errors
    /// As above.
    pub fn drain_into(&self, to: &Broker) -> Result<Books, String> {
        let (mut progress, mut since) = ((0, 0), Instant::now());
        loop {
            // One look after the other: both may be of the same broker.
            let recorded = to.look().record().len();
            let now = (recorded, self.broker.look().accepted().count());
            if now != progress {
                (progress, since) = (now, Instant::now());
            }
            let quiet = since.elapsed();
            if self.broker.look().pending_count() == 0 || quiet > self.stuck {
                let books = self.books_into(to)?;
                if books.problems().is_empty() || quiet > self.stuck {
                    return Ok(books);
                }
            }
            std::thread::sleep(Duration::from_millis(60));
        }
    }

    /// The books as they stand.
    ///
    /// # Errors
    /// As above.
    pub fn books_into(&self, to: &Broker) -> Result<Books, String> {
        // In the order in which a message passes them, so that none is between two of them.
        let accepted = books::accepted(&self.broker.look());
        let waiting = kept::waiting(&self.state)?;
        let letters = self.dead_letters()?;
        if std::ptr::eq(to, &self.broker) {
            let look = to.look();
            return Ok(Books::close(&accepted, &look, &look, &letters, &waiting));
        }
        let (from, to) = (self.broker.look(), to.look());
        Ok(Books::close(&accepted, &from, &to, &letters, &waiting))
    }

    /// What was kept aside.
    ///
    /// # Errors
    /// A sentence, if it cannot be read.
    pub fn dead_letters(&self) -> Result<Vec<Kept>, String> {
        let mut list = self.pirnd(&["dead-letters", "list", "--format", "json"]);
        kept::dead_letters(&mut list, &self.state)
    }

    /// What is wrong with the key-values: each number that came out of a lane whose messages were all `keep` was set
    /// before, so its key holds it or a later one.
    ///
    /// # Errors
    /// A sentence, if the database cannot be read.
    pub fn key_value_problems(&self, lane: &str) -> Result<Vec<String>, String> {
        let values: std::collections::BTreeMap<String, u64> =
            kept::values(&self.state)?.into_iter().collect();
        let (seen, _) = books::delivered(&self.broker.look());
        let of_lane = seen.keys().filter(|(of, _)| of == lane);
        let missing = of_lane.filter_map(|(lane, number)| {
            let key = format!("{lane}-{}", number % 100);
            let kept = values.get(&key).copied().unwrap_or(0);
            (kept < *number).then(|| format!("{key} is {kept} and was set to {number}"))
        });
        Ok(missing.take(3).collect())
    }

    /// Whether the runner's own books balance, where it says enough: accepted = delivered + dead letters + dropped
    /// + pending, for each component.
    #[must_use]
    pub fn own_books(&self) -> Vec<String> {
        let Ok(output) = self.pirnd(&["status", "--format", "json"]).output() else {
            return Vec::new();
        };
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        let components = status.get("components").and_then(Value::as_array);
        components.into_iter().flatten().filter_map(uneven).collect()
    }
}

fn uneven(component: &Value) -> Option<String> {
    let count = |name: &str| match component.get(name)? {
        Value::Object(by_reason) => Some(by_reason.values().filter_map(Value::as_u64).sum()),
        number => number.as_u64(),
    };
    let accepted: u64 = count("accepted")?;
    let parts: Option<Vec<u64>> =
        ["delivered", "dead_letters", "dropped", "pending"].into_iter().map(count).collect();
    let sum: u64 = parts?.iter().sum();
    let id = component.get("id").and_then(Value::as_str).unwrap_or("?");
    (accepted != sum)
        .then(|| format!("its status says of {id}: accepted {accepted}, the rest {sum}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(dropped: &str, pending: u64) -> Value {
        let text = format!(
            r#"{{"id":"a","accepted":9,"delivered":4,"dead_letters":1,"dropped":{dropped},"pending":{pending}}}"#
        );
        serde_json::from_str(&text).expect("it is JSON")
    }

    #[test]
    fn a_runner_s_own_books_are_added_up_whether_drops_have_reasons_or_not() {
        assert_eq!(uneven(&component("2", 2)), None);
        assert_eq!(uneven(&component(r#"{"full":1,"old":1}"#, 2)), None);
        let said = uneven(&component("2", 1)).unwrap_or_default();
        assert_eq!(said, "its status says of a: accepted 9, the rest 8");
    }

    #[test]
    fn a_runner_that_says_too_little_of_its_books_is_not_held_to_them() {
        let little = serde_json::from_str(r#"{"id":"a","dropped":0,"dead_letters":0}"#);
        assert_eq!(uneven(&little.expect("it is JSON")), None);
    }
}
