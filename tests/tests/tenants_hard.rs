//! `pirnd serve` where it is hard: killed in the middle of changes, apps replaced under a load, hostile apps beside
//! healthy ones. Quick here; with `PIRN_TEST_LONG=1` as often as is promised, which `tests/run --long` does.
//! `PIRN_TEST_SEED` repeats what a printed seed decided.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pirn_tests::Over;
use pirn_tests::apps::ScratchApp;
use pirn_tests::crowd::{Model, manifest};
use pirn_tests::dice::Dice;
use pirn_tests::faults::books::{self, Books};
use pirn_tests::faults::broker::{Broker, Look};
use pirn_tests::faults::kept;
use pirn_tests::footprint::Footprint;
use pirn_tests::neighbourhood::{Hostility, Neighbourhood};
use pirn_tests::served::Served;

const PATIENCE: Duration = Duration::from_secs(30);

/// How often: in everyday tests, and as is promised.
fn times(quick: u64, long: u64) -> u64 {
    if std::env::var_os("PIRN_TEST_LONG").is_some() { long } else { quick }
}

/// Chance, with its seed said.
fn dice() -> Dice {
    let given = std::env::var("PIRN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("PIRN_TEST_SEED={seed}");
    Dice::new(seed)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Waits until the broker has a subscription of the app of this name.
fn subscribed(broker: &Broker, name: &str) {
    let filter = format!("in/{name}/#");
    let is_there = broker.wait(PATIENCE, |look| look.is_subscribed_to(&filter));
    assert!(is_there, "nobody subscribed to {filter}");
}

/// Versions of apps that say which they are when they are asked for their variable `version`.
struct Versions {
    /// By app; each version is a folder of its own with code of its own.
    folders: BTreeMap<&'static str, Vec<ScratchApp>>,
}

impl Versions {
    fn of(broker: &Broker, apps: &[(&'static str, u64)]) -> Self {
        let model = Model::of("mqtt-sync", None);
        let (mut folders, mut number) = (BTreeMap::new(), 0);
        for (name, count) in apps {
            let mut version = |version: u64| {
                let more = format!("version = \"{name} {version}\"\n");
                number += 1;
                model.app(number, &manifest(name, &broker.address(), &more))
            };
            folders.insert(*name, (0..*count).map(&mut version).collect());
        }
        Self { folders }
    }

    fn folder(&self, name: &str, version: u64) -> &str {
        text(self.folders[name][usize::try_from(version).unwrap()].path())
    }
}

/// What the apps of a set are supposed to be: their versions, by name.
type Set = BTreeMap<&'static str, u64>;

/// A change of the set, and what it is supposed to become.
struct Change {
    words: Vec<String>,
    after: Set,
}

impl Change {
    /// Replaces `one`, or takes `two` in or out.
    fn any(before: &Set, versions: &Versions, dice: &mut Dice) -> Self {
        let mut after = before.clone();
        let words = match (dice.below(3), before.contains_key("two")) {
            (0, false) => {
                after.insert("two", dice.below(2));
                vec!["add", versions.folder("two", after["two"])]
            }
            (0, true) => {
                after.remove("two");
                vec!["remove", "two"]
            }
            (1, true) => {
                after.insert("two", 1 - before["two"]);
                vec!["replace", "two", versions.folder("two", after["two"])]
            }
            _ => {
                after.insert("one", (before["one"] + 1 + dice.below(2)) % 3);
                vec!["replace", "one", versions.folder("one", after["one"])]
            }
        };
        Self { words: words.into_iter().map(str::to_owned).collect(), after }
    }
}

/// Asks an app which version it is.
fn version(broker: &Broker, name: &str) -> u64 {
    subscribed(broker, name);
    let before = broker.look().received_on("answer/var");
    broker.publish(&format!("in/{name}/var"), "version", 1);
    let own = format!("{name} ");
    let said = || {
        let look = broker.look();
        let answers = look.record().iter().filter(|received| received.topic == "answer/var");
        answers.skip(before).find_map(|answer| answer.text.strip_prefix(&own)?.parse().ok())
    };
    pirn_tests::eventually(&format!("{name} to say its version"), said)
}

/// What runs, by what the apps say of themselves; the links of the set must lead there.
fn running(served: &Served, broker: &Broker, versions: &Versions) -> Set {
    let mut set = Set::new();
    for name in served.set().into_iter().filter(|name| !name.starts_with('.')) {
        let (name, _) = versions.folders.get_key_value(name.as_str()).expect("an app of ours");
        let version = version(broker, name);
        let target = std::fs::read_link(served.state().join("apps").join(name)).unwrap();
        let expected = Path::new(versions.folder(name, version)).canonicalize().unwrap();
        assert_eq!(target, expected, "{name} runs another version than it is linked to");
        set.insert(name, version);
    }
    set
}

#[test]
fn killed_at_any_moment_of_a_change_the_set_is_the_old_one_or_the_new_one_and_its_apps_work() {
    let (broker, mut dice) = (Broker::start(), dice());
    let versions = Versions::of(&broker, &[("one", 3), ("still", 1), ("two", 2)]);
    let mut served = Served::new();
    let mut set = Set::from([("one", 0), ("still", 0)]);
    let begun = Instant::now();
    for (name, version) in &set {
        served.said(&["add", versions.folder(name, *version)]);
    }
    // A change takes about so long; a kill may come anywhere within it, and a little later.
    let change_us = u64::try_from(begun.elapsed().as_micros()).unwrap() / 2;
    subscribed(&broker, "one");
    let rounds = times(15, 200);
    let mut kept = 0;
    for round in 0..rounds {
        let change = Change::any(&set, &versions, &mut dice);
        let words: Vec<&str> = change.words.iter().map(String::as_str).collect();
        broker.publish("in/one/echo", &format!("{round}"), 1);
        let mut asking = served.asking(&words);
        let mut asking = asking.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(dice.below(change_us * 5 / 4)));
        served.restart();
        let is_said = asking.wait().unwrap().success();
        let now = running(&served, &broker, &versions);
        let is_old = !is_said && now == set;
        assert!(
            now == change.after || is_old,
            "round {round}, {words:?}, said to be done: {is_said}: {set:?} became {now:?}"
        );
        let ready = format!("{0} of {0} apps run", now.len());
        assert!(served.printed().contains(&ready), "{words:?}: {}", served.printed());
        kept += u64::from(now == set);
        set = now;
    }
    println!("{rounds} changes, {kept} of them killed before they were made");
    // What came for an app that was replaced and killed was answered by one of its versions.
    let all = broker.wait(PATIENCE, |look| {
        let echoed = look.record().iter().filter(|received| received.topic == "answer/echo");
        let numbers: std::collections::BTreeSet<&str> =
            echoed.map(|received| received.text.as_str()).collect();
        numbers.len() as u64 == rounds
    });
    assert!(all, "of {rounds} messages {} were answered", broker.look().received_on("answer/echo"));
}

/// Messages a second to what is replaced.
const RATE: u32 = 500;
/// What a process may grow by between its first replacements and its last ones.
const GROWTH_KIB_MAX: u64 = 8 << 10;

/// Whether the last of so many messages came out.
fn last_came(look: &Look<'_>, sent: u64) -> bool {
    let last = sent.saturating_sub(1).to_string();
    look.record().iter().rev().any(|received| received.topic == "out/a" && received.text == last)
}

/// Publishes numbers until it is over; how many.
fn publish_until(broker: &Broker, topic: &str, over: &AtomicBool) -> u64 {
    let begun = Instant::now();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return number;
        }
        broker.publish(topic, &number.to_string(), 1);
        let due = begun + Duration::from_secs(1) / RATE * u32::try_from(number + 1).unwrap();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    0
}

/// What came of messages to an app that was replaced meanwhile.
struct Replaced {
    sent: u64,
    books: Books,
    /// After a tenth of the replacements, and at the end.
    memory: [Footprint; 2],
}

/// Replaces an app so many times while messages come for it.
fn replaced(rounds: usize) -> Replaced {
    let broker = Broker::start();
    let model = Model::of("ledger", None);
    let versions = [0, 1].map(|number| model.app(number, &manifest("a", &broker.address(), "")));
    let mut served = Served::new();
    served.said(&["add", text(versions[0].path())]);
    subscribed(&broker, "a");
    let process = served.running().id();
    let over = AtomicBool::new(false);
    let (sent, early) = std::thread::scope(|scope| {
        let finally = Over(&over);
        let publisher = scope.spawn(|| publish_until(&broker, "in/a/pass", &over));
        let mut early = Footprint::default();
        for round in 1..=rounds {
            served.said(&["replace", "a", text(versions[round % 2].path())]);
            if round == rounds.div_ceil(10) {
                early = Footprint::of(process);
            }
        }
        drop(finally);
        (publisher.join().unwrap(), early)
    });
    // Messages may come twice, so their number says too little.
    broker.wait(PATIENCE, |look| look.pending_count() == 0 && last_came(look, sent));
    let memory = [early, Footprint::of(process)];
    let accepted = books::accepted(&broker.look());
    let state = served.state().join("state/a");
    let waiting = kept::waiting(&state).unwrap();
    let mut list = Command::new(pirn_tests::pirnd());
    list.args(["dead-letters", "list", "--format", "json", "-f"]).arg(versions[0].path());
    let letters = kept::dead_letters(list.arg("--state-dir").arg(&state), &state).unwrap();
    let look = broker.look();
    let books = Books::close(&accepted, &look, &look, &letters, &waiting);
    println!(
        "{rounds} times replaced under {RATE} messages a second: of {sent} {} came, {} once more, {} are dead letters; \
         memory (RSS) {} KiB after a tenth of that, {} KiB at the end",
        books.delivered, books.duplicates, books.dead, memory[0].rss_kib, memory[1].rss_kib
    );
    Replaced { sent, books, memory }
}

#[test]
fn replaced_again_and_again_under_a_load_nothing_is_lost_order_is_kept_and_memory_stays() {
    let Replaced { sent, books, memory: [early, late] } =
        replaced(usize::try_from(times(30, 1_000)).unwrap());
    assert_eq!(books.problems(), [""; 0]);
    assert_eq!((books.delivered as u64, books.dead), (sent, 0));
    let growth = late.rss_kib.saturating_sub(early.rss_kib);
    assert!(growth < GROWTH_KIB_MAX, "it grew by {growth} KiB");
}

#[test]
fn hostile_apps_cost_their_healthy_neighbours_no_message() {
    let mut neighbourhood = Neighbourhood::of(10, Hostility::ALL);
    let time = Duration::from_secs(times(5, 60));
    let passed = neighbourhood.beside(100, time, &mut dice());
    println!("{} messages, the longest took {:?}", passed.sent, passed.times.at(1.0));
    assert_eq!(passed.lost, 0, "of {} messages", passed.sent);
}

/// A stop that is in order lets what was published leave and be acknowledged; then it must not be on the disk as well, or
/// the next version publishes it once more.
#[test]
fn replaced_in_order_nothing_is_published_twice() {
    let Replaced { books, .. } = replaced(usize::try_from(times(30, 1_000)).unwrap());
    assert_eq!(books.duplicates, 0, "of {} that came", books.delivered);
}

/// More than the board has places for instances (`instances_max` in its file): each holds one until its deadline.
#[test]
fn however_many_apps_loop_their_neighbours_have_their_turn() {
    let looping = [Hostility::Endless("loop"); 16];
    let mut neighbourhood = Neighbourhood::of(4, &looping);
    let passed = neighbourhood.beside(20, Duration::from_secs(2), &mut dice());
    assert_eq!(passed.lost, 0, "of {} messages, after half a minute", passed.sent);
}
