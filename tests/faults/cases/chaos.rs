//! All faults mixed. What happens and when is decided by the seed, which a failure prints; how threads and processes
//! take turns is not, so a seed repeats what was done to the runner, and most of the time what came of it.

use std::time::{Duration, Instant};

use pirn_tests::faults::manners::{Acks, Manners};
use pirn_tests::faults::proxy::Proxy;
use pirn_tests::faults::scene::{LINK_BACK, Piece, STOPPED, Scene};

use super::{Context, Outcome, close};
use crate::table::Tally;
use pirn_tests::dice::Dice;

/// An hour makes more dead letters than are kept usually, and those that gave way would be missed here.
const ROOM_FOR_ALL: &str = "[tool.pirn.dead_letters]\nletters_max = 100000\nbytes_max = \"4GiB\"\n";

/// A runner in trouble.
struct Chaos {
    scene: Scene,
    proxy: Proxy,
    dice: Dice,
    next: u64,
    done: Vec<&'static str>,
}

pub(super) fn chaos(context: &Context) -> Outcome {
    let minutes = context.minutes.unwrap_or_else(|| context.times(3, 60));
    let lasts = Duration::from_secs(minutes * 60);
    let pieces = [Piece::ledger("a"), Piece::ledger("b").at(2), Piece::misbehaving("c")];
    let scene = Scene::of(&pieces);
    let proxy = Proxy::before(scene.broker.port());
    let mut scene = scene.by(proxy.address()).operated(ROOM_FOR_ALL);
    scene.start();
    let mut chaos =
        Chaos { scene, proxy, dice: Dice::new(context.seed), next: 0, done: Vec::new() };
    let (mut tally, begun) = (Tally::default(), Instant::now());
    while begun.elapsed() < lasts {
        chaos.traffic();
        chaos.fault(&mut tally);
        std::thread::sleep(Duration::from_millis(chaos.dice.between(20, 300)));
        tally.runs += 1;
        if !chaos.scene.is_running() {
            tally.expect(false, format!("the runner ended by itself after {:?}", chaos.last()));
            chaos.scene.start_under(&[]);
        }
    }
    chaos.calm(&mut tally);
    close(&chaos.scene, &mut tally);
    tally.problems.extend(chaos.scene.key_value_problems("a")?);
    let repeat = format!("faults chaos --seed {}", context.seed);
    match tally.problems.is_empty() {
        true => tally.note(format!("done again by: {repeat}")),
        false => {
            tally.expect(false, format!("done again by: {repeat}; last were {:?}", chaos.last()))
        }
    }
    Ok(tally)
}

impl Chaos {
    fn traffic(&mut self) {
        let numbers = self.next..self.next + self.dice.between(1, 25);
        self.next = numbers.end;
        for number in numbers {
            self.scene.publish("a", "keep", [number]);
            self.scene.broker.publish("in/b/pass", &number.to_string(), 2);
        }
        let bad = ["loop", "trap", "memory", "log-flood", "refuse it"][self.dice.below(5) as usize];
        self.scene.broker.publish("in/c/do", bad, 1);
    }

    fn fault(&mut self, tally: &mut Tally) {
        let pause = Duration::from_millis(self.dice.below(300));
        let name = match self.dice.below(11) {
            0 => {
                self.scene.broker.kill();
                std::thread::sleep(pause);
                self.scene.broker.restart();
                "broker killed"
            }
            1 => {
                self.proxy.cut();
                "wire cut"
            }
            2 => {
                self.scene.kill();
                std::thread::sleep(pause);
                self.scene.start_under(&[]);
                "runner killed"
            }
            3 => {
                let stopped = self.scene.stop(STOPPED);
                tally.expect(stopped.is_some(), "SIGTERM was not obeyed");
                self.scene.start_under(&[]);
                "runner stopped"
            }
            4 => {
                self.proxy.deaden_up();
                "wire dead upwards"
            }
            5 => {
                self.scene.broker.say(&[0x32, 3, 0xff, 0xff, b'x']);
                "rubbish said"
            }
            6 => {
                self.proxy.cut_after(i64::try_from(self.dice.between(1, 3_000)).unwrap_or(1));
                "wire cut after some bytes"
            }
            7 => {
                let bytes = [66_000, 200_000, 1_300_000][self.dice.below(3) as usize];
                self.scene.broker.publish_long(
                    "in/a/keep",
                    &format!("{} zeros ", self.next),
                    bytes,
                    1,
                );
                self.next += 1;
                "large message"
            }
            8 => {
                self.scene.broker.forget_sessions();
                "session forgotten"
            }
            9 => {
                self.proxy.delay(pause / 20);
                "wire slower"
            }
            _ => {
                let acks = [
                    Acks::Prompt,
                    Acks::Reversed(4),
                    Acks::Twice,
                    Acks::Strange,
                    Acks::NoneThenCut(3),
                ];
                let acks = acks[self.dice.below(5) as usize];
                self.scene.broker.behave(|manners| manners.acks = acks);
                "acknowledgements bent"
            }
        };
        self.done.push(name);
    }

    fn last(&self) -> &[&'static str] {
        &self.done[self.done.len().saturating_sub(5)..]
    }

    /// All is well again; the runner must find out within its time.
    fn calm(&mut self, tally: &mut Tally) {
        self.scene.broker.behave(|manners| *manners = Manners::default());
        self.proxy.delay(Duration::ZERO);
        self.proxy.cut_after(-1);
        self.proxy.cut();
        self.scene.broker.cut();
        let back = self.scene.broker.wait(LINK_BACK, |look| look.is_subscribed());
        tally.expect(back, format!("not back within {LINK_BACK:?} after the chaos"));
    }
}
