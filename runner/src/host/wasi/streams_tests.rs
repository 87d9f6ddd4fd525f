//! Streams as a guest uses them: the log's, a file's, and what none of them may do.

use super::super::testing::{host, host_with};
use super::*;
use crate::files::manifest::{FileEntry, Hosts};
use crate::host::wasi::{Files, Grant};

fn log(host: &Host) -> Output {
    host.push(OutputStream::Log(host.wasi().out.clone())).unwrap()
}

fn again<T: 'static>(handle: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(handle.rep())
}

/// The reader of a granted file with this content; the folder lasts as long as the test needs it.
async fn file(content: &[u8]) -> (Host, Input, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), content).unwrap();
    let files = Files::gather(folder.path(), &[FileEntry::Glob("a".into())], &[]).unwrap();
    let (host, _) = host_with(Grant { files, ..Grant::default() }, Hosts::default());
    let input = host.push(crate::host::wasi::filesystem::reader(&host, "a").await).unwrap();
    (host, input, folder)
}

#[tokio::test]
async fn what_a_guest_writes_becomes_lines_and_the_last_needs_no_end() {
    let (host, lines) = host_with(Grant::default(), Hosts::default());
    let output = log(&host);
    write(&host, &output, b"one\nt").unwrap().unwrap();
    blocking_write(host.clone(), (again(&output), b"wo\nthree".to_vec())).await.unwrap().0.ok();
    // Another handle writes to the same line.
    write(&host, &log(&host), b" and more").unwrap().unwrap();
    assert_eq!(lines.take(), ["Out: one", "Out: two"]);
    drop(host);
    assert_eq!(lines.take(), ["Out: three and more"]);
}

#[tokio::test]
async fn a_write_larger_than_permitted_ends_the_guest() {
    let host = host();
    let output = log(&host);
    assert_eq!(host.with(&output, |o| o.room().unwrap()).unwrap(), LOG_WRITE_BYTES_MAX);
    assert!(write(&host, &output, &vec![b'\n'; LOG_WRITE_BYTES_MAX]).unwrap().is_ok());
    assert!(write(&host, &output, &vec![b'\n'; LOG_WRITE_BYTES_MAX + 1]).is_err());
    assert!(zeroes(LOG_WRITE_BYTES_MAX as u64).is_ok());
    assert!(zeroes(LOG_WRITE_BYTES_MAX as u64 + 1).is_err());
    assert!(zeroes(u64::MAX).is_err());
}

#[tokio::test]
async fn a_blocking_write_may_be_larger_than_any_single_one() {
    let (host, lines) = host_with(Grant::default(), Hosts::default());
    let output = log(&host);
    let text = "x\n".repeat(LOG_WRITE_BYTES_MAX).into_bytes();
    assert!(blocking_write(host.clone(), (output, text)).await.unwrap().0.is_ok());
    // The log's own rate drops the rest.
    assert!(lines.take().len() >= 1_000);
}

#[tokio::test]
async fn nothing_comes_from_standard_input() {
    let host = host();
    let input = host.push(InputStream::Empty).unwrap();
    assert!(matches!(read(&host, &input, 10).unwrap(), Err(Ended::Closed)));
    let (read,) = blocking_read(host.clone(), (again(&input), 10)).await.unwrap();
    assert!(matches!(read, Err(StreamError::Closed)));
    let (skipped,) = blocking_skip(host.clone(), (input, 10)).await.unwrap();
    assert!(matches!(skipped, Err(StreamError::Closed)));
}

#[tokio::test]
async fn a_file_is_read_to_its_end_in_bounded_pieces() {
    let content: Vec<u8> = (0..READ_BYTES_MAX + 100).map(|i| i as u8).collect();
    let (host, input, _folder) = file(&content).await;
    assert_eq!(read(&host, &input, 0).unwrap().unwrap(), b"");
    assert_eq!(read(&host, &input, 10).unwrap().unwrap(), content[..10]);
    let (skipped,) = blocking_skip(host.clone(), (again(&input), 20)).await.unwrap();
    assert!(matches!(skipped, Ok(20)));
    let (most,) = blocking_read(host.clone(), (again(&input), u64::MAX)).await.unwrap();
    assert_eq!(most.ok().unwrap(), content[30..30 + READ_BYTES_MAX]);
    assert_eq!(read(&host, &input, u64::MAX).unwrap().unwrap(), content[30 + READ_BYTES_MAX..]);
    assert!(matches!(read(&host, &input, 1).unwrap(), Err(Ended::Closed)));
}

#[tokio::test]
async fn splicing_moves_bytes_from_one_stream_to_another() {
    let (host, input, _folder) = file(b"hello\nworld\n").await;
    let output = log(&host);
    let all = (again(&output), again(&input), 6);
    assert_eq!(splice(&host, &all).unwrap().unwrap(), 6);
    let rest = (again(&output), again(&input), u64::MAX);
    let (moved,) = blocking_splice(host.clone(), rest).await.unwrap();
    assert!(matches!(moved, Ok(6)));
    let (ended,) = blocking_splice(host.clone(), (output, input, 1)).await.unwrap();
    assert!(matches!(ended, Err(StreamError::Closed)));
}

#[test]
fn an_invocation_with_too_many_objects_ends() {
    let host = host();
    let mut streams = Vec::new();
    let error = loop {
        match host.push(InputStream::Empty) {
            Ok(stream) => streams.push(stream),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(streams.len(), crate::limits::engine::HOST_RESOURCES_MAX);
    assert!(error.contains("host objects"), "{error}");
}
