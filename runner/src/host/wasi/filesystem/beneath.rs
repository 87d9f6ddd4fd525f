//! Opens what was granted: beneath the app's folder, through no symbolic link, and only if it is a
//! regular file, whatever became of the folder since the app started.
//!
//! The folder is held open, so that nobody can put another in its place. Below it the kernel itself
//! keeps to the rules (`openat2`, Linux 5.6); where it does not know how, or a sandbox around us
//! forbids the call, we go from folder to folder and follow no link, which comes to the same. Hard
//! links look like any file: who may make them in the app's folder may as well copy.
//!
//! What is opened to be read was looked at first: opening a device or a pipe can have effects of its own.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::types::ErrorCode;

/// The app's folder, open for as long as anything granted in it.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// A granted file: where it is below the app's folder.
#[derive(Debug)]
pub(super) struct HostFile {
    folder: Arc<Folder>,
    path: PathBuf,
}

/// How long a look-up may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// No longer than it takes in memory; `would-block` if the disk must be asked.
    Memory,
    /// As long as the disk takes. Never on the loop's thread.
    Disk,
}

const TO_READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, path, flags, Mode::empty())?))
    }

    fn opened(&self, path: &Path, flags: OFlags, patience: Patience) -> Result<OwnedFd, Errno> {
        match (self.by_the_kernel(path, flags, patience), patience) {
            // Not known (Linux before 5.6, for the cache before 5.12), or forbidden.
            (Err(Errno::NOSYS | Errno::INVAL | Errno::PERM), Patience::Memory) => Err(Errno::AGAIN),
            (Err(Errno::NOSYS | Errno::INVAL | Errno::PERM), Patience::Disk) => {
                self.step_by_step(path, flags)
            }
            (opened, _) => opened,
        }
    }

    fn by_the_kernel(
        &self,
        path: &Path,
        flags: OFlags,
        patience: Patience,
    ) -> Result<OwnedFd, Errno> {
        let rules = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let rules = match patience {
            Patience::Memory => rules | ResolveFlags::CACHED,
            Patience::Disk => rules,
        };
        openat2(&self.0, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), rules)
    }

    fn step_by_step(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut names = path.components().peekable();
        let mut here: Option<OwnedFd> = None;
        while let Some(Component::Normal(name)) = names.next() {
            let from = here.as_ref().unwrap_or(&self.0).as_fd();
            if names.peek().is_some() {
                here = Some(openat(from, name, on_the_way, Mode::empty())?);
                continue;
            }
            let fd = openat(from, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            return Ok(fd);
        }
        // Something else than names: none of our paths has that.
        Err(Errno::XDEV)
    }
}

impl HostFile {
    /// `path` is relative, and made of names only.
    pub(super) fn new(folder: &Arc<Folder>, path: PathBuf) -> Self {
        Self { folder: Arc::clone(folder), path }
    }

    /// Where it is below the app's folder.
    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file is now, if it still is a regular one.
    pub(super) fn look(&self, patience: Patience) -> Result<Metadata, ErrorCode> {
        Ok(self.opened(OFlags::PATH, patience)?.1)
    }

    /// Opens the file to be read.
    pub(super) fn open(&self, patience: Patience) -> Result<(File, Metadata), ErrorCode> {
        self.look(patience)?;
        self.opened(TO_READ, patience)
    }

    fn opened(&self, flags: OFlags, patience: Patience) -> Result<(File, Metadata), ErrorCode> {
        let fd = self.folder.opened(&self.path, flags, patience);
        let file = File::from(fd.map_err(|error| ErrorCode::from(&io::Error::from(error)))?);
        let metadata = file.metadata().map_err(|error| ErrorCode::from(&error))?;
        match metadata.is_file() {
            true => Ok((file, metadata)),
            false => Err(ErrorCode::NotPermitted),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// An app's folder `app` with `d/e/file`, and the same path with a secret beside it.
    fn outer() -> tempfile::TempDir {
        let outer = tempfile::tempdir().unwrap();
        for (folder, content) in [("app", "granted"), ("elsewhere", "secret")] {
            fs::create_dir_all(outer.path().join(folder).join("d/e")).unwrap();
            fs::write(outer.path().join(folder).join("d/e/file"), content).unwrap();
        }
        outer
    }

    fn content(opened: Result<OwnedFd, Errno>) -> Result<String, Errno> {
        let mut text = String::new();
        io::Read::read_to_string(&mut File::from(opened?), &mut text).unwrap();
        Ok(text)
    }

    /// What both ways make of the granted file; they must agree.
    fn both(folder: &Folder) -> Result<String, ErrorCode> {
        let path = Path::new("d/e/file");
        let kernel = content(folder.by_the_kernel(path, TO_READ, Patience::Disk));
        let steps = content(folder.step_by_step(path, TO_READ));
        let code = |error: Errno| ErrorCode::from(&io::Error::from(error));
        let (kernel, steps) = (kernel.map_err(code), steps.map_err(code));
        assert_eq!(kernel, steps);
        kernel
    }

    #[test]
    fn both_ways_find_what_is_there() {
        let outer = outer();
        let folder = Folder::open(&outer.path().join("app")).unwrap();
        assert_eq!(both(&folder), Ok("granted".into()));
    }

    #[test]
    fn neither_way_follows_a_link_at_any_step() {
        for swapped in ["d", "d/e", "d/e/file"] {
            let outer = outer();
            let folder = Folder::open(&outer.path().join("app")).unwrap();
            let at = outer.path().join("app").join(swapped);
            fs::rename(&at, outer.path().join("moved")).unwrap();
            symlink(outer.path().join("elsewhere").join(swapped), &at).unwrap();
            assert_eq!(both(&folder), Err(ErrorCode::NotPermitted), "{swapped}");
        }
    }

    #[test]
    fn another_folder_in_the_place_of_the_apps_is_not_looked_into() {
        let outer = outer();
        let folder = Folder::open(&outer.path().join("app")).unwrap();
        fs::rename(outer.path().join("app"), outer.path().join("moved")).unwrap();
        symlink(outer.path().join("elsewhere"), outer.path().join("app")).unwrap();
        assert_eq!(both(&folder), Ok("granted".into()));
    }

    #[test]
    fn a_path_that_is_not_made_of_names_leads_nowhere() {
        let outer = outer();
        let folder = Folder::open(&outer.path().join("app")).unwrap();
        for path in ["../elsewhere/d/e/file", "d/../../elsewhere/d/e/file", "/etc/passwd", ""] {
            let path = Path::new(path);
            assert!(folder.by_the_kernel(path, TO_READ, Patience::Disk).is_err(), "{path:?}");
            assert!(folder.step_by_step(path, TO_READ).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_kernel_that_does_not_know_the_call_is_asked_step_by_step() {
        let outer = outer();
        let folder = Folder::open(&outer.path().join("app")).unwrap();
        // The kernel says EINVAL to a flag that it does not know; `O_PATH` with `O_NONBLOCK` is such.
        let odd = OFlags::PATH | OFlags::NONBLOCK;
        let path = Path::new("d/e/file");
        assert!(matches!(
            folder.by_the_kernel(path, odd, Patience::Disk),
            Err(Errno::INVAL | Errno::NOSYS)
        ));
        assert!(folder.opened(path, odd, Patience::Disk).is_ok());
        let in_memory = folder.opened(path, odd, Patience::Memory);
        assert!(matches!(in_memory, Err(Errno::AGAIN)));
    }
}
