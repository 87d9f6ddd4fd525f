//! `wasi:filesystem`: the files that the manifest grants, read-only, in one tree at `/`.
//!
//! The tree is made when the app starts, and a guest's path is looked up in it alone: no part of a
//! path that a guest writes ever reaches the kernel. The guest sees folders and regular files;
//! symbolic links were followed once, by us, within the app's folder. What became of that folder since
//! may be hostile too (whoever uploads files to it may swap them): see `beneath`.

mod beneath;
mod descriptor;
mod disk;
mod gather;
mod reader;
mod refused;
mod tree;
mod types;

use std::sync::Arc;

use wasmtime::component::Resource;

pub use gather::FilesError;
pub use tree::Files;

use self::descriptor::{Descriptor, OpenFile, Seen};
use self::types::{Advice, DirectoryEntry, ErrorCode};
use super::streams::{InputStream, IoError, Origin};
use super::{Door, Host, Interface, interface};
use crate::engine::door::{Answer, Twin};

pub(super) use reader::FileReader;

type Handle = Resource<Descriptor>;
type Of<T> = Answer<(Result<T, ErrorCode>,)>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    interface(door, "filesystem/preopens")?.at_once("get-directories", preopens)?;
    let mut types = interface(door, "filesystem/types")?;
    types.resource::<Descriptor>("descriptor")?;
    offer_reading(&mut types)?;
    offer_questions(&mut types)?;
    refused::offer(&mut types)?;
    types.at_once("filesystem-error-code", |host, (error,): (Resource<IoError>,)| {
        let code = |e: &mut IoError| (e.origin == Origin::File).then(|| ErrorCode::from(&e.error));
        Ok((host.with(&error, code)?,))
    })
}

fn preopens(host: &Host, (): ()) -> Answer<(Vec<(Handle, String)>,)> {
    let files = &host.wasi_grant().files;
    if files.is_empty() {
        return Ok((Vec::new(),));
    }
    let root = host.push(Descriptor::Directory(files.root()))?;
    Ok((vec![(root, "/".to_string())],))
}

fn offer_reading(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<Entries>("directory-entry-stream")?;
    types.at_once(
        "[method]directory-entry-stream.read-directory-entry",
        |host, (entries,): (Resource<Entries>,)| {
            Ok((host.with(&entries, |e| Ok::<_, ErrorCode>(e.0.next()))?,))
        },
    )?;
    types.at_once("[method]descriptor.read-directory", |host, (handle,): (Handle,)| {
        Ok((match host.with(&handle, |d| d.entries())? {
            Ok(entries) => Ok(host.push(Entries(entries.into_iter()))?),
            Err(error) => Err(error),
        },))
    })?;
    types.waiting(Twin::Sync, "[method]descriptor.open-at", open_at)?;
    types.waiting(Twin::Sync, "[method]descriptor.read", read)?;
    types.at_once("[method]descriptor.read-via-stream", |host, (handle, offset): (Handle, u64)| {
        Ok((match host.with(&handle, |d| d.file())? {
            Ok(file) => Ok(host.push(InputStream::File(stream(host, file, offset)))?),
            Err(error) => Err(error),
        },))
    })
}

fn stream(host: &Host, file: Arc<OpenFile>, offset: u64) -> FileReader {
    FileReader::new(file, offset, host.wasi_grant().slots.clone())
}

/// Dropped half-way, what is being opened is closed again.
async fn open_at(host: Host, (handle, _, path, open, wanted): OpenAt) -> Of<Handle> {
    let node = match host.with(&handle, |d| d.find(&path, open, wanted))? {
        Ok(node) => node,
        Err(error) => return Ok((Err(error),)),
    };
    Ok((match Descriptor::open(node, &host.wasi_grant().slots).await {
        Ok(descriptor) => Ok(host.push(descriptor)?),
        Err(error) => Err(error),
    },))
}

/// Bytes at an offset, and whether the file ends there.
async fn read(host: Host, (handle, len, offset): (Handle, u64, u64)) -> Of<(Vec<u8>, bool)> {
    let file = match host.with(&handle, |d| d.file())? {
        Ok(file) => file,
        Err(error) => return Ok((Err(error),)),
    };
    let bytes = file.read(len, offset, &host.wasi_grant().slots).await;
    Ok((match bytes {
        Ok(bytes) => {
            let ended = bytes.is_empty() && len > 0;
            Ok((bytes, ended))
        }
        Err(error) => Err(ErrorCode::from(&error)),
    },))
}

/// What is behind a path, for those that only ask.
async fn see(host: &Host, handle: &Handle, path: &str) -> Answer<Result<Seen, ErrorCode>> {
    match host.with(handle, |d| d.resolve(path))? {
        Ok(node) => Ok(Seen::of(node, &host.wasi_grant().slots).await),
        Err(error) => Ok(Err(error)),
    }
}

type OpenAt = (Handle, types::PathFlags, String, types::OpenFlags, types::DescriptorFlags);

/// `resource directory-entry-stream`
struct Entries(std::vec::IntoIter<DirectoryEntry>);

fn offer_questions(types: &mut Interface<'_>) -> Answer<()> {
    types.at_once("[method]descriptor.stat", |host, (handle,): (Handle,)| {
        Ok((host.with(&handle, |d| d.stat())?,))
    })?;
    types.waiting(
        Twin::Sync,
        "[method]descriptor.stat-at",
        |host, (handle, _, path): At| async move {
            Ok((see(&host, &handle, &path).await?.map(|seen| seen.stat()),))
        },
    )?;
    types.at_once("[method]descriptor.metadata-hash", |host, (handle,): (Handle,)| {
        Ok((host.with(&handle, |d| d.hash())?,))
    })?;
    types.waiting(
        Twin::Sync,
        "[method]descriptor.metadata-hash-at",
        |host, (handle, _, path): At| async move {
            Ok((see(&host, &handle, &path).await?.map(|seen| seen.hash()),))
        },
    )?;
    types.at_once("[method]descriptor.is-same-object", is_same_object)?;
    types.at_once("[method]descriptor.get-flags", |host, (handle,): (Handle,)| {
        host.with(&handle, |_| (Ok::<_, ErrorCode>(types::DescriptorFlags::READ),))
    })?;
    types.at_once("[method]descriptor.get-type", |host, (handle,): (Handle,)| {
        Ok((host.with(&handle, |d| Ok::<_, ErrorCode>(d.kind()))?,))
    })?;
    // There are no links to read: what the guest sees has none.
    types.waiting(Twin::Sync, "[method]descriptor.readlink-at", readlink_at)?;
    types.at_once(
        "[method]descriptor.advise",
        |host, (handle, _, _, _): (Handle, u64, u64, Advice)| host.with(&handle, |_| (FINE,)),
    )?;
    // Nothing was written, so nothing is left to write.
    types.at_once("[method]descriptor.sync", |host, (handle,): (Handle,)| {
        host.with(&handle, |_| (FINE,))
    })?;
    types.at_once("[method]descriptor.sync-data", |host, (handle,): (Handle,)| {
        host.with(&handle, |_| (FINE,))
    })
}

async fn readlink_at(host: Host, (handle, path): (Handle, String)) -> Of<String> {
    Ok((see(&host, &handle, &path).await?.and(Err(ErrorCode::Invalid)),))
}

const FINE: Result<(), ErrorCode> = Ok(());

/// A path below a folder; whether to follow a link at its end makes no difference without links.
type At = (Handle, types::PathFlags, String);

fn is_same_object(host: &Host, (one, other): (Handle, Handle)) -> Answer<(bool,)> {
    let one = host.with(&one, |d| d.identity())?;
    let other = host.with(&other, |d| d.identity())?;
    Ok((one == other,))
}

/// The stream of a granted file, for the tests of streams.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) async fn reader(host: &Host, path: &str) -> InputStream {
    let root = Descriptor::Directory(host.wasi_grant().files.root());
    let node = root.resolve(path).ok().unwrap();
    let file = Descriptor::open(node, &host.wasi_grant().slots).await.ok().unwrap();
    InputStream::File(stream(host, file.file().ok().unwrap(), 0))
}
