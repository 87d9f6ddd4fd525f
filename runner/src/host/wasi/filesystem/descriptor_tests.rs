//! Descriptors as a guest uses them: reading, asking, and being refused.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::host::wasi::Files;
use crate::limits::wasi::FILES_OPEN_MAX;
use crate::manifest::FileEntry;

struct App {
    folder: tempfile::TempDir,
    root: Descriptor,
    slots: Slots,
}

/// An app with `a.txt`, `d/b.txt` and `d/c.txt`, all granted.
fn app() -> App {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("d")).unwrap();
    for (path, content) in [("a.txt", "content of a"), ("d/b.txt", "b"), ("d/c.txt", "")] {
        fs::write(folder.path().join(path), content).unwrap();
    }
    let files = Files::gather(folder.path(), &[FileEntry::Glob("**/*".into())], &[]).unwrap();
    let root = Descriptor::Directory(files.root());
    App { folder, root, slots: Slots::default() }
}

impl App {
    fn open(&self, path: &str) -> Result<Descriptor> {
        self.open_for(path, OpenFlags::empty(), DescriptorFlags::READ)
    }

    fn open_for(&self, path: &str, open: OpenFlags, wanted: DescriptorFlags) -> Result<Descriptor> {
        self.root.open_at(path, open, wanted, &self.slots)
    }
}

#[test]
fn a_granted_file_is_read_anywhere() {
    let app = app();
    let file = app.open("./d/../a.txt").unwrap();
    assert_eq!(file.read(7, 0), Ok((b"content".to_vec(), false)));
    assert_eq!(file.read(100, 8), Ok((b"of a".to_vec(), false)));
    assert_eq!(file.read(100, 12), Ok((Vec::new(), true)));
    assert_eq!(file.read(0, 0), Ok((Vec::new(), false)));
    assert_eq!(file.read(1, u64::MAX), Ok((Vec::new(), true)));
    assert_eq!(file.kind(), DescriptorType::RegularFile);
    assert_eq!(file.stat().unwrap().size, 12);
}

#[test]
fn one_read_gives_no_more_than_the_cap() {
    let app = app();
    fs::write(app.folder.path().join("a.txt"), vec![7; READ_BYTES_MAX * 2]).unwrap();
    let file = app.open("a.txt").unwrap();
    assert_eq!(file.read(u64::MAX, 0).unwrap().0.len(), READ_BYTES_MAX);
}

#[test]
fn a_folder_lists_what_is_granted_in_it() {
    let app = app();
    let list = |descriptor: &Descriptor| {
        let entries = descriptor.entries().unwrap();
        entries.into_iter().map(|entry| (entry.name, entry.kind)).collect::<Vec<_>>()
    };
    let (file, folder) = (DescriptorType::RegularFile, DescriptorType::Directory);
    assert_eq!(list(&app.root), [("a.txt".into(), file), ("d".into(), folder)]);
    let d = app.open("d").unwrap();
    assert_eq!(list(&d), [("b.txt".into(), file), ("c.txt".into(), file)]);
    assert_eq!(d.stat().unwrap().kind, folder);
    assert!(matches!(d.read(1, 0), Err(ErrorCode::IsDirectory)));
    assert!(matches!(app.open("a.txt").unwrap().entries(), Err(ErrorCode::NotDirectory)));
}

#[test]
fn opening_to_change_anything_is_refused() {
    let app = app();
    let (none, read) = (OpenFlags::empty(), DescriptorFlags::READ);
    let write = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let exclusive = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    for (path, open, wanted, expected) in [
        ("a.txt", none, write, ErrorCode::ReadOnly),
        ("a.txt", OpenFlags::TRUNCATE, read, ErrorCode::ReadOnly),
        ("a.txt", OpenFlags::CREATE, write, ErrorCode::ReadOnly),
        ("a.txt", exclusive, write, ErrorCode::Exist),
        ("new", OpenFlags::CREATE, write, ErrorCode::ReadOnly),
        ("new", none, write, ErrorCode::NoEntry),
        ("d", none, DescriptorFlags::MUTATE_DIRECTORY, ErrorCode::ReadOnly),
        ("a.txt", OpenFlags::DIRECTORY, read, ErrorCode::NotDirectory),
        ("../a.txt", OpenFlags::CREATE, write, ErrorCode::NotPermitted),
    ] {
        let refused = app.open_for(path, open, wanted).err();
        assert_eq!(refused, Some(expected), "{path} {open:?} {wanted:?}");
    }
}

#[test]
fn what_took_a_files_place_after_the_start_is_not_opened() {
    let app = app();
    let at = |path: &str| app.folder.path().join(path);
    fs::remove_file(at("a.txt")).unwrap();
    assert_eq!(app.open("a.txt").err(), Some(ErrorCode::NoEntry));
    symlink("/etc/passwd", at("a.txt")).unwrap();
    assert_eq!(app.open("a.txt").err(), Some(ErrorCode::NotPermitted));
    assert_eq!(app.root.stat_at("a.txt").err(), Some(ErrorCode::NotPermitted));
    fs::remove_file(at("a.txt")).unwrap();
    fs::create_dir(at("a.txt")).unwrap();
    assert_eq!(app.open("a.txt").err(), Some(ErrorCode::NotPermitted));
    fs::remove_dir(at("a.txt")).unwrap();
    // A pipe that nobody writes to would block whoever opens it.
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, at("a.txt"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_eq!(app.open("a.txt").err(), Some(ErrorCode::NotPermitted));
}

#[test]
fn objects_are_told_apart() {
    let app = app();
    let open = |path| app.open(path).unwrap();
    assert!(open("a.txt").identity() == open("d/../a.txt").identity());
    assert!(open("a.txt").identity() != open("d/b.txt").identity());
    assert!(open("d").identity() != app.root.identity());
    assert_eq!(open("a.txt").hash(), app.root.hash_at("a.txt"));
    assert_eq!(open("d").hash(), app.root.hash_at("d/."));
    assert_ne!(app.root.hash_at("d/b.txt"), app.root.hash_at("d/c.txt"));
    assert_ne!(app.root.hash_at("d"), app.root.hash_at("."));
}

#[test]
fn files_open_at_the_same_time_are_capped_for_the_whole_component() {
    let app = app();
    let mut open: Vec<_> = (0..FILES_OPEN_MAX).map(|_| app.open("a.txt").unwrap()).collect();
    assert_eq!(app.open("a.txt").err(), Some(ErrorCode::Quota));
    // A stream keeps its file open after the descriptor is gone.
    let reader = open.pop().unwrap().reader(0).unwrap();
    assert_eq!(app.open("a.txt").err(), Some(ErrorCode::Quota));
    drop(reader);
    assert!(app.open("a.txt").is_ok());
}
