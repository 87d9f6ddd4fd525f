//! Compiled code in a file of our own. What is mapped must stay what it was when its digest was taken: a file
//! of the app can be written over in place (`scp` does that), and then a running guest reads other code, or
//! finds none and the kernel ends the whole process.
//!
//! So code is copied once, into the state folder under its digest, where nobody writes; the next start
//! takes it from there, after its digest was checked again. (That is also why a copy needs no fsync: one that a power cut
//! left half is made anew.) Where there is no such folder, or none that code may
//! be run from, the copy is in memory, sealed: it costs its size, and is made anew at each start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{MemfdFlags, OFlags, SealFlags, StatVfsMountFlags};

use super::artifact::{ArtifactError, altered, digest};

/// Where private copies are, if they are kept at all.
#[derive(Debug)]
pub struct Private {
    folder: PathBuf,
    /// New copies are kept there too.
    writes: bool,
    /// Copies whose digest was taken by this process, each as it was then: it need not be taken again.
    checked: Mutex<BTreeMap<String, Stamp>>,
}

/// Tells a file that was touched from one that was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// When its content or its rights changed last: nobody can set this.
    changed: (i64, i64),
}

impl Stamp {
    /// Of this file, now.
    pub fn of(about: &fs::Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            bytes: about.size(),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }

    /// The file's size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Private {
    /// Copies are kept in this state folder.
    pub fn kept_in(state_dir: &Path) -> Self {
        Self { folder: state_dir.join("code"), writes: true, checked: Mutex::default() }
    }

    /// What is there is used, and nothing is written: new copies are in memory.
    pub fn looked_up_in(state_dir: &Path) -> Self {
        Self { writes: false, ..Self::kept_in(state_dir) }
    }

    /// The code of this digest, from the app's file if it was not copied before. Nobody changes what this
    /// descriptor shows, and its digest was taken through this very descriptor.
    pub fn open(&self, path: &Path, sha256: &str) -> Result<File, ArtifactError> {
        let name = format!("{sha256}.cwasm");
        let file = match self.copied(&self.folder.join(&name), sha256) {
            Some(file) => Some(file),
            None if self.writes => copy(path, sha256, &self.folder, &name)?,
            None => None,
        };
        match file.filter(may_run) {
            Some(file) => {
                if let Ok(about) = file.metadata() {
                    self.checked().insert(sha256.to_owned(), Stamp::of(&about));
                }
                Ok(file)
            }
            None => in_memory(path, sha256),
        }
    }

    /// Removes copies of code but these, by their digests. Those who run it go on: it is gone with the last of them.
    pub fn keep_only(&self, digests: &BTreeSet<&str>) {
        let Some(listed) = fs::read_dir(&self.folder).ok().filter(|_| self.writes) else { return };
        self.checked().retain(|digest, _| digests.contains(&**digest));
        for entry in listed.flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(".cwasm"));
            if !digest.is_some_and(|digest| digests.contains(digest)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// A copy that was made before, if it is what its name says.
    fn copied(&self, path: &Path, sha256: &str) -> Option<File> {
        let nofollow = i32::try_from(OFlags::NOFOLLOW.bits()).ok()?;
        let mut file = OpenOptions::new().read(true).custom_flags(nofollow).open(path).ok()?;
        let about = file.metadata().ok()?;
        let is_ours = about.is_file() && about.permissions().mode() & 0o222 == 0;
        let known = || self.checked().get(sha256) == Some(&Stamp::of(&about));
        let is_it = is_ours && (known() || digest(&mut file).is_ok_and(|found| found == sha256));
        is_it.then_some(file)
    }

    fn checked(&self) -> MutexGuard<'_, BTreeMap<String, Stamp>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a copy that is there whole or not at all, also after a power cut; `None` if the folder does not take it.
fn copy(
    path: &Path,
    sha256: &str,
    folder: &Path,
    name: &str,
) -> Result<Option<File>, ArtifactError> {
    let mut source = open(path)?;
    let temporary = folder.join(format!(".{sha256}.{}", std::process::id()));
    let mut written = || -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let _ = fs::remove_file(&temporary);
        let mut copy =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        io::copy(&mut source, &mut copy)?;
        copy.set_permissions(Permissions::from_mode(0o400))?;
        drop(copy);
        File::open(&temporary)
    };
    let Ok(mut file) = written() else {
        let _ = fs::remove_file(&temporary);
        return Ok(None);
    };
    let checked = check(path, &mut file, sha256);
    if checked.is_err() || publish(&temporary, folder, name).is_err() {
        let _ = fs::remove_file(&temporary);
    }
    checked.map(|()| Some(file))
}

fn publish(temporary: &Path, folder: &Path, name: &str) -> io::Result<()> {
    fs::rename(temporary, folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// A copy in memory that not even we can change any more.
fn in_memory(path: &Path, sha256: &str) -> Result<File, ArtifactError> {
    let mut source = open(path)?;
    let mut sealed = || -> io::Result<File> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut copy = File::from(rustix::fs::memfd_create("pirn-code", flags)?);
        io::copy(&mut source, &mut copy)?;
        copy.flush()?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&copy, seals)?;
        copy.rewind()?;
        Ok(copy)
    };
    let mut file = sealed().map_err(|error| unreadable(path, error))?;
    check(path, &mut file, sha256)?;
    Ok(file)
}

fn open(path: &Path) -> Result<File, ArtifactError> {
    File::open(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: io::Error) -> ArtifactError {
    ArtifactError::Unreadable { path: path.display().to_string(), error }
}

/// Compares a copy of `path` with the digest that it should have.
fn check(path: &Path, copy: &mut File, sha256: &str) -> Result<(), ArtifactError> {
    let found = digest(copy).map_err(|error| unreadable(path, error))?;
    match found == sha256 {
        true => Ok(()),
        false => Err(altered(path, &found, sha256)),
    }
}

/// Whether code may be run from where this file is: state folders are often mounted so that it may not.
fn may_run(file: &File) -> bool {
    let about = rustix::fs::fstatvfs(file);
    about.is_ok_and(|about| !about.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const SHA_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn scene() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let code = folder.path().join("code.cwasm");
        fs::write(&code, b"abc").unwrap();
        (folder, code)
    }

    fn text(mut file: File) -> String {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    fn kept(state: &Path) -> Vec<String> {
        let listed = fs::read_dir(state.join("code")).unwrap();
        listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_is_opened_stays_what_it_was_when_the_file_is_written_over() {
        for kept in [true, false] {
            let (folder, code) = scene();
            let private = match kept {
                true => Private::kept_in(folder.path()),
                false => Private::looked_up_in(folder.path()),
            };
            let file = private.open(&code, SHA_OF_ABC).unwrap();
            fs::write(&code, b"x").unwrap();
            assert_eq!(text(file), "abc");
        }
    }

    #[test]
    fn a_copy_is_made_once_and_nobody_may_write_to_it() {
        let (folder, code) = scene();
        Private::kept_in(folder.path()).open(&code, SHA_OF_ABC).unwrap();
        assert_eq!(kept(folder.path()), [format!("{SHA_OF_ABC}.cwasm")]);
        let copy = folder.path().join("code").join(format!("{SHA_OF_ABC}.cwasm"));
        assert_eq!(fs::metadata(copy).unwrap().permissions().mode() & 0o777, 0o400);
        // The app's own file is not even needed any more.
        fs::remove_file(&code).unwrap();
        let file = Private::kept_in(folder.path()).open(&code, SHA_OF_ABC).unwrap();
        assert_eq!(text(file), "abc");
        // Who only looks finds it too.
        let file = Private::looked_up_in(folder.path()).open(&code, SHA_OF_ABC).unwrap();
        assert_eq!(text(file), "abc");
    }

    #[test]
    fn who_only_looks_writes_nothing() {
        let (folder, code) = scene();
        Private::looked_up_in(folder.path()).open(&code, SHA_OF_ABC).unwrap();
        assert!(!folder.path().join("code").exists());
    }

    #[test]
    fn a_copy_that_is_not_what_its_name_says_is_made_again() {
        let (folder, code) = scene();
        let copy = folder.path().join("code").join(format!("{SHA_OF_ABC}.cwasm"));
        fs::create_dir(folder.path().join("code")).unwrap();
        fs::write(&copy, b"abd").unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o400)).unwrap();
        let file = Private::kept_in(folder.path()).open(&code, SHA_OF_ABC).unwrap();
        assert_eq!(text(file), "abc");
        assert_eq!(fs::read(copy).unwrap(), b"abc");
    }

    #[test]
    fn a_copy_that_was_touched_is_looked_at_again() {
        let (folder, code) = scene();
        let private = Private::kept_in(folder.path());
        private.open(&code, SHA_OF_ABC).unwrap();
        let copy = folder.path().join("code").join(format!("{SHA_OF_ABC}.cwasm"));
        fs::set_permissions(&copy, Permissions::from_mode(0o600)).unwrap();
        fs::write(&copy, b"abd").unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o400)).unwrap();
        assert_eq!(text(private.open(&code, SHA_OF_ABC).unwrap()), "abc");
    }

    #[test]
    fn an_altered_file_is_refused_and_leaves_no_copy() {
        let (folder, code) = scene();
        fs::write(&code, b"abd").unwrap();
        for private in [Private::kept_in(folder.path()), Private::looked_up_in(folder.path())] {
            let error = private.open(&code, SHA_OF_ABC).unwrap_err().to_string();
            assert!(error.contains("altered") && error.contains("code.cwasm"), "{error}");
        }
        assert!(kept(folder.path()).is_empty());
    }

    #[test]
    fn where_no_folder_can_be_made_the_copy_is_in_sealed_memory() {
        let (folder, code) = scene();
        let no_folder = folder.path().join("code.cwasm");
        let file = Private::kept_in(&no_folder).open(&code, SHA_OF_ABC).unwrap();
        assert!((&file).write_all(b"x").is_err(), "it was not sealed");
        assert_eq!(text(file), "abc");
    }

    #[test]
    fn code_that_the_app_no_longer_has_is_removed() {
        let (folder, code) = scene();
        fs::create_dir(folder.path().join("code")).unwrap();
        fs::write(folder.path().join("code/old.cwasm"), b"old").unwrap();
        let private = Private::kept_in(folder.path());
        private.open(&code, SHA_OF_ABC).unwrap();
        private.keep_only(&BTreeSet::from([SHA_OF_ABC]));
        assert_eq!(kept(folder.path()), [format!("{SHA_OF_ABC}.cwasm")]);
    }
}
