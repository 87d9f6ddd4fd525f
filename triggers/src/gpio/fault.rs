//! Why a line cannot be used: each a sentence that says what is there instead and what to do.

use std::sync::Arc;
use std::time::Duration;

/// A line cannot be used right now. It is tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} cannot be used: {reason}")]
pub struct Unavailable {
    /// The board file's name.
    pub line: Arc<str>,
    /// Why and what to do: the last [`Fault`].
    pub reason: Arc<str>,
}

/// What stands between us and a line, or a chip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No chip on this machine has the label.
    #[error(
        "no GPIO chip with the label \"{label}\" is on this machine; {}: correct the label in the \
         board file, or choose the board file of this hardware",
        found(.labels)
    )]
    NoChip {
        /// What was looked for.
        label: String,
        /// What is there.
        labels: Vec<String>,
    },
    /// The chip that may be meant cannot be opened.
    #[error(
        "no permission to open {path}: add the user to the group that owns it (gpio on most systems), \
         or install a udev rule: SUBSYSTEM==\"gpio\", KERNEL==\"gpiochip*\", GROUP=\"gpio\", \
         MODE=\"0660\""
    )]
    NoPermission {
        /// The device file, or several of them.
        path: String,
    },
    /// The chip is there, the line is not.
    #[error(
        "the GPIO chip \"{label}\" has no line {wanted}; it has {lines} lines{}: correct the line in \
         the board file",
        named(.names)
    )]
    NoLine {
        /// The chip.
        label: String,
        /// What was looked for.
        wanted: String,
        /// How many lines the chip (or all of that label) has.
        lines: u32,
        /// The names that the kernel gives, some of them.
        names: Vec<String>,
    },
    /// Another program, or the kernel itself, has the line.
    #[error(
        "the line is in use by {}: stop that, or give the line up in the board file",
        consumer(.by)
    )]
    Busy {
        /// The name that the other gave itself, if any.
        by: String,
    },
    /// The chip went away.
    #[error("the GPIO chip of the line is gone: it was unplugged, or its driver was removed")]
    Gone,
    /// The chip cannot do what was asked.
    #[error("the GPIO chip cannot give the line {what}: leave that out, or use another line")]
    Unsupported {
        /// All that was asked beyond a plain line.
        what: String,
    },
    /// More than the kernel can count.
    #[error("a debounce of {} s is too long; at most {} s", .asked.as_secs(), .longest.as_secs())]
    DebounceTooLong {
        /// What was asked.
        asked: Duration,
        /// What is allowed.
        longest: Duration,
    },
    /// Whatever else the kernel says.
    #[error("the kernel refuses the line: {0}")]
    Kernel(String),
}

fn found(labels: &[String]) -> String {
    if labels.is_empty() {
        return "there is no GPIO chip at all".to_owned();
    }
    format!("there are \"{}\"", labels.join("\", \""))
}

fn named(names: &[String]) -> String {
    if names.is_empty() {
        return ", without names".to_owned();
    }
    format!(", among them \"{}\"", names.join("\", \""))
}

fn consumer(name: &str) -> String {
    if name.is_empty() { "another program".to_owned() } else { format!("\"{name}\"") }
}
