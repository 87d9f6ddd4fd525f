//! Changes components so that what is changed is reached: lengths of sections are put right again, through all
//! the modules and components around them, and whole sections move. libFuzzer's own changes, which know nothing of
//! that, mostly end in the parser; a third of the inputs are still made by them alone.

use libfuzzer_sys::fuzzer_mutate;

const HEADER_BYTES: usize = 8;
/// Of a component, whose header differs from a module's.
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;
/// How much longer than it was one change may make a section.
const GROWTH_BYTES_MAX: usize = 64;
/// What an index or a count becomes: most index spaces of small components are smaller.
const INDEX_MAX: usize = 24;

struct Section {
    id: u8,
    body: Vec<u8>,
}

/// libFuzzer's custom mutator.
pub(crate) fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Random(u64::from(seed) << 1 | 1);
    if random.below(3) > 0
        && let Some(changed) = changed(&data[..size], &mut random)
        && changed.len() <= max_size
    {
        data[..changed.len()].copy_from_slice(&changed);
        return changed.len();
    }
    fuzzer_mutate(data, size, max_size)
}

/// The same module or component with one thing changed, if it is one.
fn changed(bytes: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut sections = sections(bytes)?;
    if sections.is_empty() {
        return None;
    }
    let is_component = bytes[4] != 1;
    let (one, other) = (random.below(sections.len()), random.below(sections.len()));
    match random.below(12) {
        0 => sections.swap(one, other),
        1 => drop(sections.remove(one)),
        2 => {
            let copy = Section { id: sections[one].id, body: sections[one].body.clone() };
            sections.insert(other, copy);
        }
        _ => {
            let section = &mut sections[one];
            let nested = is_component && matches!(section.id, CORE_MODULE | COMPONENT);
            match nested.then(|| changed(&section.body, random)).flatten() {
                Some(body) => section.body = body,
                None => change(&mut section.body, random),
            }
        }
    }
    Some(written(&bytes[..HEADER_BYTES], &sections))
}

/// Changes the inside of a section: half the time one small number, which is what indices, counts and types are.
fn change(body: &mut Vec<u8>, random: &mut Random) {
    let length = body.len();
    if length > 0 && random.below(2) == 0 {
        body[random.below(length)] = random.below(INDEX_MAX) as u8;
        return;
    }
    body.resize(length + GROWTH_BYTES_MAX, 0);
    let length = fuzzer_mutate(body, length, length + GROWTH_BYTES_MAX);
    body.truncate(length);
}

fn sections(bytes: &[u8]) -> Option<Vec<Section>> {
    let mut rest = bytes.get(HEADER_BYTES..)?;
    let mut sections = Vec::new();
    while let Some((&id, after_id)) = rest.split_first() {
        let (length, after_length) = leb128(after_id)?;
        let body = after_length.get(..length)?;
        sections.push(Section { id, body: body.to_vec() });
        rest = &after_length[length..];
    }
    Some(sections)
}

fn written(header: &[u8], sections: &[Section]) -> Vec<u8> {
    let mut bytes = header.to_vec();
    for section in sections {
        bytes.push(section.id);
        let mut length = section.body.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(&section.body);
    }
    bytes
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// A xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}
