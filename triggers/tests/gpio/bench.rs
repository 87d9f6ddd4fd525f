//! What the scenarios run on: lines, and somebody at the other end of the wires.
//!
//! `PIRN_GPIO_BENCH=LABEL` names a kernel's chip by its label; lines 0 to 7 of it, but 3, must be free.
//! The other end is then whoever reads this program's standard output. Each line there that begins
//! with `@` is a request, and is answered with a line on standard input:
//!
//! | request | meaning | answer |
//! |---|---|---|
//! | `@drive LINE LEVEL` | put 0 or 1 on the wire | `ok` |
//! | `@burst LINE COUNT` | turn the level that often, from low, no faster than the kernel takes the interrupts: a chip merges edges that it could not tell of | `ok` |
//! | `@wire LINE` | what does the output drive? | `0` or `1` |

use pirn_triggers::gpio::simulated::SimulatedPins;
use pirn_triggers::gpio::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

pub enum Bench {
    Simulated(SimulatedPins),
    Kernel { label: String },
}

const LABEL: &str = "simulated";

impl Bench {
    pub fn simulated() -> Self {
        let line = |offset| line_of(LABEL, offset);
        Self::Simulated(SimulatedPins::new((0..8).map(line)))
    }

    fn kernel() -> Option<Self> {
        std::env::var("PIRN_GPIO_BENCH").ok().map(|label| Self::Kernel { label })
    }

    pub fn chips(&self) -> Chips {
        match self {
            Self::Simulated(pins) => Chips::Simulated(pins.clone()),
            Self::Kernel { .. } => Chips::Kernel,
        }
    }

    pub fn label(&self) -> &str {
        match self {
            Self::Simulated(_) => LABEL,
            Self::Kernel { label } => label,
        }
    }

    pub fn line(&self, offset: u32) -> LineId {
        line_of(self.label(), offset)
    }

    pub fn drive(&self, line: u32, level: Level) {
        match self {
            Self::Simulated(pins) => pins.drive(&name(line), level).unwrap(),
            Self::Kernel { .. } => {
                assert_eq!(ask(&format!("drive {line} {}", u8::from(level == Level::High))), "ok");
            }
        }
    }

    pub fn burst(&self, line: u32, count: u32) {
        match self {
            Self::Simulated(_) => (1..=count).for_each(|n| self.drive(line, from_bit(n % 2))),
            Self::Kernel { .. } => assert_eq!(ask(&format!("burst {line} {count}")), "ok"),
        }
    }

    /// The level on the wire of an output.
    pub fn wire(&self, line: u32) -> Level {
        match self {
            Self::Simulated(pins) => pins.level(&name(line)).unwrap(),
            Self::Kernel { .. } => from_bit(ask(&format!("wire {line}")).parse().unwrap()),
        }
    }

    /// Takes the chip away, or puts it back.
    pub fn unplug(&self) {
        match self {
            Self::Simulated(pins) => pins.unplug(LABEL),
            Self::Kernel { label } => driver(label, "unbind"),
        }
    }

    pub fn plug(&self) {
        match self {
            Self::Simulated(pins) => pins.plug(LABEL),
            Self::Kernel { label } => driver(label, "bind"),
        }
    }
}

fn line_of(label: &str, offset: u32) -> LineId {
    let (chip_label, kernel_names) = (label.to_owned(), Vec::new());
    LineId { name: name(offset).into(), chip_label, kernel_names, offset: Some(offset) }
}

fn name(offset: u32) -> String {
    format!("LINE{offset}")
}

fn from_bit(bit: u32) -> Level {
    if bit == 0 { Level::Low } else { Level::High }
}

fn ask(request: &str) -> String {
    println!("\n@{request}");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).unwrap();
    answer.trim().to_owned()
}

/// A chip whose label is its device's name, as a PL061's is.
fn driver(label: &str, action: &str) {
    std::fs::write(format!("/sys/bus/amba/drivers/pl061_gpio/{action}"), label).unwrap();
}

/// Runs the scenario on each bench there is. Time passes by itself on the simulated one.
pub fn on_each_bench(scenario: impl AsyncFn(&Bench)) {
    for bench in [Some(Bench::simulated()), Bench::kernel()].into_iter().flatten() {
        let paused = matches!(bench, Bench::Simulated(_));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(paused).build().unwrap();
        runtime.block_on(async {
            if !paused {
                (0..8).filter(|line| *line != 3).for_each(|line| bench.drive(line, Level::Low));
            }
            scenario(&bench).await;
        });
    }
}

/// The next edge; a scenario that waits for one in vain fails.
pub async fn next(input: &mut Input) -> Edge {
    timeout(Duration::from_secs(60), input.next()).await.expect("no edge came for a minute")
}

/// Whether edges stay away for so long.
pub async fn quiet(input: &mut Input, how_long: Duration) -> bool {
    timeout(how_long, input.next()).await.is_err()
}

pub fn input(line: LineId, edges: Edges) -> InputOptions {
    InputOptions { line, edges, debounce: None, bias: Bias::AsIs, active: Active::High }
}

pub fn output(line: LineId) -> OutputOptions {
    OutputOptions {
        line,
        active: Active::High,
        initial: Level::Low,
        safe: Level::Low,
        toggles_per_second_max: None,
        on_longest: None,
        group: None,
    }
}

/// Notices, kept for the end of a scenario.
#[derive(Clone, Default)]
pub struct Notices(Arc<Mutex<Vec<Notice>>>);

impl Notices {
    pub fn handler(&self) -> Option<NoticeHandler> {
        let notices = self.clone();
        Some(Arc::new(move |notice| notices.0.lock().unwrap().push(notice)))
    }

    pub fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub fn reason(state: LineState) -> String {
    match state {
        LineState::Ready => panic!("the line is ready"),
        LineState::Waiting(reason) => reason.to_string(),
    }
}
