//! From components to artifacts: what a board loads. The settings come from the runner, so that both
//! sides agree; the compiler is here, and only here.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pirn_runner::app::{App, ComponentPlan};
use pirn_runner::board::Board;
use pirn_runner::config::Bytes;
use pirn_runner::engine::artifact::{self, LOCK_FILE, Lock, LockedArtifact};
use pirn_runner::engine::config::{self, Code};
use wasmtime::Engine;

use crate::failure::{Failure, Outcome};
use crate::limits::COMPONENT_BYTES_MAX;
use crate::ui::{Volume, time};

/// Compiles those of these components whose artifacts are missing or out of date, and writes the lock
/// file. Artifacts of the app's other components stay as they are.
pub(crate) fn run<'a>(
    app: &App,
    components: impl Iterator<Item = &'a ComponentPlan>,
    volume: Volume,
) -> Outcome {
    let folder = artifact::folder(&app.dir, &app.board);
    let mut lock = present(app, &folder);
    let mut stale = Vec::new();
    for plan in components {
        let source = Source::read(app, plan)?;
        if !is_fresh(lock.components.get(&plan.id), &source, &folder) {
            stale.push(source);
        }
    }
    if !stale.is_empty() {
        compile_all(&stale, &app.board, &folder, &mut lock, volume)?;
        put(&folder, LOCK_FILE, lock.to_toml().as_bytes())?;
    }
    Ok(())
}

/// The artifacts of the app that this build made and that the board would still take; empty if there
/// are none.
pub(crate) fn present(app: &App, folder: &Path) -> Lock {
    let new = Lock::new(&app.name);
    // What cannot be read, or was made by another version, is made anew.
    let Ok(mut lock) = Lock::read(folder) else { return new };
    if (&lock.app, &lock.made_by) != (&new.app, &new.made_by) {
        return new;
    }
    lock.components.retain(|id, _| app.component(id).is_some());
    lock
}

/// A component as it was built.
struct Source {
    id: String,
    bytes: Vec<u8>,
    sha256: String,
    code: Code,
}

impl Source {
    fn read(app: &App, plan: &ComponentPlan) -> Result<Source, Failure> {
        let id = &plan.id;
        let path = source_file(app, plan)?;
        let wrong = |reason: String| {
            Failure::wrong(format!("component {id}: {}: {reason}", path.display()))
        };
        let manifest = app.manifest.components.get(id);
        if let Some(import) = manifest.and_then(|c| c.dependencies.keys().next()) {
            return Err(Failure::wrong(format!(
                "component {id}: dependency {import} cannot be composed by this build of pirn; \
                 compose it beforehand (wac plug) and name the result as `source`"
            )));
        }
        let bytes = read(&path).map_err(&wrong)?;
        check_component(&bytes).map_err(|reason| wrong(reason.to_owned()))?;
        let sha256 = artifact::digest(&mut bytes.as_slice()).map_err(|e| wrong(e.to_string()))?;
        let code = artifact::code_of(plan.artifact);
        Ok(Source { id: id.clone(), bytes, sha256, code })
    }
}

/// The file of a component; only those on this machine can be compiled here.
pub(crate) fn source_file(app: &App, plan: &ComponentPlan) -> Result<PathBuf, Failure> {
    app.component_file(plan).ok_or_else(|| {
        Failure::wrong(format!(
            "component {}: its source is elsewhere; download it and name its path in `source`",
            plan.id
        ))
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "it is not there; `pirn build` makes it".to_owned(),
        _ => error.to_string(),
    })?;
    let mut bytes = Vec::new();
    file.take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    match bytes.len() as u64 > COMPONENT_BYTES_MAX {
        true => Err(format!("it is larger than {}", Bytes(COMPONENT_BYTES_MAX))),
        false => Ok(bytes),
    }
}

/// The first eight bytes tell what a WebAssembly file is; the compiler's own words for it are not
/// for a newcomer.
fn check_component(bytes: &[u8]) -> Result<(), &'static str> {
    match bytes {
        [0, b'a', b's', b'm', 0x0D, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(
            "it is a WebAssembly module, not a component; with Rust, build it for wasm32-wasip2",
        ),
        [0, b'a', b's', b'm', ..] => Err("it is of a WebAssembly version that is not known here"),
        _ => Err("it is no WebAssembly"),
    }
}

fn is_fresh(locked: Option<&LockedArtifact>, source: &Source, folder: &Path) -> bool {
    let Some(locked) = locked else { return false };
    let is_whole =
        || fs::metadata(folder.join(&locked.file)).is_ok_and(|m| m.len() == locked.bytes);
    locked.source_sha256 == source.sha256 && locked.code == source.code && is_whole()
}

fn compile_all(
    sources: &[Source],
    board: &Board,
    folder: &Path,
    lock: &mut Lock,
    volume: Volume,
) -> Outcome {
    let mut compilers = Compilers::for_board(board);
    let progress = volume.progress(sources.len() as u64, "Compiling");
    for source in sources {
        progress.set_message(source.id.clone());
        let begun = Instant::now();
        let code = compilers.compile(source)?;
        let file = format!("{}.cwasm", source.id);
        put(folder, &file, &code)?;
        let sha256 = artifact::digest(&mut code.as_slice()).map_err(Failure::failed)?;
        let bytes = code.len() as u64;
        let source_sha256 = source.sha256.clone();
        let locked = LockedArtifact { file, code: source.code, sha256, bytes, source_sha256 };
        lock.components.insert(source.id.clone(), locked);
        progress.suspend(|| say_compiled(source, board, bytes, begun, volume));
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

fn say_compiled(source: &Source, board: &Board, bytes: u64, begun: Instant, volume: Volume) {
    let Source { id, code, .. } = source;
    let (size, took) = (Bytes(bytes), time(begun.elapsed()));
    volume.step("Compiled", &format!("{id} for {} ({code}): {size} in {took}", board.name));
}

/// One compiler for each form of code that the app needs.
struct Compilers<'a> {
    board: &'a Board,
    engines: HashMap<&'static str, Engine>,
}

impl Compilers<'_> {
    fn for_board(board: &Board) -> Compilers<'_> {
        Compilers { board, engines: HashMap::new() }
    }

    fn compile(&mut self, source: &Source) -> Result<Vec<u8>, Failure> {
        let id = &source.id;
        let engine = self.engine(source.code)?;
        engine.precompile_component(&source.bytes).map_err(|error| {
            Failure::wrong(format!("component {id}: it does not compile: {error:#}"))
        })
    }

    fn engine(&mut self, code: Code) -> Result<&Engine, Failure> {
        let key = code.pulley_target().unwrap_or("native");
        if !self.engines.contains_key(key) {
            let start = || Engine::new(&config::config(code, Some(&self.board.target))?);
            let engine = start().map_err(|error: wasmtime::Error| {
                let Board { name, target, .. } = self.board;
                Failure::wrong(format!("board {name}: no compiler for {target}: {error:#}"))
            })?;
            self.engines.insert(key, engine);
        }
        self.engines.get(key).ok_or_else(|| Failure::failed("the compiler is gone"))
    }
}

/// Writes a file so that whoever looks sees the old one or the new one, and whoever has the old one
/// mapped keeps it.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> Outcome {
    let path = folder.join(name);
    let partial = folder.join(format!("{name}.partial"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&partial, bytes))
        .and_then(|()| fs::rename(&partial, &path))
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_no_component_is_told_apart() {
        for (bytes, said) in [
            (&b"\0asm\x01\0\0\0rest"[..], "module, not a component"),
            (b"\0asm\x02\0\0\0", "version"),
            (b"#!/bin/sh", "no WebAssembly"),
            (b"", "no WebAssembly"),
        ] {
            let error = check_component(bytes).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        assert!(check_component(b"\0asm\x0d\0\x01\0").is_ok());
    }
}
