//! A board in QEMU: Debian's kernel on the machine type `virt`, an initramfs made here with busybox, the
//! runner and an app, a channel for commands, and the eight lines of a PL061 chip, which the test drives
//! and watches from outside. What is under test there meets a real kernel's GPIO, clock and network.
//!
//! The broker and everything else of a test run on the host, whose loopback the board reaches at
//! [`HOST`]. Every wait has an end; QEMU is this process's child and is killed with the board.

mod cpio;
mod files;
mod lines;
mod machine;
mod shell;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use files::Files;
pub use lines::{Change, Level};
pub use machine::Cpu;

use crate::eventually;
use crate::process::Ended;
use lines::Lines;
use machine::Machine;
use shell::Shell;

/// The host's loopback, as a board sees it.
pub const HOST: &str = "10.0.2.2";

/// A running board.
pub struct Board {
    shell: Shell,
    lines: Lines,
    machine: Machine,
    /// Programs so far: each has a log of its own.
    started: AtomicU32,
}

/// A program in the background of a board.
#[derive(Debug, Clone)]
pub struct Started {
    /// Its process id there.
    pub id: u32,
    log: PathBuf,
}

impl Board {
    /// Boots a board on which about this much memory is free for programs.
    ///
    /// # Panics
    /// If it does not come up, with what the kernel said.
    #[must_use]
    pub fn boot(cpu: Cpu, free_mib: u64, files: &Files) -> Self {
        Self::up(Machine::start(cpu, cpu.kernel_mib() + free_mib, files, None))
    }

    /// The same with a disk at `/disk`: this image of an ext4 file system.
    ///
    /// # Panics
    /// As above.
    #[must_use]
    pub fn boot_with_disk(cpu: Cpu, free_mib: u64, files: &Files, image: &Path) -> Self {
        Self::up(Machine::start(cpu, cpu.kernel_mib() + free_mib, files, Some(image)))
    }

    fn up(mut machine: Machine) -> Self {
        let lines = Lines::of(machine.accept("qtest"), &machine.pl061());
        let shell = machine.accept("shell");
        match Shell::greeted(shell) {
            Ok(shell) => Self { shell, lines, machine, started: AtomicU32::new(0) },
            Err(reason) => {
                panic!("the board did not start: {reason}; it said:\n{}", machine.console())
            }
        }
    }

    /// Runs a shell command, one line, whatever it answers; both its outputs come as `out`.
    ///
    /// # Panics
    /// If the board does not answer.
    #[must_use]
    pub fn try_run(&self, command: &str) -> Ended {
        match self.shell.run(command) {
            Ok((code, out)) => Ended { code: Some(code), out, err: String::new() },
            Err(reason) => {
                panic!("the board, asked to {command}: {reason}; it said:\n{}", self.console())
            }
        }
    }

    /// Runs a shell command that must succeed; what it printed.
    ///
    /// # Panics
    /// With what it printed if it fails.
    pub fn run(&self, command: &str) -> String {
        let ended = self.try_run(command);
        assert_eq!(ended.code, Some(0), "on the board, {command}:\n{}", ended.out);
        ended.out
    }

    /// Starts a program in the background; what it prints is kept.
    pub fn start(&self, command: &str) -> Started {
        let log = format!("/run/log-{}", self.started.fetch_add(1, Ordering::Relaxed));
        // `exec`: the process id is the program's own, not a shell's.
        let id = self.run(&format!("sh -c 'exec {command}' >{log} 2>&1 </dev/null & echo $!"));
        Started { id: id.trim().parse().expect("a process id"), log: log.into() }
    }

    /// What a program in the background has printed so far.
    #[must_use]
    pub fn printed(&self, program: &Started) -> String {
        self.run(&format!("cat {}", program.log.display()))
    }

    /// Waits until it has printed this.
    ///
    /// # Panics
    /// If it does not, with what it printed instead.
    pub fn wait_for(&self, program: &Started, part: &str) {
        let begun = std::time::Instant::now();
        while !self.printed(program).contains(part) {
            let printed = || self.printed(program);
            assert!(begun.elapsed() < crate::PATIENCE, "waited for {part:?} in:\n{}", printed());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal to it: `TERM`, `KILL` …
    pub fn signal(&self, program: &Started, name: &str) {
        self.run(&format!("kill -{name} {}", program.id));
    }

    /// Waits for its end.
    pub fn wait_end(&self, program: &Started) {
        let is_gone = || self.try_run(&format!("kill -0 {}", program.id)).code != Some(0);
        eventually("the program on the board to end", || is_gone().then_some(()));
    }

    /// The most memory that it has ever used, in KiB, as its kernel counts.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn peak_kib(&self, program: &Started) -> u64 {
        let line = self.run(&format!("grep VmHWM /proc/{}/status", program.id));
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }

    /// Sets the board's clock, in seconds since the epoch.
    pub fn set_clock(&self, seconds: i64) {
        self.run(&format!("date -u -s @{seconds}"));
    }

    /// Drives a line of the chip from outside, as a button would.
    pub fn drive(&self, line: u8, level: Level) {
        self.lines.drive(line, level);
    }

    /// The level that the board last gave to a line, or `None` if it never did.
    #[must_use]
    pub fn output(&self, line: u8) -> Option<Level> {
        self.lines.output(line)
    }

    /// The next change of any line that the board drives, in order; `None` if there is none in time.
    #[must_use]
    pub fn next_output_change(&self, wait: Duration) -> Option<Change> {
        self.lines.next_change(wait)
    }

    /// What the kernel and `/init` said.
    #[must_use]
    pub fn console(&self) -> String {
        self.machine.console()
    }
}
