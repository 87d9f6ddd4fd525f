//! The house rules of ARCHITECTURE.md, each held by a test: who may know whom, what stays out of the
//! runner, what every file looks like.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Files that git tracks or would track, relative to the root.
fn files(ending: &str) -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is needed to list the project's files");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let there = |file: &&str| file.ends_with(ending) && root().join(file).exists();
    listed.lines().filter(there).map(str::to_owned).collect()
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// Rust files of the product: not tests, not guests.
fn sources() -> Vec<String> {
    let of_product = |file: &String| {
        ["runner/src/", "triggers/src/", "cross/src/"].iter().any(|room| file.starts_with(room))
    };
    files(".rs").into_iter().filter(of_product).collect()
}

/// Lines that are code: no comments.
fn code(file: &str) -> Vec<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text(file).lines().filter(is_code).map(str::to_owned).collect()
}

fn named_only_in(word: &str, rooms: &[&str]) {
    let at_word = |line: &String| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            let part_of_a_name =
                |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !part_of_a_name(before) && !part_of_a_name(after)
        })
    };
    let mut seen = 0;
    for file in sources() {
        if code(&file).iter().any(at_word) {
            assert!(rooms.iter().any(|room| file.starts_with(room)), "{file} names {word}");
            seen += 1;
        }
    }
    assert!(seen > 0, "nobody names {word}: is this rule still about something?");
}

#[test]
fn each_outside_library_is_named_in_its_own_rooms_only() {
    let engine_rooms = ["runner/src/engine/", "runner/src/worlds/", "runner/src/host/"];
    named_only_in("wasmtime", &[&engine_rooms[..], &["cross/src/compile"]].concat());
    let interpreter_rooms =
        ["interpreted/", "limiter", "fault"].map(|room| format!("runner/src/engine/{room}"));
    named_only_in("wasmi", &interpreter_rooms.each_ref().map(String::as_str));
    named_only_in("wasmparser", &["runner/src/engine/interpreted/"]);
    named_only_in("hyper", &["triggers/src/http/", "triggers/src/net/"]);
    named_only_in("rumqttc", &["triggers/src/mqtt/"]);
    named_only_in("rusqlite", &["runner/src/store"]);
    named_only_in("hyper", &["triggers/src/http/", "triggers/src/net/"]);
    named_only_in("gpiocdev_uapi", &["triggers/src/gpio/"]);
    named_only_in("embassy_time", &["triggers/src/time/"]);
}

#[test]
fn triggers_knows_no_wasm_no_manifest_and_nobody_above_it() {
    for file in sources().iter().filter(|file| file.starts_with("triggers/")) {
        for line in code(file) {
            for word in ["wasm", "manifest", "pirn_runner", "spin"] {
                let found = line.to_lowercase().contains(word);
                let harmless = line.contains("spin_loop") || line.contains("CARGO_MANIFEST_DIR");
                assert!(!found || harmless, "{file}: {line}");
            }
        }
    }
}

#[test]
fn the_engine_knows_no_host_and_nothing_else_of_the_runner_but_its_limits() {
    for file in sources().iter().filter(|file| file.starts_with("runner/src/engine/")) {
        for line in code(file) {
            for (at, path) in line.match_indices("crate::") {
                let named = &line[at + path.len()..];
                let is_own = named.starts_with("engine") || named.starts_with("limits");
                assert!(is_own, "{file}: {line}");
            }
        }
    }
}

#[test]
fn the_runner_does_not_know_the_workbench() {
    let manifest = text("runner/Cargo.toml");
    assert!(!manifest.contains("path = \"../cross\""));
    for file in sources().iter().filter(|file| file.starts_with("runner/")) {
        assert!(!code(file).iter().any(|line| line.contains("use pirn::")), "{file}");
    }
}

#[test]
fn the_runner_s_dependencies_hold_no_compiler() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "-p", "pirn-runner", "-e", "normal,build", "--prefix", "none"])
        .args(["--target", "all"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.contains("wasmtime v"), "cargo tree printed no wasmtime:\n{tree}");
    for compiler in ["cranelift-codegen", "wasmtime-internal-cranelift", "winch", "regalloc2"] {
        let found = tree.lines().find(|line| line.starts_with(compiler));
        assert_eq!(found, None, "pirnd would contain a compiler");
    }
}

#[test]
fn every_source_file_says_what_it_is_for_and_is_one_thing() {
    for file in sources() {
        let text = text(&file);
        assert!(text.starts_with("//!"), "{file} does not open with //!");
        let lines = text.lines().count();
        assert!(lines <= 450, "{file} has {lines} lines: is it still one thing?");
    }
}

#[test]
fn nothing_is_left_open_in_the_code() {
    let marks = ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "#[ignore"];
    for file in files(".rs").iter().filter(|file| !file.ends_with("house.rs")) {
        for mark in marks {
            assert!(!text(file).contains(mark), "{file} has a {mark}");
        }
    }
}

#[test]
fn every_dependency_of_the_runner_says_what_it_buys() {
    for manifest in ["runner/Cargo.toml", "triggers/Cargo.toml"] {
        let text = text(manifest);
        let dependencies = text.split("[dependencies]").nth(1).unwrap();
        let dependencies = dependencies.split("\n[").next().unwrap();
        let mut before = "";
        for line in dependencies.lines().filter(|line| !line.trim().is_empty()) {
            let is_entry = line.starts_with(|c: char| c.is_ascii_alphabetic());
            let explained = before.starts_with('#') || line.starts_with("pirn-");
            assert!(!is_entry || explained, "{manifest}: no reason for {line}");
            before = line;
        }
    }
}
