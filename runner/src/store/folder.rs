//! The folder that pirn may write to: who may look into it, that one process has it, and how a file in
//! it is written so that a power cut leaves the old one or the new one.
//!
//! It is claimed before anything is opened or connected. The lock is the kernel's (`flock`), so it ends
//! with the process, however that ends; the file stays, since removing it would let two have it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use crate::report::{Report, Reporter};

/// Of the folder: nobody but its owner.
const FOLDER_MODE: u32 = 0o700;
/// Of every file in it.
pub(crate) const FILE_MODE: u32 = 0o600;
const LOCK_FILE: &str = "pirnd.lock";

/// Why a state folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another process has it.
    #[error(
        "{path}: another pirnd runs with this state folder{holder}; stop it, or name another folder with --state-dir", 
        path = .path.display(), holder = holder(*.pid)
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who has it, if it could be read.
        pid: Option<u32>,
    },
    /// It cannot be made or locked.
    #[error("state folder {path}: {error}; name another with --state-dir", path = .path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// A state folder that is ours as long as this lives.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    /// `None` on a file system that cannot be written: there is nothing to keep from others then.
    _lock: Option<File>,
}

impl StateFolder {
    /// Makes the folder if it is not there, takes it for this process, closes it to others. What is odd
    /// about it is reported.
    pub fn claim(path: &Path, reporter: &dyn Reporter) -> Result<Self, ClaimError> {
        let unusable = |error| ClaimError::Unusable { path: path.to_owned(), error };
        if let Some(root) = above(path) {
            check_free(root)?;
        }
        make(path).map_err(unusable)?;
        let lock = match lock(path) {
            Ok(lock) => Some(lock),
            Err(Refused::Held(pid)) => {
                return Err(ClaimError::InUse { path: path.to_owned(), pid });
            }
            Err(Refused::Failed(error)) if is_read_only(&error) => {
                let path = path.display();
                warn(
                    reporter,
                    &format!(
                        "state folder {path}: {error}: no key-value, no dead letter and no client id is kept; name another with --state-dir"
                    ),
                );
                None
            }
            Err(Refused::Failed(error)) => return Err(unusable(error)),
        };
        if lock.is_some() {
            tighten(path, reporter).map_err(unusable)?;
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether nobody has the folder.
pub fn check_free(path: &Path) -> Result<(), ClaimError> {
    if !path.join(LOCK_FILE).exists() {
        return Ok(());
    }
    match lock(path) {
        Err(Refused::Held(pid)) => Err(ClaimError::InUse { path: path.to_owned(), pid }),
        _ => Ok(()),
    }
}

/// The folder of a process with several apps that this one is of, if it lies in one.
pub fn above(path: &Path) -> Option<&Path> {
    path.parent()?.parent().filter(|root| root.join(LOCK_FILE).exists())
}

/// Makes the folder, if there is none, for this user only.
pub fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Writes a file so that whoever reads it after a crash or a power cut finds the old one whole or the
/// new one whole. Only its owner may read it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let temporary = folder.join(name);
    // One that a crash left may be anybody's link: never written through.
    let _ = fs::remove_file(&temporary);
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
        return written;
    }
    sync_folder(folder)
}

/// Makes names in a folder durable: a file that was created or renamed is there after a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

enum Refused {
    Held(Option<u32>),
    Failed(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Takes the lock and writes our number into its file, for whoever comes second.
fn lock(folder: &Path) -> Result<File, Refused> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    let mut file = options.open(folder.join(LOCK_FILE))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = (&file).take(16).read_to_string(&mut text);
            return Err(Refused::Held(read.ok().and_then(|_| text.trim().parse().ok())));
        }
        Err(TryLockError::Error(error)) => return Err(Refused::Failed(error)),
    }
    // The number is for people: a full disk must not keep the app from starting.
    let _ = file.set_len(0).and_then(|()| file.rewind());
    let _ = writeln!(file, "{}", std::process::id());
    Ok(file)
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}

fn warn(reporter: &dyn Reporter, sentence: &str) {
    reporter.report(&Report::Warning(sentence));
}

/// Closes a folder of an older version, and what is in it, to others. A folder that holds other things
/// too is left as it is, and said: it may be one that the system needs open.
fn tighten(folder: &Path, reporter: &dyn Reporter) -> io::Result<()> {
    let (about, shown) = (fs::metadata(folder)?, folder.display());
    // The kernel shows a process as its effective user's.
    let me = fs::metadata("/proc/self")?.uid();
    if about.uid() != me {
        let owner = about.uid();
        warn(
            reporter,
            &format!(
                "state folder {shown} belongs to user {owner}, this process runs as user {me}: the owner can read and change what is kept; `chown` it"
            ),
        );
    }
    let entries: Vec<fs::DirEntry> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    let (ours, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_ours);
    ours.iter().for_each(|entry| close(&entry.path(), me));
    if about.uid() != me || !is_open(&about) {
        return Ok(());
    }
    match others.first() {
        None => fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE)),
        Some(other) => {
            let other = other.file_name();
            warn(
                reporter,
                &format!(
                    "state folder {shown} can be read by other users and holds what is not pirn's ({}): give pirn a folder of its own with --state-dir, or `chmod 700` this one",
                    other.to_string_lossy()
                ),
            );
            Ok(())
        }
    }
}

/// Whether a file is one that pirn writes, or the usual folder for logs.
fn is_ours(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    const WRITTEN: [&str; 3] = ["client-id", "subscriptions", "kept"];
    let known = ["logs", "code", "running", LOCK_FILE, "pirnd.sock", "pins.sock"];
    known.contains(&&*name)
        || WRITTEN.contains(&name.strip_suffix(".new").unwrap_or(&name))
        || [".db", ".db-wal", ".db-shm", ".db-mark", ".log", ".log.1"]
            .iter()
            .any(|end| name.ends_with(end))
        || name.contains(".damaged")
}

fn is_open(about: &fs::Metadata) -> bool {
    about.mode() & 0o077 != 0
}

/// Closes a file to others, if it is a file and ours. What fails is not worth an error: the folder is
/// what keeps others out.
fn close(path: &Path, me: u32) {
    let Ok(about) = fs::symlink_metadata(path) else { return };
    if about.is_file() && about.uid() == me && is_open(&about) {
        let _ = fs::set_permissions(path, Permissions::from_mode(FILE_MODE));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Reporter for Heard {
        fn report(&self, report: &Report<'_>) {
            self.0.lock().unwrap().push(format!("{report:?}"));
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn open_to_all(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_that_is_made_and_its_lock_are_for_this_user_only() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a/b");
        let _folder = StateFolder::claim(&path, &Heard::default()).unwrap();
        assert_eq!((mode(&path), mode(&path.join(LOCK_FILE))), (0o700, 0o600));
    }

    #[test]
    fn the_second_claim_is_refused_and_names_the_first_until_that_is_gone() {
        let scratch = tempfile::tempdir().unwrap();
        let first = StateFolder::claim(scratch.path(), &Heard::default()).unwrap();
        let error = StateFolder::claim(scratch.path(), &Heard::default()).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        drop(first);
        StateFolder::claim(scratch.path(), &Heard::default()).unwrap();
    }

    #[test]
    fn a_folder_of_an_older_version_is_closed_to_others_with_all_that_is_in_it() {
        let scratch = tempfile::tempdir().unwrap();
        open_to_all(scratch.path(), 0o755);
        let files = ["client-id", "pirn.db", "pirn.db-wal", "kv-default.db", "pirn.db.damaged"];
        for file in files {
            fs::write(scratch.path().join(file), "x").unwrap();
            open_to_all(&scratch.path().join(file), 0o644);
        }
        let heard = Heard::default();
        let _folder = StateFolder::claim(scratch.path(), &heard).unwrap();
        assert_eq!(mode(scratch.path()), 0o700);
        for file in files {
            assert_eq!(mode(&scratch.path().join(file)), 0o600, "{file}");
        }
        assert!(heard.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_folder_that_holds_other_things_is_said_and_left_open() {
        let scratch = tempfile::tempdir().unwrap();
        open_to_all(scratch.path(), 0o755);
        fs::write(scratch.path().join("passwd"), "x").unwrap();
        open_to_all(&scratch.path().join("passwd"), 0o644);
        let heard = Heard::default();
        let _folder = StateFolder::claim(scratch.path(), &heard).unwrap();
        assert_eq!((mode(scratch.path()), mode(&scratch.path().join("passwd"))), (0o755, 0o644));
        assert!(heard.0.lock().unwrap()[0].contains("passwd"));
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_link_in_its_way_is_not_written_through() {
        let scratch = tempfile::tempdir().unwrap();
        let (path, victim) = (scratch.path().join("client-id"), scratch.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, scratch.path().join("client-id.new")).unwrap();
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("client-id");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("in the way"), "").unwrap();
        write_atomically(&path, b"one").unwrap_err();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}
