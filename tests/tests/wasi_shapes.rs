//! Every name and type of WASI 0.2, and of HTTP in 0.3: components that import all of it, made from the WIT that
//! published crates ship, must link without a stub.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Seek, Write};
use std::path::PathBuf;
use std::process::Command;

use pirn_runner::engine::compiled::Pool;
use pirn_runner::engine::config::{Code, config};
use pirn_runner::engine::{Compiled, Engine};
use pirn_runner::host::{self, Host};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{ManglingAndAbi, Resolve};

/// Where a crate's sources are that this one depends on, built or not.
fn sources_of(name: &str) -> PathBuf {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    let text = String::from_utf8(cargo.stdout).unwrap();
    let manifest = text
        .split('"')
        .find(|word| word.contains(&format!("/{name}-")) && word.ends_with("Cargo.toml"))
        .unwrap_or_else(|| panic!("{name} is no dependency"));
    PathBuf::from(manifest).parent().unwrap().to_path_buf()
}

/// A component that imports every function of one of WASI's worlds, in a crate's version of it.
fn component_of(release: &str, package: &str, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_path(sources_of(release).join("wit")).unwrap();
    let found = resolve.packages.iter().find(|(_, p)| p.name.name == package).unwrap().1;
    let world = found.worlds[world];
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

const POOL: Pool = Pool { instances: 1, memory_bytes_max: 1 << 20, stack_bytes: 512 << 10 };

fn load(component: &[u8]) -> Compiled<Host> {
    let compiler = wasmtime::Engine::new(&config(Code::Native, None).unwrap()).unwrap();
    let artifact = compiler.precompile_component(component).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&artifact).unwrap();
    file.rewind().unwrap();
    let engine = Engine::start(Code::Native, POOL, host::offer).unwrap();
    engine.load(&file).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_component_that_imports_all_of_wasi_links_without_a_stub() {
    let compiled = load(&component_of("wasip2", "cli", "imports"));
    assert_eq!(compiled.missing_imports(), [""; 0]);
}

#[test]
fn a_component_that_imports_all_of_wasi_http_links_without_a_stub() {
    let compiled = load(&component_of("wasip2", "http", "imports"));
    assert_eq!(compiled.missing_imports(), [""; 0]);
}

#[test]
fn a_service_that_imports_all_of_wasi_http_of_0_3_links_without_a_stub() {
    let compiled = load(&component_of("wasip3", "http", "service"));
    assert_eq!(compiled.missing_imports(), [""; 0]);
}
