//! What the workbench says: to stdout what was asked for, to stderr what it is doing. Colours appear on
//! a terminal, unless `NO_COLOR` is set; whatever comes from outside is escaped before it is shown.

mod bars;
mod payload;

pub(crate) use bars::budget;
pub(crate) use payload::{escaped, shortened, shown};

use std::io::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};

/// A good end.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Something to look at.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default().bold();
/// A bad end.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// A name or a topic.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
/// What one can do without.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Nobody reads any more: the other end of the pipe is gone.
#[derive(Debug)]
pub(crate) struct NobodyReads;

/// A line of what was asked for, on stdout. `println!` would panic when a pipe is closed.
pub(crate) fn out(line: &str) -> Result<(), NobodyReads> {
    writeln!(anstream::stdout().lock(), "{line}").map_err(|_| NobodyReads)
}

/// A line about what is being done, on stderr. If nobody reads it, nobody misses it.
pub(crate) fn err(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// `error: …`, on stderr.
pub(crate) fn error(reason: &str) {
    // A file's key or a peer's sentence may be in it.
    err(&format!("{BAD}error:{BAD:#} {}", pirn_runner::report::shown::lines(reason)));
}

/// How much a command says about what it is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Volume {
    /// Steps and warnings.
    Normal,
    /// Nothing; errors are said all the same.
    Quiet,
}

impl Volume {
    /// From the flag `--quiet`.
    pub(crate) fn from_flag(quiet: bool) -> Volume {
        if quiet { Volume::Quiet } else { Volume::Normal }
    }

    /// One thing that is done: `   Compiled thermostat …`.
    pub(crate) fn step(self, verb: &str, rest: &str) {
        if self == Volume::Normal {
            err(&format!("{GOOD}{verb:>10}{GOOD:#} {rest}"));
        }
    }

    /// Something that works but should not stay so.
    pub(crate) fn warning(self, text: &str) {
        if self == Volume::Normal {
            err(&format!("{ODD}   warning{ODD:#} {}", pirn_runner::report::shown::lines(text)));
        }
    }

    /// A line that moves while something takes its time; not there when nobody looks at a terminal.
    pub(crate) fn progress(self, total: u64, doing: &str) -> ProgressBar {
        let bar = match self {
            Volume::Quiet => ProgressBar::hidden(),
            Volume::Normal => ProgressBar::new(total),
        };
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix:>10.bold.cyan} {bar:24.cyan/dim} {pos}/{len} {msg} {elapsed:.dim}",
        ) {
            bar.set_style(style.progress_chars("━━─"));
        }
        bar.set_prefix(doing.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

/// Characters that topics are given, so that the payloads of an ordinary app stand below each other.
const TOPIC_CHARS: usize = 26;

/// A topic, coloured, safe and padded.
pub(crate) fn topic(topic: &str) -> String {
    let topic = escaped(topic);
    let padding = TOPIC_CHARS.saturating_sub(topic.chars().count());
    format!("{NAME}{topic}{NAME:#}{:padding$}", "")
}

/// A duration as people say it: `1.3 ms`, `2.41 s`.
pub(crate) fn time(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_have_a_unit() {
        for (micros, expected) in
            [(7, "7 µs"), (1_300, "1.3 ms"), (999_960, "1000.0 ms"), (2_410_000, "2.41 s")]
        {
            assert_eq!(time(Duration::from_micros(micros)), expected);
        }
    }
}
