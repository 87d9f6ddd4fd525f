//! The lines of a board's GPIO chip, from outside: QEMU's qtest protocol sets the inputs and reports the
//! outputs, in lines of text (QEMU documentation, "QTest Device Emulation Testing Framework").

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// A PL061 has eight lines.
const LINES: usize = 8;

/// The level of a line, as a voltmeter would see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// 0 V.
    Low,
    /// The chip's supply.
    High,
}

/// The board changed a line that it drives.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Which line.
    pub line: u8,
    /// To what.
    pub level: Level,
    /// When this process heard of it.
    pub at: Instant,
}

/// The lines of one chip.
pub(super) struct Lines {
    device: String,
    to_qemu: Mutex<(UnixStream, Receiver<String>)>,
    outputs: Arc<Mutex<[Option<Level>; LINES]>>,
    changes: Mutex<Receiver<Change>>,
}

impl Lines {
    /// The lines of the device at this path of QEMU's object tree.
    pub(super) fn of(stream: UnixStream, device: &str) -> Self {
        let outputs = Arc::<Mutex<[Option<Level>; LINES]>>::default();
        let (answer, answers) = channel();
        let (change, changes) = channel();
        let reader = BufReader::new(stream.try_clone().expect("a second handle of the socket"));
        let ears = Ears { outputs: Arc::clone(&outputs), changes: change, answers: answer };
        std::thread::spawn(move || ears.listen(reader));
        let lines = Self {
            device: device.to_owned(),
            to_qemu: Mutex::new((stream, answers)),
            outputs,
            changes: Mutex::new(changes),
        };
        lines.tell(&format!("irq_intercept_out {device}"));
        lines
    }

    pub(super) fn drive(&self, line: u8, level: Level) {
        let level = u8::from(level == Level::High);
        self.tell(&format!("set_irq_in {} unnamed-gpio-in {line} {level}", self.device));
    }

    pub(super) fn output(&self, line: u8) -> Option<Level> {
        self.outputs.lock().expect("nobody panicked with it")[usize::from(line)]
    }

    pub(super) fn next_change(&self, wait: Duration) -> Option<Change> {
        self.changes.lock().expect("nobody panicked with it").recv_timeout(wait).ok()
    }

    /// One request, and its answer.
    fn tell(&self, request: &str) {
        let mut to_qemu = self.to_qemu.lock().expect("nobody panicked with it");
        writeln!(to_qemu.0, "{request}").expect("QEMU listens");
        let answer = to_qemu.1.recv_timeout(PATIENCE).expect("QEMU answers");
        assert!(answer.starts_with("OK"), "QEMU, told to {request}: {answer}");
    }
}

/// What listens to QEMU: answers and changes come through one socket.
struct Ears {
    outputs: Arc<Mutex<[Option<Level>; LINES]>>,
    changes: Sender<Change>,
    answers: Sender<String>,
}

impl Ears {
    fn listen(self, reader: BufReader<UnixStream>) {
        for line in reader.lines().map_while(Result::ok) {
            match change(&line) {
                Some(change) => self.note(change),
                None => drop(self.answers.send(line)),
            }
        }
    }

    fn note(&self, change: Change) {
        let mut outputs = self.outputs.lock().expect("nobody panicked with it");
        if let Some(output) = outputs.get_mut(usize::from(change.line)) {
            *output = Some(change.level);
            let _ = self.changes.send(change);
        }
    }
}

/// `IRQ raise 5`, `IRQ lower 5`.
fn change(line: &str) -> Option<Change> {
    let at = Instant::now();
    let (word, number) = line.strip_prefix("IRQ ")?.split_once(' ')?;
    let line = number.trim().parse().ok()?;
    let level = match word {
        "raise" => Level::High,
        "lower" => Level::Low,
        _ => return None,
    };
    Some(Change { line, level, at })
}
