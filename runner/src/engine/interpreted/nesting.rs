//! How deep declared types nest, found out before they are read. The parser reads a type within a type by calling
//! itself, as often as a file says, which ends the whole program when the stack does; three bytes are enough for one
//! level. Everything else about types is the parser's and [`super::types`]' business.

use wasmparser::{BinaryReader, ComponentType, ComponentTypeDeclaration, InstanceTypeDeclaration};

use super::LoadError;
use crate::limits::engine::TYPE_DEPTH_MAX;

const COMPONENT_TYPE: u8 = 0x41;
const INSTANCE_TYPE: u8 = 0x42;
/// A declaration that is a type.
const TYPE: u8 = 0x01;

/// Refuses a type section whose `count` types nest too deep. It begins at `offset` of the file.
pub(super) fn check(section: &[u8], count: u32, offset: usize) -> Result<(), LoadError> {
    let mut reader = BinaryReader::new(section, offset);
    reader.read_var_u32()?;
    (0..count).try_for_each(|_| one_type(&mut reader, TYPE_DEPTH_MAX))
}

fn one_type(reader: &mut BinaryReader<'_>, depth_left: u32) -> Result<(), LoadError> {
    let kind = first(reader)?;
    if kind != COMPONENT_TYPE && kind != INSTANCE_TYPE {
        reader.read::<ComponentType<'_>>()?;
        return Ok(());
    }
    let Some(depth_left) = depth_left.checked_sub(1) else {
        return Err(LoadError::Refused(format!("its types nest deeper than {TYPE_DEPTH_MAX}")));
    };
    reader.read_u8()?;
    for _ in 0..reader.read_var_u32()? {
        if first(reader)? == TYPE {
            reader.read_u8()?;
            one_type(reader, depth_left)?;
        } else if kind == COMPONENT_TYPE {
            reader.read::<ComponentTypeDeclaration<'_>>()?;
        } else {
            reader.read::<InstanceTypeDeclaration<'_>>()?;
        }
    }
    Ok(())
}

/// The next byte, which stays.
fn first(reader: &BinaryReader<'_>) -> Result<u8, LoadError> {
    Ok(reader.clone().read_u8()?)
}
