//! The policy of outputs, seen on the wire.

use crate::bench::{Notices, output};
use pirn_triggers::gpio::simulated::{PinChange, SimulatedPins};
use pirn_triggers::gpio::*;
use std::time::Duration;
use tokio::sync::broadcast;

const HIGH: Level = Level::High;
const LOW: Level = Level::Low;
const MS: Duration = Duration::from_millis(1);
const NAMES: [&str; 4] = ["LEFT", "RIGHT", "LAMP", "LOCK"];
const LAMP: usize = 2;

fn line(name: &str) -> LineId {
    let (chip_label, kernel_names) = ("sim".to_owned(), vec![name.to_owned()]);
    LineId { name: name.into(), chip_label, kernel_names, offset: None }
}

fn chips() -> (SimulatedPins, Chips) {
    let pins = SimulatedPins::new(NAMES.map(line));
    (pins.clone(), Chips::Simulated(pins))
}

fn left_and_right() -> Vec<OutputOptions> {
    let of_motor = |name| OutputOptions { group: Some("motor".into()), ..output(line(name)) };
    ["LEFT", "RIGHT"].map(of_motor).into()
}

fn open(options: Vec<OutputOptions>) -> (SimulatedPins, Outputs) {
    let (pins, chips) = chips();
    (pins, Outputs::open(chips, options, None).unwrap())
}

#[tokio::test(start_paused = true)]
async fn two_lines_of_a_group_are_never_on_together() {
    let (pins, outputs) = open(left_and_right());
    outputs.set(0, HIGH).unwrap();
    let refused = outputs.set(1, HIGH).unwrap_err().to_string();
    assert_eq!(
        refused,
        "output RIGHT may not be high while LEFT is: only one line of group motor may be; set LEFT \
         low first"
    );
    assert_eq!((pins.level("LEFT"), pins.level("RIGHT")), (Ok(HIGH), Ok(LOW)));
    outputs.set(0, LOW).unwrap();
    outputs.set(1, HIGH).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_line_that_was_lost_while_it_was_on_still_blocks_its_group() {
    let pins =
        SimulatedPins::new([line("LEFT"), LineId { chip_label: "other".into(), ..line("RIGHT") }]);
    let mut options = left_and_right();
    options[1].line.chip_label = "other".into();
    let outputs = Outputs::open(Chips::Simulated(pins.clone()), options, None).unwrap();
    outputs.set(0, HIGH).unwrap();
    pins.unplug("sim");
    assert!(outputs.set(0, LOW).is_err());
    let refused = outputs.set(1, HIGH).unwrap_err();
    assert!(matches!(refused, OutputError::Refused(Refusal::Exclusive { .. })), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn too_many_toggles_a_second_are_refused_and_the_next_second_is_free() {
    let (_, outputs) =
        open(vec![OutputOptions { toggles_per_second_max: Some(2), ..output(line("LAMP")) }]);
    outputs.set(0, HIGH).unwrap();
    tokio::time::sleep(400 * MS).await;
    outputs.set(0, LOW).unwrap();
    outputs.set(0, LOW).expect("no toggle");
    let refused = outputs.set(0, HIGH).unwrap_err().to_string();
    assert_eq!(refused, "output LAMP may toggle 2 times a second at most; it stays low");
    tokio::time::sleep(599 * MS).await;
    assert!(outputs.set(0, HIGH).is_err(), "0.999 s after the first");
    tokio::time::sleep(MS).await;
    outputs.set(0, HIGH).unwrap();
    assert!(outputs.set(0, LOW).is_err(), "0.6 s after the second");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_on_for_too_long_is_turned_off_and_that_is_said() {
    let (pins, chips) = chips();
    let on_longest = Some(3000 * MS);
    let lamp = OutputOptions { on_longest, ..output(line("LAMP")) };
    let notices = Notices::default();
    let outputs = Outputs::open(chips, vec![lamp], notices.handler()).unwrap();
    let running = tokio::spawn({
        let outputs = outputs.clone();
        async move { outputs.run().await }
    });
    outputs.set(0, HIGH).unwrap();
    tokio::time::sleep(2000 * MS).await;
    outputs.set(0, HIGH).expect("does not begin anew");
    tokio::time::sleep(999 * MS).await;
    assert_eq!(pins.level("LAMP"), Ok(HIGH));
    tokio::time::sleep(2 * MS).await;
    assert_eq!((pins.level("LAMP"), outputs.level(0)), (Ok(LOW), Ok(LOW)));
    let turned_off = Notice::TurnedOff { line: "LAMP".into(), on_longest: 3000 * MS };
    assert_eq!(notices.take(), [turned_off]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn safe_levels_are_never_refused() {
    let lock =
        OutputOptions { safe: HIGH, toggles_per_second_max: Some(1), ..output(line("LOCK")) };
    let (pins, outputs) = open(vec![lock, output(line("LAMP"))]);
    outputs.set(0, HIGH).unwrap();
    outputs.set(1, HIGH).unwrap();
    outputs.make_safe(&[0, 7]);
    assert_eq!((pins.level("LOCK"), pins.level("LAMP")), (Ok(HIGH), Ok(HIGH)));
    outputs.make_all_safe();
    assert_eq!((pins.level("LOCK"), pins.level("LAMP")), (Ok(HIGH), Ok(LOW)));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_held_is_refused_by_name() {
    let lamp = || output(line("LAMP"));
    let mut both_on = left_and_right();
    both_on.iter_mut().for_each(|options| options.initial = HIGH);
    let mut safe_on = left_and_right();
    safe_on[1].safe = HIGH;
    let cases = [
        (vec![lamp(), lamp()], "two outputs are called LAMP"),
        (both_on, "outputs RIGHT and LEFT are both high at first"),
        (safe_on, "output RIGHT: its safe level is high, but only one line of group motor"),
        (
            vec![OutputOptions { safe: HIGH, on_longest: Some(MS), ..lamp() }],
            "output LAMP: it has a longest time on, but its safe level is high",
        ),
        (vec![OutputOptions { on_longest: Some(Duration::ZERO), ..lamp() }], "output LAMP: a lon"),
        (
            vec![OutputOptions { toggles_per_second_max: Some(0), ..lamp() }],
            "output LAMP: 0 toggles a second cannot be the limit; at least 1 and at most 1000",
        ),
    ];
    for (options, expected) in cases {
        let error = Outputs::open(chips().1, options, None).err().unwrap().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

/// A small generator of our own, so that a failing seed fails again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What the wires did, with the times at which they did it.
struct Log {
    changes: broadcast::Receiver<PinChange>,
    on: [Option<u64>; NAMES.len()],
    toggles: Vec<u64>,
}

const TOGGLES_MAX: usize = 3;
const ON_LONGEST: Duration = Duration::from_millis(700);

impl Log {
    fn of(pins: &SimulatedPins) -> Self {
        Self { changes: pins.watch(), on: [None; NAMES.len()], toggles: Vec::new() }
    }

    /// Looks at what the wires did during one operation, and whether that was asked for or forced.
    fn look(&mut self, asked: bool, seed: u64) {
        while let Ok(change) = self.changes.try_recv() {
            let pin = NAMES.iter().position(|name| **name == *change.name).unwrap();
            let (on, at) = (change.level == HIGH, change.timestamp_ns);
            let since = std::mem::replace(&mut self.on[pin], on.then_some(at));
            assert!(self.on[0].is_none() || self.on[1].is_none(), "seed {seed}: a group broken");
            if pin == LAMP {
                self.toggled(at, at - since.unwrap_or(at), asked, seed);
            }
        }
    }

    fn toggled(&mut self, at: u64, on_for: u64, asked: bool, seed: u64) {
        // A millisecond is what the timer resolves.
        assert!(on_for <= nanoseconds(ON_LONGEST + MS), "seed {seed}: on for {on_for} ns");
        self.toggles.push(at);
        let recent = |then: &&u64| at - **then < nanoseconds(1000 * MS);
        let recent = self.toggles.iter().filter(recent).count();
        assert!(!asked || recent <= TOGGLES_MAX, "seed {seed}: {recent} toggles within a second");
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap()
}

/// The levels on the wires stay as they are if the answer was no.
fn set(outputs: &Outputs, pins: &SimulatedPins, pin: usize, level: Level, seed: u64) -> bool {
    let before = pins.level(NAMES[pin]);
    let result = outputs.set(pin, level);
    let expected = if result.is_ok() { Ok(level) } else { before };
    assert_eq!(pins.level(NAMES[pin]), expected, "seed {seed}: {result:?}");
    result.is_ok()
}

async fn play(seed: u64) -> (u32, u32) {
    let mut options = left_and_right();
    options.push(OutputOptions {
        toggles_per_second_max: Some(TOGGLES_MAX as u32),
        on_longest: Some(ON_LONGEST),
        ..output(line("LAMP"))
    });
    options.push(output(line("LOCK")));
    let (pins, outputs) = open(options);
    let running = tokio::spawn({
        let outputs = outputs.clone();
        async move { outputs.run().await }
    });
    let (mut dice, mut log) = (Dice(seed), Log::of(&pins));
    let (mut done, mut refused) = (0, 0);
    for _ in 0..500 {
        let pin = dice.roll(4) as usize;
        match dice.roll(20) {
            0 => outputs.make_safe(&[pin]),
            1 => outputs.make_all_safe(),
            2 if dice.roll(20) == 0 => pins.unplug("sim"),
            2..=5 => pins.plug("sim"),
            6..=9 => tokio::time::sleep(MS * dice.roll(400) as u32).await,
            roll => {
                let level = if roll % 2 == 0 { HIGH } else { LOW };
                let accepted = set(&outputs, &pins, pin, level, seed);
                (done, refused) = (done + u32::from(accepted), refused + u32::from(!accepted));
                log.look(true, seed);
            }
        }
        log.look(false, seed);
    }
    running.abort();
    (done, refused)
}

#[tokio::test(start_paused = true)]
async fn no_sequence_of_operations_breaks_the_policy() {
    let (mut done, mut refused) = (0, 0);
    for seed in 1..=200 {
        let played = play(seed).await;
        (done, refused) = (done + played.0, refused + played.1);
    }
    assert!(done > 10_000 && refused > 1_000, "{done} done, {refused} refused: too one-sided");
}
