//! Components' output in files: `<component>.log`, cut over to `<component>.log.1` at a cap, so that
//! logs never fill a card. Only their owner can read them.
//!
//! The files are written by a thread of their own: a slow card, a full disk or a dead network share
//! must not stop the loop. What the thread cannot take is dropped, and the next line that gets
//! through says how many are missing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::limits::host::{
    LOG_FAREWELL, LOG_FILE_BYTES_MAX, LOG_FILE_LINES_WAITING_MAX, LOG_THREAD_STACK_BYTES,
};
use crate::report::Stream;
use crate::report::shown;
use crate::store::folder;

/// The files of one folder.
#[derive(Debug)]
pub struct LogFiles {
    /// `None` once it is being closed.
    lines: Option<SyncSender<Line>>,
    /// Says, by being closed, that the thread is done.
    done: Receiver<()>,
    /// What went wrong on the thread and was not told yet.
    fault: Arc<Mutex<Option<io::Error>>>,
    /// Lines that were not taken, for each component, since the last that was.
    dropped: BTreeMap<String, u64>,
}

/// A line on its way to its file.
#[derive(Debug)]
struct Line {
    component: String,
    /// How many of its lines before it are missing.
    dropped: u64,
    text: String,
}

impl LogFiles {
    /// Makes the folder, for this user only, if it is not there.
    pub fn new(dir: PathBuf) -> io::Result<Self> {
        folder::make(&dir)?;
        let folder = Folder { dir, open: BTreeMap::new(), missing: BTreeMap::new() };
        Self::over(folder)
    }

    /// The same over anything that takes lines.
    fn over(mut writer: impl Writer) -> io::Result<Self> {
        let (lines, waiting) = sync_channel::<Line>(LOG_FILE_LINES_WAITING_MAX);
        let (closed, done) = channel();
        let fault = Arc::<Mutex<Option<io::Error>>>::default();
        let noted = Arc::clone(&fault);
        let thread = std::thread::Builder::new().name("logs".into());
        thread.stack_size(LOG_THREAD_STACK_BYTES).spawn(move || {
            let mut failing = false;
            for line in waiting {
                let result = writer.write(&line);
                // A full disk is said once, not for each line.
                if let (Err(error), false) = (&result, failing) {
                    *locked(&noted) = Some(io::Error::new(error.kind(), error.to_string()));
                }
                failing = result.is_err();
            }
            drop(closed);
        })?;
        Ok(Self { lines: Some(lines), done, fault, dropped: BTreeMap::new() })
    }

    /// Hands a line of a component over, and never waits: with too many on their way it is dropped and
    /// counted. An error is one of an earlier line; that line is missing and counted, this one is not.
    pub fn write(&mut self, component: &str, stream: Stream, line: &str) -> io::Result<()> {
        let mark = if stream == Stream::Err { "! " } else { "" };
        let time = humantime::format_rfc3339_seconds(SystemTime::now());
        let text = format!("{time} {mark}{}\n", shown::line(line));
        let dropped = self.dropped.get(component).copied().unwrap_or(0);
        let line = Line { component: component.into(), dropped, text };
        let Some(lines) = &self.lines else { return Ok(()) };
        match lines.try_send(line) {
            Ok(()) if dropped > 0 => drop(self.dropped.remove(component)),
            Ok(()) => {}
            Err(TrySendError::Full(line) | TrySendError::Disconnected(line)) => {
                *self.dropped.entry(line.component).or_default() += 1;
            }
        }
        locked(&self.fault).take().map_or(Ok(()), Err)
    }
}

impl Drop for LogFiles {
    /// Lets the lines on their way reach their files, for a moment: a disk that hangs keeps nobody.
    fn drop(&mut self) {
        self.lines = None;
        let _ = self.done.recv_timeout(LOG_FAREWELL);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the thread puts lines: files, or a test's idea of a disk.
trait Writer: Send + 'static {
    fn write(&mut self, line: &Line) -> io::Result<()>;
}

struct Folder {
    dir: PathBuf,
    open: BTreeMap<String, (File, u64)>,
    /// Lines that could not be written, for each component, since the last that could.
    missing: BTreeMap<String, u64>,
}

impl Writer for Folder {
    /// Appends a line. After an error the file is opened anew next time.
    fn write(&mut self, line: &Line) -> io::Result<()> {
        let Line { component, dropped, text } = line;
        let missing = self.missing.get(component).copied().unwrap_or(0) + dropped;
        let result = match missing {
            0 => self.append(component, text),
            missing => self.append(component, &format!("{}{text}", note(text, missing))),
        };
        match &result {
            Ok(()) => drop(self.missing.remove(component)),
            Err(_) => {
                self.missing.insert(component.clone(), missing + 1);
                self.open.remove(component);
            }
        }
        result
    }
}

/// The line about those that are missing, with the time of the one behind it.
fn note(text: &str, missing: u64) -> String {
    let time = text.split(' ').next().unwrap_or_default();
    format!("{time} ! [{missing} lines dropped: the log's disk was full or slow]\n")
}

impl Folder {
    fn append(&mut self, component: &str, text: &str) -> io::Result<()> {
        let path = self.dir.join(format!("{component}.log"));
        if !self.open.contains_key(component) {
            let mut options = OpenOptions::new();
            options.create(true).append(true).mode(folder::FILE_MODE);
            let file = options.open(&path)?;
            let bytes = file.metadata()?.len();
            self.open.insert(component.into(), (file, bytes));
        }
        let Some((file, bytes)) = self.open.get_mut(component) else { return Ok(()) };
        file.write_all(text.as_bytes())?;
        *bytes += text.len() as u64;
        if *bytes >= LOG_FILE_BYTES_MAX {
            self.open.remove(component);
            std::fs::rename(&path, path.with_extension("log.1"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &std::path::Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_component_s_logs_never_take_more_than_two_caps() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder =
            Folder { dir: dir.path().into(), open: BTreeMap::new(), missing: BTreeMap::new() };
        let text = "x".repeat(1000);
        for _ in 0..3 * LOG_FILE_BYTES_MAX / 1000 {
            let line = Line { component: "c".into(), dropped: 0, text: text.clone() };
            folder.write(&line).unwrap();
        }
        let sizes =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len());
        let sizes: Vec<u64> = sizes.collect();
        assert_eq!(sizes.len(), 2);
        let mode = mode(&dir.path().join("c.log.1"));
        assert_eq!(mode, 0o600, "others can read what components say");
        assert!(sizes.iter().all(|size| *size <= LOG_FILE_BYTES_MAX + 1100), "{sizes:?}");
    }

    #[test]
    fn lines_are_in_their_files_at_the_end_and_nobody_else_can_read_them() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("a/logs");
        let mut files = LogFiles::new(dir.clone()).unwrap();
        files.write("c", Stream::Out, "one").unwrap();
        files.write("c", Stream::Err, "two\n1970 forged\u{202e}").unwrap();
        drop(files);
        let text = std::fs::read_to_string(dir.join("c.log")).unwrap();
        let lines: Vec<&str> = text.lines().map(|l| l.split_once(' ').unwrap().1).collect();
        assert_eq!(lines, ["one", "! two\\n1970 forged\\u{202e}"]);
        assert_eq!((mode(&dir), mode(&dir.join("c.log"))), (0o700, 0o600));
    }

    /// A disk that does nothing until it is let.
    struct Stuck {
        until: Receiver<()>,
        written: Arc<Mutex<Vec<(u64, String)>>>,
    }

    impl Writer for Stuck {
        fn write(&mut self, line: &Line) -> io::Result<()> {
            let _ = self.until.recv();
            let text = line.text.split_once(' ').unwrap().1.trim_end().to_owned();
            locked(&self.written).push((line.dropped, text));
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_hangs_stops_nobody_and_what_it_does_not_take_is_counted() {
        let (let_go, until) = channel();
        let written = Arc::<Mutex<Vec<(u64, String)>>>::default();
        let mut files = LogFiles::over(Stuck { until, written: Arc::clone(&written) }).unwrap();
        // This would never end if a line were waited for.
        for number in 0..LOG_FILE_LINES_WAITING_MAX + 100 {
            files.write("c", Stream::Out, &number.to_string()).unwrap();
        }
        let dropped = files.dropped["c"];
        // All but what waits, and the one that the thread has in hand.
        assert!((99..=100).contains(&dropped), "{dropped}");
        drop(let_go);
        while !files.dropped.is_empty() {
            files.write("c", Stream::Out, "last").unwrap();
            std::thread::yield_now();
        }
        drop(files);
        let written = locked(&written);
        let total: u64 = written.iter().map(|(dropped, _)| dropped + 1).sum();
        let (told, last) = written.last().unwrap();
        assert!(*told >= dropped && last == "last", "{told} {last}");
        assert!(total >= (LOG_FILE_LINES_WAITING_MAX + 101) as u64, "{total}");
    }

    #[test]
    fn a_full_disk_is_said_once_and_the_lines_that_it_cost_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        // Every write to this device says that there is no space left.
        std::os::unix::fs::symlink("/dev/full", dir.path().join("c.log")).unwrap();
        let mut folder =
            Folder { dir: dir.path().into(), open: BTreeMap::new(), missing: BTreeMap::new() };
        let line = |text: &str| Line { component: "c".into(), dropped: 2, text: text.into() };
        for _ in 0..3 {
            let error = folder.write(&line("t lost\n")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
        std::fs::remove_file(dir.path().join("c.log")).unwrap();
        folder.write(&line("t kept\n")).unwrap();
        let text = std::fs::read_to_string(dir.path().join("c.log")).unwrap();
        let expected = "t ! [11 lines dropped: the log's disk was full or slow]\nt kept\n";
        assert_eq!(text, expected);
        std::fs::remove_file(dir.path().join("c.log")).unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("d.log")).unwrap();
        let mut files = LogFiles::new(dir.path().into()).unwrap();
        let mut told = 0;
        for _ in 0..200 {
            told += usize::from(files.write("d", Stream::Out, "x").is_err());
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        assert_eq!(told, 1);
    }
}
