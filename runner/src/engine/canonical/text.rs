//! Strings in a guest's memory, in the three encodings of the canonical ABI.

use super::{Fault, trap};

/// How a component's strings are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `utf8`
    #[default]
    Utf8,
    /// `utf16`
    Utf16,
    /// `latin1+utf16`: either, and a bit of the length says which.
    Compact,
}

/// The bit of a compact string's length that says UTF-16.
const UTF16_TAG: u32 = 1 << 31;

/// Where a string is, from its pointer and its length as the guest gave it: bytes and alignment.
pub(super) fn extent(encoding: Encoding, length: u32) -> (u64, u32) {
    match encoding {
        Encoding::Utf8 => (length.into(), 1),
        Encoding::Utf16 => (u64::from(length) * 2, 2),
        Encoding::Compact if length & UTF16_TAG != 0 => (u64::from(length ^ UTF16_TAG) * 2, 2),
        Encoding::Compact => (length.into(), 2),
    }
}

/// Reads a string whose bytes and length are these.
pub(super) fn decode(encoding: Encoding, length: u32, bytes: &[u8]) -> Result<String, Fault> {
    match encoding {
        Encoding::Utf8 => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_string()),
            Err(error) => Err(trap(format!("it passed a string that is not UTF-8: {error}"))),
        },
        Encoding::Compact if length & UTF16_TAG == 0 => {
            Ok(bytes.iter().map(|&byte| char::from(byte)).collect())
        }
        Encoding::Utf16 | Encoding::Compact => {
            let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
            let text: Result<String, _> = char::decode_utf16(units).collect();
            text.map_err(|error| trap(format!("it passed a string that is not UTF-16: {error}")))
        }
    }
}

/// A string for a guest: its bytes, their alignment, and the length as the guest is told.
pub(super) fn encode(encoding: Encoding, text: String) -> (Vec<u8>, u32, u64) {
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    match encoding {
        Encoding::Utf8 => {
            let bytes = text.into_bytes();
            let length = bytes.len() as u64;
            (bytes, 1, length)
        }
        Encoding::Utf16 => {
            let bytes = utf16(&text);
            let units = bytes.len() as u64 / 2;
            (bytes, 2, units)
        }
        Encoding::Compact => {
            let latin1: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
            match latin1 {
                Ok(bytes) => {
                    let length = bytes.len() as u64;
                    (bytes, 2, length)
                }
                Err(_) => {
                    let bytes = utf16(&text);
                    let units = bytes.len() as u64 / 2;
                    (bytes, 2, units | u64::from(UTF16_TAG))
                }
            }
        }
    }
}
