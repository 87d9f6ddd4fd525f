//! What `pirn up` prints while an app runs: one line for each event, outcome, publish and log line.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anstyle::Style;
use pirn_runner::engine::outcome::Outcome;
use pirn_runner::happening::Happening;
use pirn_runner::report::Stream;
use pirn_runner::report::shown;
use pirn_runner::report::{Report, Reporter};
use pirn_runner::serve::log_files::LogFiles;
use pirn_triggers::gpio;
use pirn_triggers::mqtt::Notice;

use crate::limits::SHOWN_CHARS_MAX;
use crate::ui::{self, BAD, FAINT, GOOD, NAME, ODD, Volume};

/// Prints reports. Outcomes and messages go to stdout: they are what one runs an app for.
pub(crate) struct Watch {
    since: Instant,
    volume: Volume,
    files: Option<Mutex<LogFiles>>,
}

impl Watch {
    /// Times are shown from now on. What components say goes to `files` as well.
    pub(crate) fn new(volume: Volume, files: Option<LogFiles>) -> Watch {
        Watch { since: Instant::now(), volume, files: files.map(Mutex::new) }
    }

    fn say(&self, sign: &str, style: Style, text: &str) {
        let clock = clock(self.since.elapsed());
        // The app's work does not depend on somebody watching.
        let _ = ui::out(&format!("{FAINT}{clock}{FAINT:#} {style}{sign}{style:#} {text}"));
    }
}

impl Watch {
    /// A full disk must not stop the app: it is said on the terminal, where the line was too.
    fn keep(&self, component: &str, stream: Stream, line: &str) {
        let Some(files) = &self.files else { return };
        let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = files.write(component, stream, line) {
            let error = error.to_string();
            self.say("!", ODD, &format!("the log of {component}: {}", shown::line(&error)));
        }
    }
}

impl Reporter for Watch {
    fn report(&self, report: &Report<'_>) {
        if let Report::Log { component, stream, line } = report {
            self.keep(component, *stream, line);
        }
        if let Some(line) = line(report)
            && (self.volume == Volume::Normal || line.weight == Weight::Trouble)
        {
            self.say(line.sign, line.style, &line.text);
        }
    }
}

/// Whether a line is said to those who want to hear of trouble only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Ordinary,
    Trouble,
}

struct Line {
    sign: &'static str,
    style: Style,
    weight: Weight,
    text: String,
}

fn ordinary(sign: &'static str, style: Style, text: String) -> Line {
    Line { sign, style, weight: Weight::Ordinary, text }
}

fn trouble(sign: &'static str, style: Style, text: String) -> Line {
    Line { sign, style, weight: Weight::Trouble, text }
}

/// What is said about a report, if anything.
fn line(report: &Report<'_>) -> Option<Line> {
    Some(match report {
        // Timers tick all the time; what their components do is worth a line, that they did it is not.
        Report::Event { what: Happening::Tick, .. }
        | Report::Outcome { what: Happening::Tick, outcome: Outcome::Done, .. } => return None,
        Report::Event { component, what: Happening::Run, .. } => {
            ordinary("→", GOOD, format!("{component} runs"))
        }
        // One line for a request, when it is over.
        Report::Event { what: Happening::Request, .. } => return None,
        Report::Outcome {
            what: Happening::Request,
            outcome: Outcome::Done,
            component,
            source,
            took,
            ..
        } => {
            let (source, took) = (ui::escaped(source), ui::time(*took));
            ordinary("✓", GOOD, format!("{source}  {FAINT}{component}, in {took}{FAINT:#}"))
        }
        Report::Event { component, source, payload, .. } => {
            ordinary("→", GOOD, message(source, payload, component))
        }
        Report::Published { component, topic, payload, .. } => {
            ordinary("←", NAME, message(topic, payload, component))
        }
        Report::Outcome { component, source, outcome, took, retry_in, .. } => {
            outcome_line(component, source, outcome, *took, *retry_in)
        }
        Report::Log { component, stream: Stream::Out, line } => {
            ordinary("│", FAINT, format!("{component}: {}", shown::line(line)))
        }
        Report::Log { component, stream: Stream::Err, line } => {
            ordinary("│", ODD, format!("{component}: {}", shown::line(line)))
        }
        Report::Broker { address, notice } => notice_line(address, notice),
        Report::Line(notice) => pin_line(notice),
        Report::Warning(sentence) => trouble("!", ODD, shown::line(sentence).into_owned()),
        Report::Note(sentence) => ordinary("·", FAINT, shown::line(sentence).into_owned()),
    })
}

fn outcome_line(
    component: &str,
    source: &str,
    outcome: &Outcome,
    took: Duration,
    retry_in: Option<Duration>,
) -> Line {
    let took = ui::time(took);
    if *outcome == Outcome::Done {
        return ordinary("✓", GOOD, format!("{component} done in {took}"));
    }
    let next = match retry_in {
        Some(pause) => format!("again in {}", ui::time(pause)),
        None => "given up".to_owned(),
    };
    // A guest's sentence is text from outside; the names of its functions are too.
    let outcome = ui::escaped(&outcome.to_string());
    let source = ui::escaped(source);
    trouble(
        "✗",
        BAD,
        format!("{component} {outcome}  {FAINT}{source}, after {took}, {next}{FAINT:#}"),
    )
}

fn notice_line(address: &str, notice: &Notice) -> Line {
    let address = &*shown::line(address);
    match notice {
        Notice::Connected { session_present } => {
            let kept = if *session_present { ", which had kept the session" } else { "" };
            ordinary("·", FAINT, format!("connected to {address}{kept}"))
        }
        Notice::Disconnected { reason, retry_ms } => {
            let pause = ui::time(Duration::from_millis(*retry_ms));
            // The broker's own words may be among them.
            let reason = shown::line(reason);
            trouble("!", ODD, format!("no connection to {address}: {reason}; again in {pause}"))
        }
        Notice::SubscriptionRefused { filter, code } => {
            let filter = ui::escaped(filter);
            trouble("!", BAD, format!("{address} refused {filter} (reason code {code:#04x})"))
        }
        Notice::SubscriptionGranted { filter } => {
            ordinary("·", FAINT, format!("{address} grants {} now", ui::escaped(filter)))
        }
        Notice::Oversize { topic, bytes } => {
            let topic = ui::escaped(topic);
            trouble("!", ODD, format!("{topic}: {bytes} bytes are too many, kept aside"))
        }
        Notice::AcksIgnored => {
            ordinary("·", FAINT, format!("{address} acknowledges twice, or what was not sent"))
        }
    }
}

fn pin_line(notice: &gpio::Notice) -> Line {
    match notice {
        gpio::Notice::Lost { line, reason } => {
            let reason = reason.to_string();
            trouble("!", ODD, format!("{line}: {}", shown::line(&reason)))
        }
        gpio::Notice::Back { line } => ordinary("·", FAINT, format!("{line} is there now")),
        gpio::Notice::TurnedOff { line, on_longest } => {
            let longest = ui::time(*on_longest);
            trouble(
                "!",
                ODD,
                format!("{line} was on for {longest}, its longest; now at its safe level"),
            )
        }
    }
}

fn message(topic: &str, payload: &[u8], component: &str) -> String {
    let payload = ui::shortened(&ui::shown(payload), SHOWN_CHARS_MAX);
    format!("{}  {payload}  {FAINT}{component}{FAINT:#}", ui::topic(topic))
}

/// Time since the start: `  3.412s`, `2m03.4s`.
fn clock(elapsed: Duration) -> String {
    let secs = elapsed.as_secs();
    match secs {
        0..60 => format!("{:>7.3}s", elapsed.as_secs_f64()),
        60..3600 => format!("{:>2}m{:02}.{}s", secs / 60, secs % 60, elapsed.subsec_millis() / 100),
        _ => format!("{:>2}h{:02}m{:02}", secs / 3600, secs / 60 % 60, secs % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_keeps_its_width() {
        for (millis, expected) in [
            (412, "  0.412s"),
            (59_999, " 59.999s"),
            (123_456, " 2m03.4s"),
            (7_384_000, " 2h03m04"),
        ] {
            assert_eq!(clock(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn a_failure_is_said_even_if_quiet_and_success_is_not() {
        let weight = |outcome: &Outcome| {
            let took = Duration::from_millis(1);
            outcome_line("c", "t", outcome, took, None).weight
        };
        assert_eq!(weight(&Outcome::Done), Weight::Ordinary);
        assert_eq!(weight(&Outcome::Refused("no".to_owned())), Weight::Trouble);
    }

    #[test]
    fn what_a_guest_says_cannot_move_the_cursor() {
        let outcome = Outcome::Refused("\x1b[2Jgone".to_owned());
        let line = outcome_line("c", "t\x1b[A", &outcome, Duration::ZERO, None);
        assert!(anstream::adapter::strip_str(&line.text).to_string().contains("\\u{1b}[2J"));
        assert!(line.text.contains("t\\u{1b}[A"));
    }

    #[test]
    fn whatever_comes_from_outside_stays_on_its_line_and_moves_nothing() {
        const HOSTILE: &str = "a\n  0.000s ✓ forged\r\x1b[2J\u{9b}2J\u{202e}\u{2028}\u{200b}";
        let notice = Notice::Disconnected { reason: HOSTILE.into(), retry_ms: 1 };
        let what = Happening::Tick;
        let log = |stream| Report::Log { component: "c", stream, line: HOSTILE };
        let reports = [
            log(Stream::Out),
            log(Stream::Err),
            Report::Warning(HOSTILE),
            Report::Note(HOSTILE),
            Report::Broker { address: HOSTILE, notice: &notice },
            Report::Outcome {
                component: "c",
                source: HOSTILE,
                what: &what,
                outcome: &Outcome::Undelivered(HOSTILE.to_owned()),
                took: Duration::ZERO,
                attempt: 1,
                retry_in: None,
            },
        ];
        for report in &reports {
            let Some(line) = line(report) else { continue };
            let text = anstream::adapter::strip_str(&line.text).to_string();
            assert!(text.contains("a\\n"), "{text:?}");
            let odd = |c: char| c.is_control() || ['\u{202e}', '\u{2028}', '\u{200b}'].contains(&c);
            assert!(!text.contains(odd) && !line.text.contains("\x1b[2J"), "{text:?}");
        }
    }
}
