//! The last step of building a guest, where its compiler does not take it:
//!
//! ```text
//! assemble adapt IN OUT              a core module for WASI preview 1 → a component
//! assemble embed WIT WORLD IN OUT    the same for one that does not say which world it is of (C)
//! assemble plug SOCKET PLUG OUT      two components → one: what PLUG exports is what SOCKET imports
//! ```
//!
//! The command line tools `wasm-tools` and `wac` do the same, with the same libraries. This is here so that
//! building the guests needs nothing that has to be installed first.

use anyhow::{Context, Result, bail};
use std::{env, fs};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wasi_preview1_component_adapter_provider as preview1;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (component, out) = match words[..] {
        ["adapt", module, out] => (adapt(&read(module)?)?, out),
        ["embed", wit, world, module, out] => (adapt(&embed(wit, world, read(module)?)?)?, out),
        ["plug", socket, plug, out] => (compose(read(socket)?, read(plug)?)?, out),
        _ => bail!("usage: assemble adapt IN OUT | embed WIT WORLD IN OUT | plug SOCKET PLUG OUT"),
    };
    fs::write(out, component).with_context(|| out.to_owned())
}

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.to_owned())
}

/// Makes a component of a module that says in a section of its own which world it is of. The adapter turns
/// its calls of preview 1 into those of WASI 0.2.
fn adapt(module: &[u8]) -> Result<Vec<u8>> {
    let adapter = preview1::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    ComponentEncoder::default()
        .module(module)?
        .adapter(preview1::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
        .encode()
}

/// Adds that section.
fn embed(wit: &str, world: &str, mut module: Vec<u8>) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(module)
}

fn compose(socket: Vec<u8>, plug: Vec<u8>) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let mut register = |name, bytes| {
        let package = Package::from_bytes(name, None, bytes, graph.types_mut())?;
        Ok::<_, anyhow::Error>(graph.register_package(package)?)
    };
    let plug = register("test:plug", plug)?;
    let socket = register("test:socket", socket)?;
    wac_graph::plug(&mut graph, vec![plug], socket)?;
    Ok(graph.encode(EncodeOptions::default())?)
}
