//! A core module's start function, made an export. wasmi runs a start function to its end while it
//! makes an instance; ours may call an import that waits, or run longer than one slice, so it is
//! called afterwards, like any other function.

use std::borrow::Cow;

use super::LoadError;

const HEADER_BYTES: usize = 8;
const EXPORT_SECTION: u8 = 7;
const START_SECTION: u8 = 8;
/// No compiler gives a function this name; a module that has it is refused.
const START_NAME: &str = "pirn:start";

/// The module, and the name of the export that is to be called when it is instantiated.
pub(super) fn with_exported_start(
    bytes: &[u8],
) -> Result<(Cow<'_, [u8]>, Option<&'static str>), LoadError> {
    let sections = sections(bytes)?;
    let Some(start) = sections.iter().find(|section| section.id == START_SECTION) else {
        return Ok((Cow::Borrowed(bytes), None));
    };
    let mut export = Vec::from([START_NAME.len() as u8]);
    export.extend_from_slice(START_NAME.as_bytes());
    export.push(0);
    export.extend_from_slice(start.body);
    let mut rewritten = bytes[..HEADER_BYTES].to_vec();
    let mut exported = false;
    for section in &sections {
        match section.id {
            EXPORT_SECTION => {
                if section.body.windows(START_NAME.len()).any(|at| at == START_NAME.as_bytes()) {
                    let sentence = format!("one of its modules exports `{START_NAME}`");
                    return Err(LoadError::Refused(sentence));
                }
                let (count, rest) = leb128(section.body).ok_or_else(LoadError::truncated)?;
                push_exports(&mut rewritten, count.saturating_add(1), &[rest, &export]);
                exported = true;
            }
            START_SECTION if !exported => push_exports(&mut rewritten, 1, &[&export]),
            START_SECTION => {}
            _ => rewritten.extend_from_slice(section.whole),
        }
    }
    Ok((Cow::Owned(rewritten), Some(START_NAME)))
}

struct Section<'a> {
    id: u8,
    whole: &'a [u8],
    body: &'a [u8],
}

fn sections(bytes: &[u8]) -> Result<Vec<Section<'_>>, LoadError> {
    let mut rest = bytes.get(HEADER_BYTES..).ok_or_else(LoadError::truncated)?;
    let mut sections = Vec::new();
    while let Some((&id, after_id)) = rest.split_first() {
        let (size, after_size) = leb128(after_id).ok_or_else(LoadError::truncated)?;
        let body = after_size.get(..size as usize).ok_or_else(LoadError::truncated)?;
        let head = rest.len() - after_size.len();
        sections.push(Section { id, whole: &rest[..head + body.len()], body });
        rest = &after_size[body.len()..];
    }
    Ok(sections)
}

fn push_exports(to: &mut Vec<u8>, count: u32, entries: &[&[u8]]) {
    let mut body = Vec::new();
    push_leb128(&mut body, count);
    entries.iter().for_each(|entry| body.extend_from_slice(entry));
    to.push(EXPORT_SECTION);
    push_leb128(to, body.len() as u32);
    to.extend_from_slice(&body);
}

/// An unsigned number and what follows it.
fn leb128(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

fn push_leb128(to: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_writing_and_reading() {
        for value in [0, 1, 127, 128, 300, u32::MAX] {
            let mut bytes = Vec::new();
            push_leb128(&mut bytes, value);
            bytes.push(9);
            assert_eq!(leb128(&bytes), Some((value, &[9][..])));
        }
        assert_eq!(leb128(&[0x80; 9]), None);
        assert_eq!(leb128(&[0xff, 0xff, 0xff, 0xff, 0x7f]), None);
    }

    #[test]
    fn a_module_cut_anywhere_is_refused_or_left_alone() {
        let module =
            b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x08\x01\0\x0a\x04\x01\x02\0\x0b";
        let (rewritten, start) = with_exported_start(module).unwrap();
        assert_eq!(start, Some(START_NAME));
        assert!(rewritten.windows(START_NAME.len()).any(|part| part == START_NAME.as_bytes()));
        for end in 0..module.len() {
            let _ = with_exported_start(&module[..end]);
        }
    }
}
