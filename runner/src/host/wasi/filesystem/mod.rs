//! `wasi:filesystem`: the files that the manifest grants, read-only, in one tree at `/`.
//!
//! The tree is made when the app starts, and a guest's path is looked up in it alone: no part of a
//! path that a guest writes ever reaches the kernel, so there is nothing to escape from. The guest
//! sees folders and regular files; symbolic links were followed once, by us, within the app's folder.

mod descriptor;
mod gather;
mod refused;
mod tree;
mod types;

use wasmtime::component::Resource;

pub use gather::FilesError;
pub use tree::Files;

use self::descriptor::Descriptor;
use self::types::{Advice, DirectoryEntry, ErrorCode};
use super::streams::{InputStream, IoError, Origin};
use super::{Host, interface};
use crate::engine::door::{Answer, Door, Interface};

pub(super) use descriptor::FileReader;

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
        |host, (entries,): (Resource<Entries>,)| Ok((host.with(&entries, |e| Ok::<_, ErrorCode>(e.0.next()))?,)),
    )?;
    types.at_once("[method]descriptor.read-directory", |host, (handle,): (Handle,)| {
        Ok((match host.with(&handle, |d| d.entries())? {
            Ok(entries) => Ok(host.push(Entries(entries.into_iter()))?),
            Err(error) => Err(error),
        },))
    })?;
    types.at_once(
        "[method]descriptor.open-at",
        |host, (handle, path_flags, path, open, wanted): OpenAt| {
            let _ = path_flags;
            let slots = &host.wasi_grant().slots;
            let opened = host.with(&handle, |d| d.open_at(&path, open, wanted, slots))?;
            Ok((match opened {
                Ok(descriptor) => Ok(host.push(descriptor)?),
                Err(error) => Err(error),
            },))
        },
    )?;
    types.at_once(
        "[method]descriptor.read",
        |host, (handle, len, offset): (Handle, u64, u64)| {
            Ok((host.with(&handle, |d| d.read(len, offset))?,))
        },
    )?;
    types.at_once("[method]descriptor.read-via-stream", |host, (handle, offset): (Handle, u64)| {
        Ok((match host.with(&handle, |d| d.reader(offset))? {
            Ok(reader) => Ok(host.push(InputStream::File(reader))?),
            Err(error) => Err(error),
        },))
    })
}

type OpenAt = (Handle, types::PathFlags, String, types::OpenFlags, types::DescriptorFlags);

/// `resource directory-entry-stream`
struct Entries(std::vec::IntoIter<DirectoryEntry>);

fn offer_questions(types: &mut Interface<'_>) -> Answer<()> {
    types.at_once("[method]descriptor.stat", |host, (handle,): (Handle,)| {
        Ok((host.with(&handle, |d| d.stat())?,))
    })?;
    types.at_once("[method]descriptor.stat-at", |host, (handle, _, path): At| {
        Ok((host.with(&handle, |d| d.stat_at(&path))?,))
    })?;
    types.at_once("[method]descriptor.metadata-hash", |host, (handle,): (Handle,)| {
        Ok((host.with(&handle, |d| d.hash())?,))
    })?;
    types.at_once("[method]descriptor.metadata-hash-at", |host, (handle, _, path): At| {
        Ok((host.with(&handle, |d| d.hash_at(&path))?,))
    })?;
    types.at_once("[method]descriptor.is-same-object", is_same_object)?;
    types.at_once("[method]descriptor.get-flags", |host, (handle,): (Handle,)| {
        host.with(&handle, |_| (Ok::<_, ErrorCode>(types::DescriptorFlags::READ),))
    })?;
    types.at_once("[method]descriptor.get-type", |host, (handle,): (Handle,)| {
        Ok((host.with(&handle, |d| Ok::<_, ErrorCode>(d.kind()))?,))
    })?;
    // There are no links to read: what the guest sees has none.
    types.at_once(
        "[method]descriptor.readlink-at",
        |host, (handle, path): (Handle, String)| -> Of<String> {
            Ok((host.with(&handle, |d| d.stat_at(&path))?.and(Err(ErrorCode::Invalid)),))
        },
    )?;
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
pub(super) fn reader(host: &Host, path: &str) -> InputStream {
    let grant = host.wasi_grant();
    let root = Descriptor::Directory(grant.files.root());
    let (open, wanted) = (types::OpenFlags::empty(), types::DescriptorFlags::READ);
    let file = root.open_at(path, open, wanted, &grant.slots).ok().unwrap();
    InputStream::File(file.reader(0).ok().unwrap())
}
