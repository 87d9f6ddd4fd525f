//! The archive that a kernel unpacks as its first file system: cpio in the format "newc" (kernel
//! documentation, "initramfs buffer format"). Uncompressed: unpacking would cost an emulated board more than
//! reading.

use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;
const TRAILER: &str = "TRAILER!!!";

/// An archive being written.
pub(super) struct Archive<W> {
    out: W,
    entries: u32,
}

/// A device's two numbers.
#[derive(Clone, Copy, Default)]
pub(super) struct Device {
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, entries: 0 }
    }

    pub(super) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, DIRECTORY, Device::default(), &[])
    }

    /// A file that everybody may read and execute.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.entry(name, PROGRAM, Device::default(), bytes)
    }

    pub(super) fn character_device(&mut self, name: &str, device: Device) -> io::Result<()> {
        self.entry(name, CHARACTER_DEVICE, device, &[])
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry(TRAILER, 0, Device::default(), &[])?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, mode: u32, device: Device, bytes: &[u8]) -> io::Result<()> {
        let too_large = |_| io::Error::new(io::ErrorKind::FileTooLarge, name.to_owned());
        let size = u32::try_from(bytes.len()).map_err(too_large)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_large)?;
        self.entries += 1;
        // inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name, checksum.
        let fields =
            [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.major, device.minor, name_size, 0];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08X}")?;
        }
        self.out.write_all(name.as_bytes())?;
        // The header has 110 bytes; header and name together, then the content, end on a multiple of 4.
        self.out.write_all(&[0; 4][..1 + padding(110 + name.len() + 1)])?;
        self.out.write_all(bytes)?;
        self.out.write_all(&[0; 4][..padding(bytes.len())])
    }
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(4) - length
}
