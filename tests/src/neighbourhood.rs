//! Healthy apps and hostile ones in one process: what do the healthy ones notice?

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::apps::ScratchApp;
use crate::broker::Mosquitto;
use crate::crowd::{COMPONENT, Model, manifest};
use crate::dice::Dice;
use crate::peer::Peer;
use crate::served::Served;
use crate::traffic::{Passed, Traffic};
use crate::{Over, pirnd};

/// What an app does to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hostility {
    /// It is told this once and goes on until its deadline, a minute later.
    Endless(&'static str),
    /// It is told this again and again, for it ends.
    Repeated(&'static str),
    /// It is replaced without end.
    Restless,
}

impl Hostility {
    /// All of them: loops, floods, eaten memory, failures, changes.
    pub const ALL: &[Self] = &[
        Self::Endless("loop"),
        Self::Endless("host-calls"),
        Self::Endless("allocations"),
        Self::Endless("log-flood"),
        Self::Endless("publish-flood"),
        Self::Repeated("memory"),
        Self::Repeated("refuse"),
        Self::Repeated("trap"),
        Self::Restless,
    ];

    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Endless(what) | Self::Repeated(what) => what,
            Self::Restless => "replaced",
        }
    }
}

/// How often a hostility that ends begins again.
const EVERY: Duration = Duration::from_millis(10);

/// A process with healthy and hostile apps.
pub struct Neighbourhood {
    served: Served,
    traffic: Traffic,
    /// Tells the hostile ones what to do.
    peer: Peer,
    topics: Vec<String>,
    hostile: Vec<(String, Hostility)>,
    /// Both versions of what is replaced.
    versions: [ScratchApp; 2],
    _apps: Vec<ScratchApp>,
    _set: tempfile::TempDir,
    _broker: Mosquitto,
}

impl Neighbourhood {
    /// So many healthy apps and one for each hostility, which does nothing yet.
    ///
    /// # Panics
    /// If they do not start.
    #[must_use]
    pub fn of(healthy: usize, hostile: &[Hostility]) -> Self {
        let broker = Mosquitto::start_with("persistence false\nautosave_on_changes false\n");
        let address = broker.address();
        let (good, bad) = (Model::of("ledger", None), Model::of("misbehave", None));
        let set = tempfile::tempdir().expect("a scratch folder");
        let (mut apps, mut topics, mut named) = (Vec::new(), Vec::new(), Vec::new());
        let mut add = |name: &str, app: ScratchApp| {
            symlink(app.path(), set.path().join(name)).expect("the set");
            apps.push(app);
        };
        for number in 0..healthy {
            let name = format!("good-{number}");
            add(&name, good.app(number as u64, &manifest(&name, &address, "")));
            topics.push(format!("in/{name}/pass"));
        }
        for (number, hostility) in hostile.iter().enumerate() {
            let name = format!("bad-{number}-{}", hostility.name());
            let limits = format!("[component.{COMPONENT}.tool.pirn]\n{LIMITS}");
            let (number, text) = ((healthy + number) as u64, manifest(&name, &address, &limits));
            add(&name, bad.app(number, &text));
            named.push((name, *hostility));
        }
        let restless = manifest("restless", &address, "");
        let versions = [1, 2].map(|version| good.app(u64::MAX - version, &restless));
        symlink(versions[0].path(), set.path().join("restless")).expect("the set");
        let words = ["--apps".as_ref(), set.path().as_os_str()];
        let mut served = Served::with(&pirnd(), &words);
        served.restart();
        let mut traffic = Traffic::through(broker.port());
        let peer = Peer::subscribed(broker.port(), "answer/misbehave");
        for topic in &topics {
            ready(&mut traffic, topic);
        }
        Self {
            served,
            traffic,
            peer,
            topics,
            hostile: named,
            versions,
            _apps: apps,
            _set: set,
            _broker: broker,
        }
    }

    /// What comes of so many messages a second to the healthy ones, while nobody else does anything.
    pub fn alone(&mut self, rate: u32, time: Duration, dice: &mut Dice) -> Passed {
        self.traffic.steady(&self.topics, rate, time, dice)
    }

    /// The same beside the hostile ones. They do not stop afterwards.
    pub fn beside(&mut self, rate: u32, time: Duration, dice: &mut Dice) -> Passed {
        for (name, hostility) in &self.hostile {
            if let Hostility::Endless(what) = hostility {
                self.peer.publish(&format!("in/{name}/it"), *what);
            }
        }
        let (traffic, peer, over) = (&mut self.traffic, &mut self.peer, &AtomicBool::new(false));
        let (served, topics, hostile, versions) =
            (&self.served, &self.topics, &self.hostile, &self.versions);
        std::thread::scope(|scope| {
            let _over = Over(over);
            scope.spawn(move || tell(peer, hostile, over));
            if hostile.iter().any(|(_, hostility)| *hostility == Hostility::Restless) {
                scope.spawn(move || replace(served, versions, over));
            }
            traffic.steady(topics, rate, time, dice)
        })
    }
}

const LIMITS: &str =
    "deadline = \"60s\"\nattempts_max = 1\nmemory = \"4MiB\"\nlog_rate = \"20/s\"\n";

/// An app is at work before its broker knows: what is sent before that is nobody's.
fn ready(traffic: &mut Traffic, topic: &str) {
    crate::eventually("a healthy app to answer", || {
        traffic.one_within(topic, Duration::from_millis(500))
    });
}

fn tell(peer: &mut Peer, hostile: &[(String, Hostility)], over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        for (name, hostility) in hostile {
            if let Hostility::Repeated(what) = hostility {
                peer.publish(&format!("in/{name}/it"), *what);
            }
        }
        std::thread::sleep(EVERY);
    }
}

fn replace(served: &Served, versions: &[ScratchApp; 2], over: &AtomicBool) {
    for version in versions.iter().rev().cycle() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        // One that is refused because the process has more to do is asked again.
        let _ = served.asking(&["replace", "restless"]).arg(version.path()).output();
    }
}
