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

/// A place: an event's digest and which try this is; all zero if nothing runs there.
const PLACE_BYTES: usize = 16;

/// The file, and which of its places are taken.
pub(super) struct Running {
    file: File,
    taken: Mutex<u64>,
}

/// An event that runs, as long as this is not dropped.
pub(super) struct Mark<'a> {
    running: &'a Running,
    place: usize,
}

impl Running {
    /// The file that belongs to this state folder, and what ran when an earlier process died.
    pub(super) fn open(state_dir: &Path) -> io::Result<(Self, Vec<(u64, u32)>)> {
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
        let died = places.chunks_exact(PLACE_BYTES).filter_map(|place| {
            let (digest, rest) = place.split_first_chunk()?;
            let digest = u64::from_le_bytes(*digest);
            let attempt = u32::from_le_bytes(*rest.first_chunk()?);
            (attempt > 0).then_some((digest, attempt))
        });
        Ok((Self { file, taken: Mutex::new(0) }, died.collect()))
    }

    /// What was read is safe elsewhere.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.file.write_all_at(&[0; PLACE_BYTES * RUNNING_MAX], 0)
    }

    /// An event begins. Without a free place, or when the file cannot be written, it is not remembered.
    pub(super) fn mark(&self, digest: u64, attempt: u32) -> Option<Mark<'_>> {
        let place = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let place = taken.trailing_ones();
            *taken |= 1_u64.checked_shl(place)?;
            place as usize
        };
        let mark = Mark { running: self, place };
        self.write(place, digest, attempt).ok()?;
        Some(mark)
    }

    fn write(&self, place: usize, digest: u64, attempt: u32) -> io::Result<()> {
        let mut bytes = [0; PLACE_BYTES];
        bytes[..8].copy_from_slice(&digest.to_le_bytes());
        bytes[8..12].copy_from_slice(&attempt.to_le_bytes());
        self.file.write_all_at(&bytes, (place * PLACE_BYTES) as u64)
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        // If that fails, one event is thought to have been tried once more.
        let _ = self.running.write(self.place, 0, 0);
        let mut taken = self.running.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken &= !(1 << self.place);
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
        let (running, died) = Running::open(dir.path()).unwrap();
        assert!(died.is_empty());
        let first = running.mark(7, 1).unwrap();
        let second = running.mark(8, 3).unwrap();
        drop(first);
        // As if it had been killed.
        std::mem::forget(second);
        let (again, died) = Running::open(dir.path()).unwrap();
        assert_eq!(died, [(8, 3)]);
        again.clear().unwrap();
        assert!(Running::open(dir.path()).unwrap().1.is_empty());
    }

    #[test]
    fn more_than_can_run_are_not_remembered_and_nothing_breaks() {
        let dir = tempfile::tempdir().unwrap();
        let (running, _) = Running::open(dir.path()).unwrap();
        let marks: Vec<_> = (0..100).map(|digest| running.mark(digest, 1)).collect();
        assert_eq!(marks.iter().flatten().count(), 64);
        drop(marks);
        assert!(running.mark(1, 1).is_some());
    }
}
