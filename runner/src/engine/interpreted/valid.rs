//! Whether a component is valid, found out once, before anything of it is used: the interpreter itself checks nothing any
//! more, and neither does whoever takes components apart. What is valid depends on which proposals are switched on: those
//! that this engine has. On a desk it takes 2 ms for a component of 437 KB, and a megabyte while it lasts.

use wasmparser::{
    FuncValidatorAllocations, Parser, Payload, ValidPayload, Validator, WasmFeatures,
};

use super::depth::Depths;
use super::{LoadError, nesting};

/// What components may use: the component model with its `async`, and of core WebAssembly what wasmi is built with. Were
/// there one among these that wasmi does not know, it would run what nobody has checked.
const FEATURES: WasmFeatures = WasmFeatures::WASM1
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL)
    .union(WasmFeatures::CM_ASYNC)
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS);

/// Refuses what is not valid.
pub(super) fn check(bytes: &[u8]) -> Result<(), LoadError> {
    let mut validator = Validator::new_with_features(FEATURES);
    let mut allocations = FuncValidatorAllocations::default();
    let mut depths = Depths::new();
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(|error| refusal(&error))?;
        if let Payload::ComponentTypeSection(entries) = &payload {
            let range = entries.range();
            let section = bytes.get(range.clone()).ok_or_else(LoadError::truncated)?;
            nesting::check(section, entries.count(), range.start)?;
        }
        depths.check(&payload)?;
        if let ValidPayload::Func(function, body) =
            validator.payload(&payload).map_err(|error| refusal(&error))?
        {
            let mut function = function.into_validator(allocations);
            function.validate(&body).map_err(|error| refusal(&error))?;
            allocations = function.into_allocations();
        }
    }
    Ok(())
}

/// Why it is not valid; or valid, but not for this engine. wasmparser has one kind of error for all of these; tests hold
/// the words.
fn refusal(error: &wasmparser::Error) -> LoadError {
    let message = error.message();
    let about = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if about(&["SIMD"]) {
        return LoadError::Compile("it uses SIMD instructions".into());
    }
    let unsupported = [
        ("it uses error contexts", &["error-context", "error context"][..]),
        ("it uses threads", &["threading", "threads", "thread."]),
        ("it uses maps", &["Maps", "maps", "`map`", "map<"]),
        ("it uses lists of a fixed length", &["ixed-length", "ixed size"]),
        ("it uses exceptions", &["exceptions"]),
        ("it uses garbage-collected types", &["gc proposal", "gc types"]),
        ("it imports or exports values", &["component model values", "support for values"]),
    ];
    match unsupported.iter().find(|(_, words)| about(words)) {
        Some((sentence, _)) => LoadError::Unsupported((*sentence).into()),
        None => LoadError::Refused(format!("it is no valid component: {error}")),
    }
}
