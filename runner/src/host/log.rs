//! A component's log: what it writes to stdout and stderr, line by line, escaped and rate-limited,
//! so that a chatty guest can neither fill the disk nor forge a line of ours.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::locked;
use crate::limits::host::LOG_LINE_BYTES_MAX;
use crate::limits::units::Rate;
use crate::report::shown;
use crate::report::{Report, Reporter, Stream};

/// One component's log; cheap to clone.
#[derive(Clone)]
pub struct Log {
    component: Arc<str>,
    reporter: Arc<dyn Reporter>,
    window: Arc<Mutex<Window>>,
}

/// Lines in the running period.
struct Window {
    since: Instant,
    lines: u32,
    dropped: u32,
    rate: Rate,
}

impl Window {
    /// Counts one line at `now`: whether it may pass, and how many were dropped in the period
    /// that just ended.
    fn step(&mut self, now: Instant) -> (Verdict, u32) {
        let mut ended = 0;
        if now.duration_since(self.since) >= self.rate.period {
            ended = std::mem::take(&mut self.dropped);
            (self.since, self.lines) = (now, 0);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines <= self.rate.events {
            return (Verdict::Pass, ended);
        }
        self.dropped = self.dropped.saturating_add(1);
        (if self.dropped == 1 { Verdict::FirstDropped } else { Verdict::Dropped }, ended)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    FirstDropped,
    Dropped,
}

impl Log {
    /// A log for this component that takes so many lines.
    pub fn new(component: &str, rate: Rate, reporter: Arc<dyn Reporter>) -> Self {
        let window = Window { since: Instant::now(), lines: 0, dropped: 0, rate };
        Self { component: component.into(), reporter, window: Arc::new(Mutex::new(window)) }
    }

    /// Writes one raw line.
    pub fn line(&self, stream: Stream, line: &[u8]) {
        let (verdict, ended) = locked(&self.window).step(Instant::now());
        if ended > 0 {
            let note = format!("[{ended} lines dropped: more than the log's rate]");
            self.report(Stream::Err, &note);
        }
        match verdict {
            Verdict::Pass => self.report(stream, &escaped(line)),
            Verdict::FirstDropped => {
                self.report(Stream::Err, "[log rate exceeded, dropping lines]");
            }
            Verdict::Dropped => {}
        }
    }

    fn report(&self, stream: Stream, line: &str) {
        self.reporter.report(&Report::Log { component: &self.component, stream, line });
    }
}

/// Printable text of a line: what is not seen escaped, bad UTF-8 replaced, cut at the cap.
fn escaped(line: &[u8]) -> String {
    let cut = line.len() > LOG_LINE_BYTES_MAX;
    let line = String::from_utf8_lossy(&line[..line.len().min(LOG_LINE_BYTES_MAX)]);
    let mut text = shown::line(&line).into_owned();
    if cut {
        text.push('…');
    }
    text
}

/// Gathers a guest's writes into lines.
pub struct LineBuffer {
    log: Log,
    stream: Stream,
    partial: Vec<u8>,
}

impl LineBuffer {
    /// An empty buffer in front of a log.
    pub fn new(log: Log, stream: Stream) -> Self {
        Self { log, stream, partial: Vec::new() }
    }

    /// Takes bytes; each finished line goes out. A line longer than the cap is cut, not kept.
    pub fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let room = (LOG_LINE_BYTES_MAX + 1).saturating_sub(self.partial.len());
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.partial.extend_from_slice(&text[..text.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.log.line(self.stream, &self.partial);
                self.partial.clear();
            }
        }
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        if !self.partial.is_empty() {
            self.log.line(self.stream, &self.partial);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Memory(Mutex<Vec<String>>);

    impl Reporter for Memory {
        fn report(&self, report: &Report<'_>) {
            if let Report::Log { component, line, .. } = report {
                locked(&self.0).push(format!("{component}: {line}"));
            }
        }
    }

    fn rate(events: u32) -> Rate {
        Rate { events, period: std::time::Duration::from_secs(1) }
    }

    fn written(chunks: &[&[u8]]) -> Vec<String> {
        let memory = Arc::new(Memory::default());
        let mut buffer = LineBuffer::new(Log::new("c", rate(1000), memory.clone()), Stream::Out);
        chunks.iter().for_each(|chunk| buffer.write(chunk));
        drop(buffer);
        std::mem::take(&mut *locked(&memory.0))
    }

    #[test]
    fn writes_become_lines_wherever_they_are_cut() {
        assert_eq!(written(&[b"a", b"b\nc", b"\n\nd"]), ["c: ab", "c: c", "c: ", "c: d"]);
    }

    #[test]
    fn a_guest_cannot_forge_lines_or_move_the_cursor() {
        assert_eq!(written(&[b"a\rb\x1b[2J\xff\n"]), ["c: a\\rb\\u{1b}[2J\u{fffd}"]);
        let bidi = "a\u{202e}b\u{2028}c\u{9b}d\u{200b}e\n";
        let expected = "c: a\\u{202e}b\\u{2028}c\\u{9b}d\\u{200b}e";
        assert_eq!(written(&[bidi.as_bytes()]), [expected]);
    }

    #[test]
    fn a_line_without_end_is_cut_and_costs_no_memory() {
        let lines = written(&[&[b'x'; 3000], &[b'y'; 3000], b"\n", b"next\n"]);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], format!("c: {}…", "x".repeat(LOG_LINE_BYTES_MAX)));
        assert_eq!(lines[1], "c: next");
    }

    #[test]
    fn lines_over_the_rate_are_counted_and_the_count_is_told_later() {
        let start = Instant::now();
        let mut rate = Window { since: start, lines: 0, dropped: 0, rate: rate(2) };
        assert_eq!(rate.step(start), (Verdict::Pass, 0));
        assert_eq!(rate.step(start), (Verdict::Pass, 0));
        assert_eq!(rate.step(start), (Verdict::FirstDropped, 0));
        assert_eq!(rate.step(start), (Verdict::Dropped, 0));
        assert_eq!(rate.step(start + std::time::Duration::from_secs(1)), (Verdict::Pass, 2));
    }
}
