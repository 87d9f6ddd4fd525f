//! Commands for a board, through a virtio port that `init.sh` listens at: a line there, the exit status, the
//! length and the output back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

/// From power on to the first command: two seconds on an idle machine, but tests share theirs.
const BOOT_MAX: Duration = Duration::from_secs(90);
/// The longest command.
const COMMAND_MAX: Duration = Duration::from_secs(60);
/// More than any test prints.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;

/// The channel; one command at a time.
pub(super) struct Shell {
    stream: Mutex<BufReader<UnixStream>>,
}

impl Shell {
    /// Waits for the greeting of `init.sh`.
    pub(super) fn greeted(stream: UnixStream) -> Result<Self, String> {
        stream.set_read_timeout(Some(BOOT_MAX)).map_err(|e| e.to_string())?;
        let mut stream = BufReader::new(stream);
        let mut greeting = String::new();
        stream.read_line(&mut greeting).map_err(|e| e.to_string())?;
        if greeting != "ready\n" {
            return Err(format!("it greeted with {greeting:?}"));
        }
        stream.get_ref().set_read_timeout(Some(COMMAND_MAX)).map_err(|e| e.to_string())?;
        Ok(Self { stream: Mutex::new(stream) })
    }

    /// The exit status and the output of a command.
    pub(super) fn run(&self, command: &str) -> Result<(i32, String), String> {
        assert!(!command.contains('\n'), "a command is one line: {command}");
        let mut stream = self.stream.lock().expect("nobody panicked with it");
        writeln!(stream.get_mut(), "{command}").map_err(|e| e.to_string())?;
        let mut answer = String::new();
        stream.read_line(&mut answer).map_err(|e| e.to_string())?;
        let numbers = answer.trim().split_once(' ');
        let numbers = numbers.and_then(|(s, l)| Some((s.parse().ok()?, l.parse::<u64>().ok()?)));
        let (status, length) = numbers.ok_or_else(|| format!("it answered {answer:?}"))?;
        assert!(length < OUTPUT_BYTES_MAX, "{command} printed {length} bytes");
        let mut output = Vec::new();
        stream.by_ref().take(length).read_to_end(&mut output).map_err(|e| e.to_string())?;
        Ok((status, String::from_utf8_lossy(&output).into_owned()))
    }
}
