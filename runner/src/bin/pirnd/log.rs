//! pirnd's own log: reports as lines of text or JSON on stderr. Under systemd's journal, which stamps
//! every line itself, the time is left out.

use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use pirn_runner::engine::outcome::Outcome;
use pirn_runner::limits::host::LOG_OWN_LINE_BYTES_MAX;
use pirn_runner::report::Stream;
use pirn_runner::report::shown;
use pirn_runner::report::{Report, Reporter};
use pirn_runner::serve::log_files::LogFiles;
use pirn_triggers::gpio;
use pirn_triggers::mqtt::Notice;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::args::Detail;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

/// Prints reports.
pub(crate) struct Printer {
    format: Format,
    detail: Detail,
    stamped_by_journal: bool,
    unread: Unread,
    /// Where components' lines go instead of stderr.
    files: Option<Mutex<LogFiles>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Info,
    Warn,
}

/// One line, before it is text or JSON.
#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    level: Level,
    /// A component's id, or `pirnd`.
    who: &'a str,
    text: &'a str,
}

impl Line<'_> {
    /// As a line for people. Whatever is in it, it is one line.
    fn text(&self, stamped_by_journal: bool) -> String {
        let Self { time, level, .. } = self;
        let mark = if *level == Level::Warn { "! " } else { "" };
        let (who, text) = (shown::line(self.who), shown::line(self.text));
        match stamped_by_journal {
            true => format!("{mark}{who}: {text}\n"),
            false => format!("{time} {mark}{who}: {text}\n"),
        }
    }
}

impl Printer {
    pub(crate) fn new(format: Format, detail: Detail, files: Option<LogFiles>) -> Self {
        let stamped_by_journal = std::env::var_os("JOURNAL_STREAM").is_some();
        let (unread, files) = (Unread::default(), files.map(Mutex::new));
        Self { format, detail, stamped_by_journal, unread, files }
    }

    /// The one place where pirnd's log is written, and so where what came from outside is escaped.
    fn print(&self, level: Level, who: &str, text: &str) {
        let line = self.line(level, who, text);
        let missed = |lost| {
            let text = format!("{lost} lines were dropped: nobody read the log");
            self.line(Level::Warn, "pirnd", &text)
        };
        self.unread.write(&mut std::io::stderr().lock(), &line, missed);
    }

    fn line(&self, level: Level, who: &str, text: &str) -> String {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let text = &*shown::cut(text, LOG_OWN_LINE_BYTES_MAX);
        let line = Line { time: &time, level, who, text };
        match self.format {
            Format::Json => json(&line),
            Format::Text => line.text(self.stamped_by_journal),
        }
    }

    fn component_line(&self, component: &str, stream: Stream, line: &str) {
        match &self.files {
            Some(files) => {
                let mut files = files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if let Err(error) = files.write(component, stream, line) {
                    self.print(Level::Warn, "pirnd", &format!("log of {component}: {error}"));
                }
            }
            None if self.detail != Detail::Quiet => self.print(Level::Info, component, line),
            None => {}
        }
    }
}

impl Reporter for Printer {
    fn report(&self, report: &Report<'_>) {
        match report {
            Report::Event { component, source, payload, .. } if self.detail == Detail::Verbose => {
                self.print(
                    Level::Info,
                    component,
                    &format!("event {source}, {} bytes", payload.len()),
                );
            }
            Report::Published { component, topic, payload, .. }
                if self.detail == Detail::Verbose =>
            {
                self.print(
                    Level::Info,
                    component,
                    &format!("published {topic}, {} bytes", payload.len()),
                );
            }
            Report::Event { .. } | Report::Published { .. } => {}
            Report::Outcome { component, source, outcome, took, attempt, retry_in, .. } => {
                let level = if **outcome == Outcome::Done { Level::Info } else { Level::Warn };
                if level == Level::Warn || self.detail == Detail::Verbose {
                    let next = match retry_in {
                        Some(rest) => format!("; try {attempt}, again in {rest:?}"),
                        None => String::new(),
                    };
                    self.print(
                        level,
                        component,
                        &format!("{source}: {outcome} after {took:.1?}{next}"),
                    );
                }
            }
            Report::Log { component, stream, line } => {
                self.component_line(component, *stream, line);
            }
            Report::Broker { address, notice } => {
                let (level, text) = broker(notice);
                self.print(level, "pirnd", &format!("{address}: {text}"));
            }
            Report::Line(notice) => {
                let (level, text) = line(notice);
                self.print(level, "pirnd", &text);
            }
            Report::Warning(text) => self.print(Level::Warn, "pirnd", text),
            Report::Note(text) => self.print(Level::Info, "pirnd", text),
        }
    }
}

/// Lines that nobody took. A journal that hangs, or a terminal that is held, must not stop the loop:
/// a line that would have to wait is dropped, and the next one that need not says how many were.
#[derive(Default)]
struct Unread(AtomicU64);

impl Unread {
    /// Writes a line, if that can be done at once. Of a pipe the kernel promises it for a line of up to
    /// 4 KiB; a longer one may wait for its end.
    fn write(&self, out: &mut (impl Write + AsFd), line: &str, missed: impl Fn(u64) -> String) {
        if !takes_a_line(out) {
            self.0.fetch_add(1, Relaxed);
            return;
        }
        let before = match self.0.swap(0, Relaxed) {
            0 => String::new(),
            lost => missed(lost),
        };
        // A log that cannot be written is no reason to stop working.
        let _ = out.write_all((before + line).as_bytes());
    }
}

fn takes_a_line(out: &impl AsFd) -> bool {
    let mut out = [PollFd::new(out, PollFlags::OUT)];
    // What cannot be asked is taken to be willing, as a file is.
    !matches!(poll(&mut out, Some(&Timespec::default())), Ok(0))
}

fn line(notice: &gpio::Notice) -> (Level, String) {
    match notice {
        gpio::Notice::Lost { line, reason } => {
            (Level::Warn, format!("line {line}: {reason}; it is tried again"))
        }
        gpio::Notice::Back { line } => (Level::Info, format!("line {line} is there now")),
        gpio::Notice::TurnedOff { line, on_longest } => (
            Level::Warn,
            format!("line {line} was on for {on_longest:?}, its longest; set to its safe level"),
        ),
    }
}

fn broker(notice: &Notice) -> (Level, String) {
    match notice {
        Notice::Connected { session_present: true } => {
            (Level::Info, "connected, session resumed".into())
        }
        Notice::Connected { session_present: false } => (Level::Info, "connected".into()),
        Notice::Disconnected { reason, retry_ms } => {
            (Level::Warn, format!("{reason}; next try in {:.1} s", *retry_ms as f64 / 1000.0))
        }
        Notice::SubscriptionRefused { filter, code } => {
            let advice = "may this user subscribe to it?";
            (
                Level::Warn,
                format!(
                    "the broker refuses the subscription {filter} (code {code:#04x}); {advice}"
                ),
            )
        }
        Notice::SubscriptionGranted { filter } => {
            (Level::Info, format!("subscribed to {filter} after all"))
        }
        Notice::Oversize { topic, bytes } => (
            Level::Warn,
            format!("a message on {topic} has {bytes} bytes, more than is accepted; kept aside"),
        ),
        Notice::AcksIgnored => (
            Level::Warn,
            "the broker acknowledges what was not sent, or twice; harmless, and counted".into(),
        ),
    }
}

fn json(line: &Line<'_>) -> String {
    // Escaping makes at most six bytes of one.
    let mut buffer = vec![0; 128 + 6 * (line.who.len() + line.text.len())];
    let written = serde_json_core::to_slice(line, &mut buffer).unwrap_or(0);
    buffer.truncate(written);
    buffer.push(b'\n');
    let line = String::from_utf8(buffer).unwrap_or_default();
    shown::json(&line).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A topic that tries what a line can be made to do: begin another, clear the screen, turn around.
    const HOSTILE: &str =
        "a\n2026-01-01T00:00:00Z pirnd: forged\r\x1b[2J\u{9b}2J\u{202e}x\u{2028}y\u{200b}\x7f";

    fn line(text: &str) -> Line<'_> {
        Line { time: "T", level: Level::Warn, who: "c", text }
    }

    fn is_harmless(written: &str) {
        let inner = written.strip_suffix('\n').unwrap();
        assert!(!inner.chars().any(char::is_control), "{written:?}");
        for odd in ['\u{202e}', '\u{2028}', '\u{200b}'] {
            assert!(!inner.contains(odd), "{written:?}");
        }
    }

    #[test]
    fn a_topic_cannot_forge_a_line_of_the_text_log() {
        for stamped in [true, false] {
            let written = line(HOSTILE).text(stamped);
            is_harmless(&written);
            assert!(written.contains("c: a\\n2026-01-01"), "{written}");
        }
        let written = Line { who: HOSTILE, ..line("x") }.text(false);
        is_harmless(&written);
    }

    #[test]
    fn a_topic_cannot_forge_a_line_of_the_json_log_and_is_in_it_as_it_was() {
        #[derive(serde::Deserialize)]
        struct Read {
            text: heapless::String<200>,
        }
        let written = json(&line(HOSTILE));
        is_harmless(&written);
        assert!(written.contains("\\u009b2J\\u202ex\\u2028y\\u200b\\u007f"), "{written}");
        let mut unescaped = [0; 400];
        let (read, _): (Read, _) =
            serde_json_core::from_str_escaped(&written, &mut unescaped).unwrap();
        assert_eq!(read.text, HOSTILE);
    }

    #[test]
    fn a_log_that_nobody_reads_stops_nobody_and_what_it_missed_is_counted() {
        let (mut read, mut write) = std::io::pipe().unwrap();
        let (unread, missed) = (Unread::default(), |lost| format!("{lost} lost\n"));
        let line = format!("{}\n", "x".repeat(99));
        // A pipe holds 64 KiB: without the look this would wait for ever.
        for _ in 0..2_000 {
            unread.write(&mut write, &line, missed);
        }
        let lost = unread.0.load(Relaxed);
        assert!(lost > 1_000, "{lost}");
        let mut seen = vec![0; 100 * (2_000 - lost as usize)];
        std::io::Read::read_exact(&mut read, &mut seen).unwrap();
        unread.write(&mut write, "next\n", missed);
        drop(write);
        let rest = std::io::read_to_string(read).unwrap();
        assert_eq!(rest, format!("{lost} lost\nnext\n"));
    }

    #[test]
    fn a_line_of_our_own_is_cut_and_marked() {
        let long = "x".repeat(LOG_OWN_LINE_BYTES_MAX + 1);
        assert!(shown::cut(&long, LOG_OWN_LINE_BYTES_MAX).ends_with("x…"));
    }
}
