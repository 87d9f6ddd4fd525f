//! The rooms of ARCHITECTURE.md: which folder knows which, computed from the code. No circle, and what the page says is
//! so; each hop of a message's way, and each file of its recipes, is there.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Graph = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        match path.is_dir() {
            true => rust_files(&path, found),
            false if path.extension().is_some_and(|end| end == "rs") => found.push(path),
            false => {}
        }
    }
}

/// The room of a file, relative to its crate's `src`: the first folder, or the file itself.
fn room(file: &Path) -> String {
    let first = file.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Code without comments and without tests, which may know everybody.
fn product(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]").unwrap_or(text.len());
    let code = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

fn is_test(file: &Path) -> bool {
    let name = file.to_string_lossy();
    name.contains("tests") || name.contains("testing")
}

/// What a text names after `crate::`, one by one or as a list.
fn named(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => {
                let (mut depth, mut top) = (0, String::new());
                for letter in list.chars() {
                    depth += i32::from(letter == '{') - i32::from(letter == '}');
                    match depth {
                        0 => top.push(letter),
                        ..0 => break,
                        _ => {}
                    }
                }
                top.split(',').map(str::trim).map(str::to_owned).collect()
            }
            None => vec![rest.to_owned()],
        };
        for name in names {
            let word = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_');
            rooms.insert(word.collect());
        }
    }
    rooms
}

/// Which room knows which, of a crate.
fn graph(of: &str) -> Graph {
    let src = root().join(of).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let within = |file: &Path| file.strip_prefix(&src).unwrap().to_path_buf();
    let rooms: BTreeSet<String> = files.iter().map(|file| room(&within(file))).collect();
    let mut graph = Graph::new();
    for file in files.iter().filter(|file| !is_test(&within(file))) {
        let own = room(&within(file));
        let known = named(&product(&std::fs::read_to_string(file).unwrap()));
        let others = known.into_iter().filter(|name| *name != own && rooms.contains(name));
        let others: Vec<String> = others.collect();
        graph.entry(own).or_default().extend(others);
    }
    graph
}

/// The longest way down from a room, itself included; a way that comes back to itself is a circle.
fn floors(graph: &Graph, from: &str, way: &mut Vec<String>) -> usize {
    assert!(!way.iter().any(|room| room == from), "a circle: {} → {from}", way.join(" → "));
    way.push(from.to_owned());
    let below = graph.get(from).into_iter().flatten();
    let deepest = below.map(|room| floors(graph, room, way)).max().unwrap_or(0);
    way.pop();
    deepest + 1
}

fn page() -> String {
    std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// The rows of the table below a heading, as cells without their backticks.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = page();
    let below = page.split(&format!("\n## {heading}\n")).nth(1);
    let below = below.unwrap_or_else(|| panic!("no heading {heading}"));
    let section = below.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    };
    rows.map(cells).collect()
}

#[test]
fn no_room_is_part_of_a_circle_and_there_are_at_most_nine_floors() {
    for of in ["triggers", "runner", "cross"] {
        let graph = graph(of);
        let deepest = graph.keys().map(|room| floors(&graph, room, &mut Vec::new())).max();
        assert!(deepest <= Some(9), "{of}: {deepest:?} floors");
        assert!(
            graph.len() > 2,
            "{of} has only {} rooms: is this still about something?",
            graph.len()
        );
    }
}

#[test]
fn the_page_says_which_room_of_the_runner_knows_which() {
    let mut graph = graph("runner");
    // The library's front door, and the program, which sees the library as anybody does.
    graph.retain(|room, _| room != "lib" && room != "bin");
    let words = |known: &BTreeSet<String>| match known.is_empty() {
        true => "nobody".to_owned(),
        false => known.iter().cloned().collect::<Vec<_>>().join(", "),
    };
    let computed: BTreeMap<String, String> =
        graph.iter().map(|(room, known)| (room.clone(), words(known))).collect();
    let said: BTreeMap<String, String> = table("Rooms of the runner")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    assert_eq!(said, computed);
}

#[test]
fn each_hop_of_a_message_s_way_is_where_the_page_says() {
    let rows = table("A message's way");
    assert!((10..=20).contains(&rows.len()), "{} hops", rows.len());
    for row in rows {
        let (file, function) = (&row[1], &row[2]);
        let text = std::fs::read_to_string(root().join(file));
        let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("fn {function}")), "{file} has no fn {function}");
    }
}

#[test]
fn each_file_that_a_recipe_names_is_there() {
    let page = page();
    let recipes = page.split("\n## To add something\n").nth(1).unwrap();
    let recipes = recipes.split("\n## ").next().unwrap();
    let named = recipes.split('`').skip(1).step_by(2).filter(|name| name.contains('/'));
    let mut seen = 0;
    for name in named {
        assert!(root().join(name).exists(), "{name}");
        seen += 1;
    }
    assert!(seen > 10, "recipes name only {seen} files");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_and_names_are_read_out_of_lists() {
        let names =
            named("use crate::{limits::x, store::{a, b}, host};\nlet x = crate::engine::y();");
        let expected = ["engine", "host", "limits", "store"].map(str::to_owned);
        assert_eq!(names, BTreeSet::from(expected));
        let to = |room: &str| BTreeSet::from([room.to_owned()]);
        let round = Graph::from([("a".into(), to("b")), ("b".into(), to("a"))]);
        let circle = std::panic::catch_unwind(|| floors(&round, "a", &mut Vec::new()));
        assert!(circle.is_err());
    }
}
