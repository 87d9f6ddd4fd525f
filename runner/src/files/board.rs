//! Boards: what a piece of hardware offers and how much of it pirn may use. A board is one file in
//! `board-configs/`; the file's existence makes the board.
//!
//! The files are inside the program, so that a runner copied alone to a device knows its board by name;
//! `--board FILE` takes one from outside. Checked by the same reader and with the same errors as manifests.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::files::config::{Error, Rate};
use crate::files::pins::PinSettings;
use crate::limits::bounds::OutboxBounds;

mod read;
mod shipped;

pub use shipped::SHIPPED;

/// A board file, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Board {
    /// The file's name without `.toml`.
    pub name: String,
    /// What the hardware is, in a line.
    pub description: String,
    /// The Rust target of `pirnd` for it.
    pub target: String,
    /// What its components are compiled to.
    pub artifact: ArtifactKind,
    /// Bytes.
    pub memory: BoardMemory,
    /// Default and most for each component.
    pub component: ComponentBounds,
    /// The same for each app, all its components together.
    pub app: AppBounds,
    /// Instances alive at the same time, of all components together.
    pub instances_max: u32,
    /// GPIO chips; empty on boards without.
    pub chips: Vec<Chip>,
    /// `[gpio.<NAME>]`: names for lines, and how lines may be driven.
    pub gpio: BTreeMap<String, PinSettings>,
    /// `[outbox]`: what is kept of publishes while the broker is away.
    pub outbox: OutboxBounds,
    /// `[clock] not_before`, in seconds since the epoch: a clock that shows less was never set.
    pub clock_not_before: Option<u64>,
}

/// What components are compiled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArtifactKind {
    /// Machine code for the board's processor.
    Native,
    /// Bytecode for 32-bit hosts.
    Pulley32,
    /// Bytecode for 64-bit hosts.
    Pulley64,
    /// Nothing: the component itself, interpreted.
    Wasm,
}

/// `[memory]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoardMemory {
    /// All that the process may use.
    pub budget_bytes: u64,
    /// Set aside for the runner itself: its code, queues, sessions and store.
    pub host_bytes: u64,
    /// The stack of one instance.
    pub stack_bytes: u64,
    /// Whether more may be planned than fits at once.
    pub overcommit: Overcommit,
}

/// Whether more instances may be planned than fit at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overcommit {
    /// Yes: an instance begins when what it may take is free, and waits for that.
    #[default]
    Admit,
    /// No: whatever can be alive together is counted at the start, and what does not fit is refused.
    None,
}

/// `[component]`: what a component gets if it does not ask, and the most that it can ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComponentBounds {
    /// Linear memory of one instance, in bytes.
    pub memory_bytes: Bound<u64>,
    /// Time for one event.
    pub deadline: Bound<Duration>,
    /// Events in a period.
    pub rate: Bound<Rate>,
    /// Bytes of key-value data.
    pub state_bytes: Bound<u64>,
    /// Bytes of a database.
    pub database_bytes: Bound<u64>,
}

/// `[app]`: what an app gets for all its components together if it does not ask, and the most that it can ask for. What
/// is not there is bounded by what the board has for all apps.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AppBounds {
    /// What all its instances may take, in bytes.
    pub memory_bytes: Option<Bound<u64>>,
    /// Its instances at the same time.
    pub instances: Option<Bound<u32>>,
    /// Events in a period.
    pub rate: Option<Bound<Rate>>,
    /// Bytes of key-value data.
    pub state_bytes: Option<Bound<u64>>,
}

/// A default and the most that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound<T> {
    /// Without a wish.
    pub default: T,
    /// With one.
    pub max: T,
}

/// `[[chip]]`: a GPIO chip, found by its label, never by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chip {
    /// The kernel's label.
    pub label: String,
    /// Lines that are wired to the board's header, by the name that manifests use.
    pub lines: BTreeMap<String, Line>,
}

/// A line of a chip that is wired to the board's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The pin as the header counts it: `11`, `P8_07`.
    pub pin: String,
    /// What kernels call the line, its own name first: distributions differ.
    pub kernel_names: Vec<String>,
    /// The line's place on its chip, for chips whose lines no kernel names.
    pub offset: Option<u32>,
}

impl Board {
    /// The board of this name, or of this file if `name_or_file` is a path (it has a `/` or ends in `.toml`).
    pub fn find(name_or_file: &str) -> Result<Self, Error> {
        let is_file = name_or_file.contains('/') || name_or_file.ends_with(".toml");
        match is_file {
            true => Self::read_file(Path::new(name_or_file)),
            false => Self::shipped(name_or_file),
        }
    }

    /// A board that is in the program.
    pub fn shipped(name: &str) -> Result<Self, Error> {
        let found = SHIPPED.iter().find(|(known, _)| *known == name);
        let (name, text) = found.ok_or_else(|| shipped::unknown_board(name))?;
        Self::parse(&format!("board-configs/{name}.toml"), name, text)
    }

    /// Every line of the board, with the label of its chip.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str, &Line)> {
        self.chips.iter().flat_map(|chip| {
            chip.lines.iter().map(|(name, line)| (chip.label.as_str(), name.as_str(), line))
        })
    }

    /// Instances whose memory has to be there before an app may run.
    pub fn counted_instances(&self) -> u32 {
        match self.memory.overcommit {
            Overcommit::None => self.instances_max,
            Overcommit::Admit => 1,
        }
    }

    /// The bytecode for a board of this word size.
    pub fn pulley(&self) -> ArtifactKind {
        let narrow = ["arm", "i686", "i586", "riscv32"]
            .iter()
            .any(|processor| self.target.starts_with(processor));
        match (self.artifact, narrow) {
            (ArtifactKind::Pulley32, _) => ArtifactKind::Pulley32,
            (ArtifactKind::Pulley64, _) => ArtifactKind::Pulley64,
            (ArtifactKind::Native | ArtifactKind::Wasm, true) => ArtifactKind::Pulley32,
            (ArtifactKind::Native | ArtifactKind::Wasm, false) => ArtifactKind::Pulley64,
        }
    }

    /// The board that is assumed when none is named: the generic one for the processor that this program
    /// was compiled for.
    pub fn default_name() -> &'static str {
        match std::env::consts::ARCH {
            "x86_64" => "generic-x86_64",
            "arm" => "generic-arm",
            "riscv64" => "generic-riscv64",
            _ => "generic-aarch64",
        }
    }

    /// The same board with the processor that this program was compiled for.
    #[must_use]
    pub fn with_this_processor(self) -> Self {
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let artifact = match (self.artifact, size_of::<usize>()) {
            (ArtifactKind::Native, _) => ArtifactKind::Native,
            (_, 8) => ArtifactKind::Pulley64,
            _ => ArtifactKind::Pulley32,
        };
        Self { target, artifact, ..self }
    }

    /// Reads a board file.
    pub fn read_file(path: &Path) -> Result<Self, Error> {
        let file = path.display().to_string();
        let text = crate::files::config::read_file(path)?;
        let name =
            path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self::parse(&file, &name, &text)
    }

    /// Checks the text of a board file; `file` is its name in errors.
    pub fn parse(file: &str, name: &str, text: &str) -> Result<Self, Error> {
        read::board(file, name, text)
    }
}
