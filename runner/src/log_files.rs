//! Components' output in files: `<component>.log`, cut over to `<component>.log.1` at a cap, so that
//! logs never fill a card.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::host::log::Stream;
use crate::limits::host::LOG_FILE_BYTES_MAX;
use crate::state_folder;

/// The files of one folder.
#[derive(Debug)]
pub struct LogFiles {
    dir: PathBuf,
    open: BTreeMap<String, (File, u64)>,
}

impl LogFiles {
    /// Makes the folder, for this user only, if it is not there.
    pub fn new(dir: PathBuf) -> io::Result<Self> {
        state_folder::make(&dir)?;
        Ok(Self { dir, open: BTreeMap::new() })
    }

    /// Appends a line of a component. After an error the file is opened anew next time.
    pub fn write(&mut self, component: &str, stream: Stream, line: &str) -> io::Result<()> {
        let mark = if stream == Stream::Err { "! " } else { "" };
        let time = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
        let text = format!("{time} {mark}{line}\n");
        let result = self.append(component, &text);
        if result.is_err() {
            self.open.remove(component);
        }
        result
    }

    fn append(&mut self, component: &str, text: &str) -> io::Result<()> {
        let path = self.dir.join(format!("{component}.log"));
        if !self.open.contains_key(component) {
            let mut options = OpenOptions::new();
            options.create(true).append(true).mode(state_folder::FILE_MODE);
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
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_component_s_logs_never_take_more_than_two_caps() {
        let dir = std::env::temp_dir().join(format!("pirn-logs-{}", std::process::id()));
        let mut files = LogFiles::new(dir.clone()).unwrap();
        let line = "x".repeat(1000);
        for _ in 0..3 * LOG_FILE_BYTES_MAX / 1000 {
            files.write("c", Stream::Out, &line).unwrap();
        }
        let sizes = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len());
        let sizes: Vec<u64> = sizes.collect();
        assert_eq!(sizes.len(), 2);
        let mode = std::fs::metadata(dir.join("c.log.1")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "others can read what components say");
        assert!(sizes.iter().all(|size| *size <= LOG_FILE_BYTES_MAX + 1100), "{sizes:?}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
