//! Components that somebody made to hurt: small files that would take for ever, or all memory, or the stack on
//! which everything runs. They are seeds of the fuzz target too, so that it starts from where it hurt.

use super::*;

/// A seed by name, as a component.
fn seed(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds/found");
    let text = folder.join(name).with_extension("wat");
    match text.exists() {
        true => wat::parse_file(text).unwrap(),
        false => std::fs::read(folder.join(name).with_extension("wasm")).unwrap(),
    }
}

fn refused(bytes: &[u8], sentence: &str) {
    let error = engine().load(bytes).err().unwrap().to_string();
    assert!(error.contains(sentence), "{error}");
}

async fn run(name: &str) -> Result<Option<Value>, Fault> {
    let loaded = engine().load(&seed(name)).unwrap();
    let (_, index) = loaded.exported_function("run").unwrap();
    let allowance = Allowance { deadline: Duration::from_millis(300), ..ALLOWANCE };
    loaded.call(index, Shelf::default(), allowance, vec![]).await
}

#[test]
fn what_is_billions_of_components_further_out_is_not_looked_for_there() {
    refused(&seed("outer-alias-count"), "outer alias count of 4294967295");
}

#[test]
fn handles_of_somebody_elses_resource_cannot_be_made() {
    for function in ["resource.new", "resource.rep"] {
        let text = format!(
            r#"(component (import "test:host/it@1.0.0" (instance $host
                (export "thing" (type (sub resource)))))
            (alias export $host "thing" (type $thing))
            (core func (canon {function} $thing)))"#
        );
        refused(&wat::parse_str(text).unwrap(), "is not a local resource");
    }
}

#[test]
fn types_within_types_within_types_are_refused_before_they_are_read() {
    refused(&seed("nested-instance-types"), "types nest deeper than 64");
}

#[test]
fn types_that_are_noted_again_and_again_for_what_is_nested_among_them_count() {
    refused(&seed("many-instance-types"), "more than 100000 definitions");
    refused(&seed("many-components"), "exceeds limit of 1000");
}

#[test]
fn a_type_that_doubles_with_each_level_is_refused() {
    refused(&seed("doubling-types"), "effective type size exceeds");
}

#[test]
fn interfaces_that_double_with_each_level_are_refused() {
    refused(&seed("doubling-instances"), "interfaces nest deeper than 20");
}

#[test]
fn interfaces_within_interfaces_within_interfaces_are_refused() {
    // An instance section: the first is empty, each other one exports the one before as `a`.
    let mut section = vec![0xe8, 0x07, 1, 0];
    for inner in 0..999_u32 {
        section.extend([1, 1, 0, 1, b'a', 5, (inner & 0x7f) as u8 | 0x80, (inner >> 7) as u8]);
    }
    let mut bytes = b"\0asm\x0d\0\x01\0\x05".to_vec();
    let length = section.len();
    bytes.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
    bytes.extend(section);
    refused(&bytes, "interfaces nest deeper than 20");
}

#[tokio::test]
async fn destructors_within_destructors_end_as_a_stack_overflow_of_the_guest() {
    assert!(matches!(run("destructor-within-itself").await, Err(Fault::Stack { .. })));
}

#[tokio::test]
async fn a_deadline_ends_guests_that_call_and_call() {
    for name in ["calls-without-end", "long-host-calls"] {
        assert!(matches!(run(name).await, Err(Fault::Deadline(_))), "{name}");
    }
}

#[tokio::test]
async fn what_reallocs_take_is_counted_together() {
    traps(run("slow-reallocs").await, "`realloc` did not return");
}

#[tokio::test]
async fn values_that_are_larger_outside_than_in_memory_count_as_what_they_are_there() {
    assert!(matches!(run("many-small-values").await, Err(Fault::Limit(_))));
}
