//! Descriptors as a guest uses them: reading, asking, and being refused.

use std::fs;
use std::os::unix::fs::symlink;

use super::super::reader::FileReader;
use super::*;
use crate::files::manifest::FileEntry;
use crate::host::wasi::Files;
use crate::limits::wasi::FILES_OPEN_MAX;

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

/// Runs what may have to wait for a disk.
fn done<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// One read, and whether it found the end.
fn read(descriptor: &Descriptor, len: u64, offset: u64) -> Result<Vec<u8>> {
    let bytes = done(descriptor.file()?.read(len, offset, &Slots::default()));
    bytes.map_err(|error| ErrorCode::from(&error))
}

impl App {
    fn open(&self, path: &str) -> Result<Descriptor> {
        self.open_for(path, OpenFlags::empty(), DescriptorFlags::READ)
    }

    fn open_for(&self, path: &str, open: OpenFlags, wanted: DescriptorFlags) -> Result<Descriptor> {
        let node = self.root.find(path, open, wanted)?;
        done(Descriptor::open(node, &self.slots))
    }

    fn see(&self, path: &str) -> Result<Seen> {
        done(Seen::of(self.root.resolve(path)?, &self.slots))
    }
}

#[test]
fn a_granted_file_is_read_anywhere() {
    let app = app();
    let file = app.open("./d/../a.txt").unwrap();
    for (len, offset, expected) in [
        (7, 0, &b"content"[..]),
        (100, 8, b"of a"),
        (100, 12, b""),
        (0, 0, b""),
        (1, u64::MAX, b""),
        (1, i64::MAX as u64, b""),
    ] {
        assert_eq!(read(&file, len, offset), Ok(expected.to_vec()), "{len} at {offset}");
        // What the disk's threads read is the same.
        if len > 0 && offset < i64::MAX as u64 {
            let from_disk = file.file().unwrap().read_from_disk(len as usize, offset).unwrap();
            assert_eq!(from_disk, expected, "{len} at {offset}");
        }
    }
    assert_eq!(file.kind(), DescriptorType::RegularFile);
    assert_eq!(file.stat().unwrap().size, 12);
}

#[test]
fn one_read_gives_no_more_than_the_cap() {
    let app = app();
    fs::write(app.folder.path().join("a.txt"), vec![7; READ_BYTES_MAX * 2]).unwrap();
    let file = app.open("a.txt").unwrap();
    assert_eq!(read(&file, u64::MAX, 0).unwrap().len(), READ_BYTES_MAX);
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
    assert!(matches!(read(&d, 1, 0), Err(ErrorCode::IsDirectory)));
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
    assert_eq!(app.see("a.txt").err(), Some(ErrorCode::NotPermitted));
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
    assert_eq!(open("a.txt").hash(), app.see("a.txt").map(|seen| seen.hash()));
    assert_eq!(open("d").hash(), app.see("d/.").map(|seen| seen.hash()));
    assert_ne!(
        app.see("d/b.txt").map(|seen| seen.hash()),
        app.see("d/c.txt").map(|seen| seen.hash())
    );
    assert_ne!(app.see("d").map(|seen| seen.hash()), app.see(".").map(|seen| seen.hash()));
}

#[test]
fn files_open_at_the_same_time_are_capped_for_the_whole_component() {
    let app = app();
    let mut open: Vec<_> = (0..FILES_OPEN_MAX).map(|_| app.open("a.txt").unwrap()).collect();
    assert_eq!(app.open("a.txt").err(), Some(ErrorCode::Quota));
    // A stream keeps its file open after the descriptor is gone.
    let file = open.pop().unwrap().file().unwrap();
    let reader = FileReader::new(file, 0, app.slots.clone());
    assert_eq!(app.open("a.txt").err(), Some(ErrorCode::Quota));
    drop(reader);
    assert!(app.open("a.txt").is_ok());
}

#[test]
fn a_link_that_took_a_folders_place_after_the_start_leads_nowhere() {
    let app = app();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("b.txt"), "secret").unwrap();
    fs::rename(app.folder.path().join("d"), outside.path().join("moved")).unwrap();
    symlink(outside.path(), app.folder.path().join("d")).unwrap();
    assert_eq!(app.open("d/b.txt").err(), Some(ErrorCode::NotPermitted));
    assert_eq!(app.see("d/b.txt").err(), Some(ErrorCode::NotPermitted));
}

#[test]
fn a_pipe_is_not_even_opened_so_that_nobody_at_its_other_end_notices() {
    let app = app();
    let at = app.folder.path().join("a.txt");
    fs::remove_file(&at).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let (opened, noticed) = std::sync::mpsc::channel();
    // Opening a pipe to write waits for a reader.
    let writer = std::thread::spawn({
        let at = at.clone();
        move || opened.send(fs::OpenOptions::new().write(true).open(at).is_ok()).unwrap()
    });
    for _ in 0..50 {
        assert_eq!(app.open("a.txt").err(), Some(ErrorCode::NotPermitted));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(noticed.try_recv().is_err(), "somebody opened the pipe");
    drop(fs::File::open(&at).unwrap());
    writer.join().unwrap();
    assert!(noticed.recv().unwrap());
}

#[test]
fn a_file_larger_than_any_memory_is_read_where_the_guest_asks() {
    let app = app();
    let size = 1 << 40;
    let large = fs::File::create(app.folder.path().join("a.txt")).unwrap();
    large.set_len(size).unwrap();
    large.write_all_at(b"end", size - 3).unwrap();
    let file = app.open("a.txt").unwrap();
    assert_eq!(file.stat().unwrap().size, size);
    assert_eq!(read(&file, 100, size - 3), Ok(b"end".to_vec()));
    assert_eq!(read(&file, u64::MAX, 0).unwrap().len(), READ_BYTES_MAX);
}

#[test]
fn what_is_not_in_memory_is_read_by_the_disks_threads_and_the_same() {
    let app = app();
    let content: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let path = app.folder.path().join("a.txt");
    fs::write(&path, &content).unwrap();
    let file = app.open("a.txt").unwrap();
    let written = fs::File::open(&path).unwrap();
    written.sync_all().unwrap();
    // Asks the kernel to forget the pages; where it does not, they are read from memory.
    let _ = rustix::fs::fadvise(&written, 0, None, rustix::fs::Advice::DontNeed);
    let mut seen = Vec::new();
    while seen.len() < content.len() {
        let bytes = read(&file, u64::MAX, seen.len() as u64).unwrap();
        assert!(!bytes.is_empty());
        seen.extend(bytes);
    }
    assert!(seen == content);
}
