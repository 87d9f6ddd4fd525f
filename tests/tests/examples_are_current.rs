//! The components that are committed beside the examples' sources are made from exactly these sources.
//!
//! Two questions: does the record that `examples/build` left say so (quick, any machine), and does a
//! rebuild here give the same component (slow; byte for byte if the compiler is the recorded one).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod component;

use component::Shape;
use pirn_tests::guests::{example, repository};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A record in the format of `sha256sum`, and the compiler that its first line names.
struct Record {
    compiler: String,
    digests: BTreeMap<String, String>,
}

/// What a component's files are called: `page` for `thermostat/page`.
fn stem(name: &str) -> &str {
    name.rsplit('/').next().unwrap()
}

fn component_of(name: &str) -> PathBuf {
    example(name).join(format!("{}.wasm", stem(name)))
}

fn record_of(name: &str) -> Record {
    let path = example(name).join(format!("{}.built", stem(name)));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (compiler, digests) = text.split_once('\n').expect("a record has lines");
    Record {
        compiler: compiler.trim_start_matches("# ").to_owned(),
        digests: digests
            .lines()
            .map(|line| line.split_once("  ").expect("a digest, two blanks, a path"))
            .map(|(digest, path)| (path.to_owned(), digest.to_owned()))
            .collect(),
    }
}

/// The folders that hold a component: an example's own, and below that those of its further ones.
fn names() -> Vec<String> {
    let examples = repository().join("examples");
    let mut names = Vec::new();
    for example in folders(&examples).iter().filter(|it| it.join("spin.toml").is_file()) {
        let all = folders(example).into_iter().chain([example.clone()]);
        let built = all.filter(|folder| folder.join("Cargo.toml").is_file());
        names.extend(built.map(|it| it.strip_prefix(&examples).unwrap().display().to_string()));
    }
    names.sort();
    names
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

/// The digest of everything that a component is made of, and of itself, by path from its folder.
fn digests_now(name: &str) -> BTreeMap<String, String> {
    let folder = example(name);
    let mut files: Vec<PathBuf> =
        ["Cargo.toml", "Cargo.lock", "build.rs"].map(|file| folder.join(file)).into();
    // Not every example has something to tell its linker.
    files.retain(|file| file.exists() || !file.ends_with("build.rs"));
    files.push(component_of(name));
    files_below(&folder.join("src"), &mut files);
    files_below(&repository().join("runner/wit"), &mut files);
    files.iter().map(|file| (as_recorded(file, &folder), digest(file))).collect()
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn as_recorded(file: &Path, folder: &Path) -> String {
    match file.strip_prefix(folder) {
        Ok(inside) => inside.display().to_string(),
        Err(_) => {
            let up = folder.strip_prefix(repository()).unwrap().iter().map(|_| "../");
            let file = file.strip_prefix(repository()).unwrap();
            format!("{}{}", up.collect::<String>(), file.display())
        }
    }
}

fn digest(file: &Path) -> String {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compiler_here() -> String {
    let output = Command::new("rustc").arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn each_example_is_recorded_as_built_from_the_sources_beside_it() {
    let names = names();
    assert!(
        names.contains(&"echo".to_owned()) && names.contains(&"thermostat/page".to_owned()),
        "{names:?}"
    );
    for name in names {
        let (recorded, now) = (record_of(&name).digests, digests_now(&name));
        let stale: BTreeSet<_> = recorded
            .keys()
            .chain(now.keys())
            .filter(|path| recorded.get(*path) != now.get(*path))
            .collect();
        assert!(
            stale.is_empty(),
            "run examples/build {name}: these differ from its record: {stale:#?}"
        );
    }
}

/// Whether the compiler's own library for the target is there: built from another source (see
/// `cross/targets/wasm32-wasip2`), it makes other bytes.
fn library_comes_with_the_compiler() -> bool {
    let folder = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", "wasm32-wasip2"])
        .output()
        .unwrap();
    Path::new(String::from_utf8(folder.stdout).unwrap().trim()).is_dir()
        && std::env::var_os("PIRN_NO_RUSTUP_TARGETS").is_none()
}

#[test]
fn a_rebuilt_example_is_the_committed_one() {
    let scratch = tempfile::tempdir().unwrap();
    let built = Command::new(repository().join("examples/build"))
        .env("INTO", scratch.path())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    for name in names() {
        let committed = fs::read(component_of(&name)).unwrap();
        let rebuilt = fs::read(scratch.path().join(format!("{}.wasm", stem(&name)))).unwrap();
        assert_eq!(Shape::of(&rebuilt), Shape::of(&committed), "{name}");
        if record_of(&name).compiler == compiler_here() && library_comes_with_the_compiler() {
            let advice = "is not what its sources make: run examples/build";
            assert!(rebuilt == committed, "{name}.wasm {advice}");
        }
    }
}

#[test]
fn a_committed_component_holds_no_path_of_the_machine_that_built_it() {
    let here = repository().display().to_string();
    for name in names() {
        let component = fs::read(component_of(&name)).unwrap();
        let text = String::from_utf8_lossy(&component);
        for trace in [&*here, "/home/", "/root/", "/Users/", ".cargo/", "/tmp/"] {
            assert!(!text.contains(trace), "{name}.wasm contains {trace}");
        }
    }
}
