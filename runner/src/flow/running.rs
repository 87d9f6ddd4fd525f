//! Which events run right now, written where the next process finds it: if this one is killed under an event, by the
//! kernel or by the event itself, that counts as a try, so that a message which kills its runner does not run for ever.
//!
//! A small file of fixed places, one for each instance, written without an fsync: it has to survive this process, not
//! the power. It lives in memory where the system has a place for that, so that it costs the card nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::limits::dispatch::RUNNING_MAX;

/// A place: an event's digest, which try this is, and which app's it is; all zero if nothing runs there.
const PLACE_BYTES: usize = 16;

/// The file, and which of its places are taken.
pub(super) struct Running {
    file: File,
    taken: Mutex<u64>,
    /// What ran when an earlier process died, until its app has taken note.
    died: Mutex<Vec<Died>>,
}

/// An event that runs, as long as this is not dropped.
pub(super) struct Mark<'a> {
    running: &'a Running,
    place: usize,
}

/// An event that ran when an earlier process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Died {
    place: usize,
    app: u32,
    pub(super) digest: u64,
    pub(super) attempt: u32,
}

impl Running {
    /// The file that belongs to this state folder.
    pub(super) fn open(state_dir: &Path) -> io::Result<Self> {
        let in_memory = folder().and_then(|folder| open(&folder.join(name(state_dir))));
        let file = in_memory.or_else(|_| open(&state_dir.join("running")))?;
        let mut places = vec![0; PLACE_BYTES * RUNNING_MAX];
        let mut read = 0;
        while read < places.len() {
            match file.read_at(&mut places[read..], read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        let died = places.chunks_exact(PLACE_BYTES).enumerate().filter_map(|(place, bytes)| {
            let (digest, rest) = bytes.split_first_chunk()?;
            let (attempt, rest) = rest.split_first_chunk()?;
            let (digest, attempt) = (u64::from_le_bytes(*digest), u32::from_le_bytes(*attempt));
            let app = u32::from_le_bytes(*rest.first_chunk()?);
            (attempt > 0).then_some(Died { place, app, digest, attempt })
        });
        let died: Vec<Died> = died.collect();
        let taken = died.iter().fold(0, |taken, died| taken | 1 << died.place);
        Ok(Self { file, taken: Mutex::new(taken), died: Mutex::new(died) })
    }

    /// What ran of this app when an earlier process died. To be given to [`Self::clear`] once it is safe elsewhere.
    pub(super) fn died(&self, app: u32) -> Vec<Died> {
        let all = self.died.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|died| died.app == app).copied().collect()
    }

    /// These are safe elsewhere.
    pub(super) fn clear(&self, safe: &[Died]) -> io::Result<()> {
        for died in safe {
            self.write(died.place, [0; PLACE_BYTES])?;
            self.free(died.place);
        }
        self.died.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| !safe.contains(one));
        Ok(())
    }

    /// An event begins. Without a free place, or when the file cannot be written, it is not remembered.
    pub(super) fn mark(&self, app: u32, digest: u64, attempt: u32) -> Option<Mark<'_>> {
        let place = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let place = taken.trailing_ones();
            *taken |= 1_u64.checked_shl(place)?;
            place as usize
        };
        let mark = Mark { running: self, place };
        let mut bytes = [0; PLACE_BYTES];
        bytes[..8].copy_from_slice(&digest.to_le_bytes());
        bytes[8..12].copy_from_slice(&attempt.to_le_bytes());
        bytes[12..].copy_from_slice(&app.to_le_bytes());
        self.write(place, bytes).ok()?;
        Some(mark)
    }

    fn write(&self, place: usize, bytes: [u8; PLACE_BYTES]) -> io::Result<()> {
        self.file.write_all_at(&bytes, (place * PLACE_BYTES) as u64)
    }

    fn free(&self, place: usize) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) &= !(1 << place);
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        // If that fails, one event is thought to have been tried once more.
        let _ = self.running.write(self.place, [0; PLACE_BYTES]);
        self.running.free(self.place);
    }
}

/// A folder in memory that is this user's alone.
fn folder() -> io::Result<PathBuf> {
    let systemd = std::env::var("RUNTIME_DIRECTORY").ok();
    if let Some(first) = systemd.as_deref().and_then(|list| list.split(':').next())
        && !first.is_empty()
    {
        return Ok(PathBuf::from(first));
    }
    let user = std::fs::metadata("/proc/self")?.uid();
    let folder = PathBuf::from(format!("/dev/shm/pirn-{user}"));
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let made = std::fs::symlink_metadata(&folder)?;
    match made.is_dir() && made.uid() == user && made.mode() & 0o077 == 0 {
        true => Ok(folder),
        false => Err(io::Error::other("somebody else's folder")),
    }
}

/// Of the state folder: two apps must not share a file.
fn name(state_dir: &Path) -> String {
    let whole = std::fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    format!("running-{:016x}", super::event::digest(&[whole.as_os_str().as_encoded_bytes()]))
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_when_the_process_died_is_known_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let running = Running::open(dir.path()).unwrap();
        assert!(running.died(1).is_empty());
        let first = running.mark(1, 7, 1).unwrap();
        let second = running.mark(1, 8, 3).unwrap();
        let third = running.mark(2, 9, 1).unwrap();
        drop(first);
        // As if it had been killed.
        std::mem::forget((second, third));
        let again = Running::open(dir.path()).unwrap();
        let died = again.died(1);
        assert_eq!(
            died.iter().map(|died| (died.digest, died.attempt)).collect::<Vec<_>>(),
            [(8, 3)]
        );
        again.clear(&died).unwrap();
        assert!(again.died(1).is_empty());
        // The other app has not taken note: what runs now takes other places.
        let marks: Vec<_> = (0..100).map(|digest| again.mark(1, digest, 1)).collect();
        assert_eq!(marks.iter().flatten().count(), 63);
        drop(marks);
        let last = Running::open(dir.path()).unwrap();
        assert_eq!((last.died(1).len(), last.died(2).len()), (0, 1));
    }

    #[test]
    fn more_than_can_run_are_not_remembered_and_nothing_breaks() {
        let dir = tempfile::tempdir().unwrap();
        let running = Running::open(dir.path()).unwrap();
        let marks: Vec<_> = (0..100).map(|digest| running.mark(1, digest, 1)).collect();
        assert_eq!(marks.iter().flatten().count(), 64);
        drop(marks);
        assert!(running.mark(1, 1, 1).is_some());
    }
}
