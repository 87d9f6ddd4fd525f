//! What a component imports and exports, read from its bytes without running it.

use std::collections::BTreeSet;
use wasmparser::{ComponentTypeRef, Parser, Payload, Validator, WasmFeatures};

/// The names at the outer edge of a component: what must be offered to it, what it offers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) imports: BTreeSet<String>,
    pub(crate) exports: BTreeSet<String>,
}

impl Shape {
    /// Validates the component and reads its shape.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Validator::new_with_features(WasmFeatures::all())
            .validate_all(bytes)
            .expect("a valid component");
        let mut shape = Self { imports: BTreeSet::new(), exports: BTreeSet::new() };
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.expect("validated above") {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    let imports = section.into_iter().map(Result::unwrap);
                    // A type by itself is only a name for something; nothing has to be offered for it.
                    let needed = imports.filter(|one| !matches!(one.ty, ComponentTypeRef::Type(_)));
                    shape.imports.extend(needed.map(|one| one.name.name.to_owned()));
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    shape.exports.extend(
                        section.into_iter().map(|export| export.unwrap().name.name.to_owned()),
                    );
                }
                _ => {}
            }
        }
        shape
    }
}
