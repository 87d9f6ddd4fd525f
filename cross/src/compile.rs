//! From components to artifacts: what a board loads. The settings come from the runner, so that both
//! sides agree; the compiler is here, and only here.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pirn_runner::engine::artifact;
use pirn_runner::engine::config::{self, Code};
use pirn_runner::engine::interpreted;
use pirn_runner::files::board::Board;
use pirn_runner::files::config::Bytes;
use pirn_runner::plan::bundle::{self, LOCK_FILE, Lock, LockedArtifact};
use pirn_runner::plan::{App, ComponentPlan};
use wasmtime::Engine;

use crate::failure::{Failure, Outcome};
use crate::limits::COMPONENT_BYTES_MAX;
use crate::ui::{Volume, time};

/// Compiles those of these components whose artifacts are missing or out of date, and writes the lock
/// file. Artifacts of the app's other components stay as they are; those that nobody needs any more go.
pub(crate) fn run<'a>(
    app: &App,
    components: impl Iterator<Item = &'a ComponentPlan>,
    volume: Volume,
) -> Outcome {
    let folder = bundle::folder(&app.dir, &app.board);
    let before = present(app, &folder);
    let mut lock = before.clone();
    let mut stale = Vec::new();
    for source in sources(app, components)? {
        match lock.made_from(&source.sha256, source.code).filter(|made| is_whole(made, &folder)) {
            Some(made) => lock.set(&source.components, made.clone()),
            None => stale.push(source),
        }
    }
    compile_all(&stale, &app.board, &folder, &mut lock, volume)?;
    if lock != before {
        put(&folder, LOCK_FILE, lock.to_toml().as_bytes())?;
        sweep(&folder, &lock);
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
    let wanted: BTreeSet<&str> = app.components.iter().map(|plan| plan.id.as_str()).collect();
    lock.retain(|id| wanted.contains(id));
    lock
}

/// A file as it was built, and the components that are made from it.
struct Source {
    components: Vec<String>,
    bytes: Vec<u8>,
    sha256: String,
    code: Code,
}

/// Each file that the components name, once.
fn sources<'a>(
    app: &App,
    components: impl Iterator<Item = &'a ComponentPlan>,
) -> Result<Vec<Source>, Failure> {
    let mut files: BTreeMap<(PathBuf, &str), Source> = BTreeMap::new();
    for plan in components {
        check_dependencies(app, plan)?;
        let path = source_file(app, plan)?;
        // What is interpreted is its own artifact.
        let Some(code) = bundle::code_of(plan.artifact) else {
            check_interpreted(&path, &plan.id)?;
            continue;
        };
        let key = code.pulley_target().unwrap_or("native");
        match files.entry((path, key)) {
            Entry::Occupied(mut source) => source.get_mut().components.push(plan.id.clone()),
            Entry::Vacant(place) => {
                let source = Source::read(&place.key().0, &plan.id, code)?;
                place.insert(source);
            }
        }
    }
    Ok(files.into_values().collect())
}

fn check_dependencies(app: &App, plan: &ComponentPlan) -> Outcome {
    let id = &plan.id;
    let manifest = app.manifest.components.get(id);
    match manifest.and_then(|c| c.dependencies.keys().next()) {
        None => Ok(()),
        Some(import) => Err(Failure::wrong(format!(
            "component {id}: dependency {import} cannot be composed by this build of pirn; \
             compose it beforehand (wac plug) and name the result as `source`"
        ))),
    }
}

/// A compiler refuses what is not valid; nobody else on the workbench looks at what is not compiled.
fn check_interpreted(path: &Path, id: &str) -> Outcome {
    let wrong =
        |reason: String| Failure::wrong(format!("component {id}: {}: {reason}", path.display()));
    let bytes = read(path).map_err(&wrong)?;
    check_component(&bytes).map_err(|reason| wrong(reason.to_owned()))?;
    interpreted::check(&bytes).map_err(|error| wrong(error.to_string()))
}

impl Source {
    fn read(path: &Path, id: &str, code: Code) -> Result<Source, Failure> {
        let wrong = |reason: String| {
            Failure::wrong(format!("component {id}: {}: {reason}", path.display()))
        };
        let bytes = read(path).map_err(&wrong)?;
        check_component(&bytes).map_err(|reason| wrong(reason.to_owned()))?;
        let sha256 = artifact::digest(&mut bytes.as_slice()).map_err(|e| wrong(e.to_string()))?;
        Ok(Source { components: vec![id.to_owned()], bytes, sha256, code })
    }

    /// The first of its components, for people.
    fn name(&self) -> &str {
        self.components.first().map_or("", String::as_str)
    }

    /// Named for its content, so that a component never runs what another one has become.
    fn artifact_file(&self) -> String {
        let digest = self.sha256.get(..8).unwrap_or_default();
        format!("{}-{digest}.cwasm", self.name())
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

fn is_whole(locked: &LockedArtifact, folder: &Path) -> bool {
    fs::metadata(folder.join(&locked.file)).is_ok_and(|file| file.len() == locked.bytes)
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
        progress.set_message(source.name().to_owned());
        let begun = Instant::now();
        let code = compilers.compile(source)?;
        let file = source.artifact_file();
        put(folder, &file, &code)?;
        let sha256 = artifact::digest(&mut code.as_slice()).map_err(Failure::failed)?;
        let bytes = code.len() as u64;
        let source_sha256 = source.sha256.clone();
        let locked = LockedArtifact { file, code: source.code, sha256, bytes, source_sha256 };
        lock.set(&source.components, locked);
        progress.suspend(|| say_compiled(source, board, bytes, begun, volume));
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

fn say_compiled(source: &Source, board: &Board, bytes: u64, begun: Instant, volume: Volume) {
    let (id, code) = (source.name(), source.code);
    let id = match source.components.len() {
        1 => id.to_owned(),
        many => format!("{id} and {} more of the same file", many - 1),
    };
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
        let id = source.name();
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

/// Takes away artifacts that the lock file does not name. One that stays is no harm.
fn sweep(folder: &Path, lock: &Lock) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_artifact = name.to_str().is_some_and(|name| name.ends_with(".cwasm"));
        if is_artifact && !name.to_str().is_some_and(|name| lock.has_file(name)) {
            let _ = fs::remove_file(entry.path());
        }
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
