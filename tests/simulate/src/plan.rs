//! What a history is about: the app, the broker, the bounds and what goes wrong, all of it from the seed.

use std::time::Duration;

use pirn_runner::flow::lane::Bounds as LaneBounds;
use pirn_runner::limits::bounds::{OutboxBounds, WhenFull};

use crate::rng::Rng;
use crate::{MILLI, SECOND};

/// How well a component does while faults go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It takes every event.
    Well,
    /// It fails so many times of a hundred.
    Flaky(u64),
    /// It fails always, at once.
    Broken,
    /// It fails always, after its deadline.
    Hanging,
}

/// A component.
#[derive(Clone, Debug)]
pub struct Component {
    pub health: Health,
    /// Bounds of its lane.
    pub bounds: LaneBounds,
    /// Most publishes for one event.
    pub outputs_max: u64,
    /// It matches the topic that several share.
    pub shares: bool,
    /// Its edges' publishes need not be on disk at once.
    pub late: bool,
    /// Times of a hundred that a publish is at QoS 2.
    pub twos: u64,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks.
    Cut,
    /// Nothing comes through, and nobody says so.
    Stall,
    /// No connection comes about.
    Unreachable,
    /// The broker dies; it may forget its session.
    BrokerDies,
    /// The broker acknowledges nothing.
    Mute,
    /// Every write to the disk fails.
    DiskFails,
    /// Every write to the disk is slow.
    DiskSlow,
    /// The process is killed.
    Kill,
    /// The power goes: what is not synced is lost, and what lives in memory.
    PowerCut,
}

/// All that a seed decides before the history begins.
#[derive(Clone, Debug)]
pub struct Plan {
    pub components: Vec<Component>,
    /// Live instances of all components.
    pub slots: usize,
    pub outbox: OutboxBounds,
    pub age_max_secs: i64,
    /// Many publishes are large.
    pub heavy: bool,
    /// Messages that the broker has under way to us.
    pub window: usize,
    /// The broker speaks MQTT 5: it says how much it takes, and refuses with a reason.
    pub five: bool,
    /// Times of a hundred that a publish is refused for good.
    pub refuses: u64,
    /// Times of a hundred that an acknowledgement comes twice, or for something else.
    pub repeats: u64,
    pub keep_alive: Duration,
    /// How far apart acknowledgements of the broker may overtake each other.
    pub ack_spread: u64,
    pub faults: Vec<(u64, Fault, u64)>,
    pub arrivals: Vec<(u64, Arrival)>,
    /// When faults stop.
    pub calm_at: u64,
    /// Events stay with the kernel when more than these wait.
    pub kernel_max: usize,
}

/// Something of the outside world.
#[derive(Clone, Copy, Debug)]
pub enum Arrival {
    /// A message for a component, or for all that share a topic.
    Message {
        component: Option<usize>,
        qos: u8,
        bytes: usize,
        poison: bool,
    },
    Edge {
        component: usize,
    },
    /// A time of the day.
    Tick {
        component: usize,
    },
}

impl Plan {
    /// Whether what waits is soon gone once the broker is well: not if the outbox is small and the broker slow.
    pub fn drains_quickly(&self) -> bool {
        let roomy = self.outbox.bytes_max > 1_000_000 && self.outbox.rows_max > 1000;
        roomy || self.ack_spread <= 20 * MILLI && !self.heavy
    }

    /// The plan of a seed.
    pub fn of(rng: &mut Rng) -> Self {
        let count = rng.between(1, 4) as usize;
        let components: Vec<_> = (0..count).map(|at| component(rng, at)).collect();
        let calm_at = rng.between(8, 60) * SECOND;
        let big = rng.percent(15);
        let mut arrivals = Vec::new();
        for _ in 0..rng.between(2, 10) {
            // They come in bursts.
            let begin = rng.below(calm_at);
            let to = rng.below(count as u64) as usize;
            for _ in 0..rng.between(1, if big { 40 } else { 8 }) {
                let at = begin + rng.below(500 * MILLI);
                arrivals.push((at, arrival(rng, to, &components, big)));
            }
        }
        poison(rng, &mut arrivals);
        let faults = (0..rng.below(9)).map(|_| fault(rng, calm_at)).collect();
        let sick = components.iter().filter(|one| one.health == Health::Hanging);
        let taken: u32 = sick.map(|one| one.bounds.instances_max).sum();
        let five = rng.percent(40);
        // Events that run for the first time cannot be written down: a broker whose window is smaller than what
        // hangs is held up by it, whatever we do.
        let window_min = if taken > 0 { taken as usize + 4 } else { 1 };
        Self {
            slots: taken as usize + rng.between(1, 3) as usize,
            outbox: outbox(rng),
            heavy: rng.percent(15),
            age_max_secs: if rng.percent(4) { 20 } else { 1_000_000 },
            window: rng.pick(&[1, 5, 20, 20, 20]).max(window_min),
            five,
            refuses: if five && rng.percent(20) { 5 } else { 0 },
            repeats: if rng.percent(40) { 20 } else { 0 },
            keep_alive: Duration::from_secs(rng.pick(&[5, 5, 20])),
            ack_spread: rng.pick(&[MILLI, 20 * MILLI, 300 * MILLI, 2500 * MILLI]),
            faults,
            arrivals,
            calm_at,
            kernel_max: rng.pick(&[4, 64]),
            components,
        }
    }
}

fn component(rng: &mut Rng, at: usize) -> Component {
    let health = match rng.below(10) {
        // The first is well, so that there is a neighbour to suffer.
        _ if at == 0 => Health::Well,
        0..4 => Health::Well,
        4..7 => Health::Flaky(rng.between(5, 60)),
        7 | 8 => Health::Broken,
        _ => Health::Hanging,
    };
    let parked_max = rng.pick(&[8, 100, 10_000]);
    Component {
        health,
        bounds: LaneBounds {
            instances_max: rng.pick(&[1, 1, 2, 3]),
            attempts_max: rng.between(1, 5) as u32,
            parked_max,
            parked_bytes_max: 1 << 20,
            has_neighbours: true,
        },
        outputs_max: rng.pick(&[0, 1, 2, 3, 12]),
        shares: rng.percent(40),
        late: rng.percent(30),
        twos: rng.pick(&[0, 0, 30]),
    }
}

fn outbox(rng: &mut Rng) -> OutboxBounds {
    let when_full = match rng.percent(30) {
        true => WhenFull::DropOldest,
        false => WhenFull::Refuse,
    };
    OutboxBounds {
        slow_after: Duration::from_millis(rng.pick(&[50, 500, 2000])),
        bytes_max: rng.pick(&[8_000, 60_000, 8 << 20, 8 << 20]),
        rows_max: rng.pick(&[20, 100_000, 100_000]),
        age_max: Duration::MAX,
        when_full,
    }
}

fn arrival(rng: &mut Rng, to: usize, components: &[Component], big: bool) -> Arrival {
    let component = if rng.percent(20) { rng.below(components.len() as u64) as usize } else { to };
    match rng.below(10) {
        0 | 1 => Arrival::Edge { component },
        2 => Arrival::Tick { component },
        _ => Arrival::Message {
            component: (!rng.percent(15)).then_some(component),
            qos: rng.pick(&[0, 1, 1, 1, 1, 2]),
            bytes: if big && rng.percent(10) { 60_000 } else { rng.between(8, 200) as usize },
            poison: false,
        },
    }
}

/// Few messages kill their process: each of them makes it start again as often as it may be tried.
fn poison(rng: &mut Rng, arrivals: &mut [(u64, Arrival)]) {
    for _ in 0..rng.pick(&[0, 0, 0, 1, 2]) {
        let at = rng.below(arrivals.len() as u64) as usize;
        if let Arrival::Message { poison, .. } = &mut arrivals[at].1 {
            *poison = true;
        }
    }
}

fn fault(rng: &mut Rng, calm_at: u64) -> (u64, Fault, u64) {
    let what = rng.pick(&[
        Fault::Cut,
        Fault::Cut,
        Fault::Stall,
        Fault::Unreachable,
        Fault::BrokerDies,
        Fault::BrokerDies,
        Fault::Mute,
        Fault::Mute,
        Fault::DiskFails,
        Fault::DiskSlow,
        Fault::Kill,
        Fault::Kill,
        Fault::PowerCut,
        Fault::PowerCut,
    ]);
    let at = rng.below(calm_at);
    (at, what, (at + rng.between(100 * MILLI, 20 * SECOND)).min(calm_at))
}
