//! Everything that would change a file or a folder: answered `read-only`, whatever the path says.

use wasmtime::component::Resource;

use super::types::{ErrorCode, NewTimestamp, PathFlags};
use super::{Handle, Interface, Of};
use crate::engine::door::Answer;
use crate::host::Host;
use crate::host::wasi::streams::OutputStream;

type Stream = Resource<OutputStream>;

pub(super) fn offer(types: &mut Interface<'_>) -> Answer<()> {
    types.at_once("[method]descriptor.write-via-stream", refuse::<(Handle, u64), Stream>)?;
    types.at_once("[method]descriptor.append-via-stream", refuse::<(Handle,), Stream>)?;
    types.at_once("[method]descriptor.set-size", refuse::<(Handle, u64), ()>)?;
    types.at_once(
        "[method]descriptor.set-times",
        refuse::<(Handle, NewTimestamp, NewTimestamp), ()>,
    )?;
    types.at_once("[method]descriptor.write", refuse::<(Handle, Vec<u8>, u64), u64>)?;
    types.at_once("[method]descriptor.create-directory-at", refuse::<(Handle, String), ()>)?;
    types.at_once(
        "[method]descriptor.set-times-at",
        refuse::<(Handle, PathFlags, String, NewTimestamp, NewTimestamp), ()>,
    )?;
    types.at_once(
        "[method]descriptor.link-at",
        refuse::<(Handle, PathFlags, String, Handle, String), ()>,
    )?;
    types.at_once("[method]descriptor.remove-directory-at", refuse::<(Handle, String), ()>)?;
    types
        .at_once("[method]descriptor.rename-at", refuse::<(Handle, String, Handle, String), ()>)?;
    types.at_once("[method]descriptor.symlink-at", refuse::<(Handle, String, String), ()>)?;
    types.at_once("[method]descriptor.unlink-file-at", refuse::<(Handle, String), ()>)
}

fn refuse<P, T>(_: &Host, _: P) -> Of<T> {
    Ok((Err(ErrorCode::ReadOnly),))
}
