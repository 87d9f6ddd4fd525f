//! A file as a stream, for `wasi:io/streams`: it reads at once what is in memory, and what is not
//! while the guest waits for it.

use std::io;
use std::sync::Arc;

use super::descriptor::OpenFile;
use crate::host::wasi::Slots;
use crate::host::wasi::poll::Pollable;
use crate::host::wasi::streams::{Ended, IoError, Origin};
use crate::host::wasi::underway::Underway;

type Bytes = io::Result<Vec<u8>>;

/// Reads a file from an offset on.
pub(in crate::host::wasi) struct FileReader {
    file: Arc<OpenFile>,
    offset: u64,
    slots: Slots,
    /// A read that waits for a disk. Dropped with the stream; what is read then is forgotten.
    underway: Option<Arc<Underway<Bytes>>>,
}

impl FileReader {
    pub(super) fn new(file: Arc<OpenFile>, offset: u64, slots: Slots) -> Self {
        Self { file, offset, slots, underway: None }
    }

    /// What there is now: nothing if the disk is being asked, for which the pollable waits.
    pub(in crate::host::wasi) fn read(&mut self, bytes_max: usize) -> Result<Vec<u8>, Ended> {
        let underway = match self.underway.take() {
            Some(underway) => underway,
            None => self.start(bytes_max),
        };
        match underway.take() {
            None => {
                self.underway = Some(underway);
                Ok(Vec::new())
            }
            Some(Ok(bytes)) if bytes.is_empty() => Err(Ended::Closed),
            Some(Ok(mut bytes)) => {
                // It may have been started for more; the rest is read again, from memory now.
                bytes.truncate(bytes_max);
                self.offset = self.offset.saturating_add(bytes.len() as u64);
                Ok(bytes)
            }
            Some(Err(error)) => Err(Ended::Failed(IoError { origin: Origin::File, error })),
        }
    }

    fn start(&self, bytes_max: usize) -> Arc<Underway<Bytes>> {
        let (file, offset, slots) = (Arc::clone(&self.file), self.offset, self.slots.clone());
        Underway::new(async move { file.read(bytes_max as u64, offset, &slots).await })
    }

    pub(in crate::host::wasi) fn pollable(&self) -> Pollable {
        match &self.underway {
            Some(underway) => underway.pollable(),
            None => Pollable::now(),
        }
    }
}
