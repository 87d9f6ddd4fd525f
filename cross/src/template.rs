//! The templates of `pirn new`, embedded in the program. A template is an app that works under the name
//! `my-app`; making a new one replaces that name. The interfaces are copied along, so that the new
//! folder needs nothing of ours beside it.

/// The template that is taken unless another is named.
pub(crate) const DEFAULT: &str = "mqtt-rust";

/// The name in the templates that becomes the app's.
const NAME: &str = "my-app";

/// A template.
pub(crate) struct Template {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    files: &'static [(&'static str, &'static str)],
}

/// `(path in the new app, text)` of a file of a template.
macro_rules! file {
    ($path:literal) => {
        ($path, include_str!(concat!("../templates/mqtt-rust/", $path)))
    };
    ($path:literal, $source:literal) => {
        ($path, include_str!(concat!("../templates/mqtt-rust/", $source)))
    };
}

/// `(path in the new app, text)` of one of the runner's interfaces.
macro_rules! wit {
    ($path:literal) => {
        (concat!("wit/", $path), include_str!(concat!("../../runner/wit/", $path)))
    };
}

/// All of them.
pub(crate) const TEMPLATES: &[Template] = &[Template {
    name: DEFAULT,
    description: "a component in Rust, fired by MQTT messages, that answers with messages",
    files: &[
        file!("Cargo.toml"),
        file!("build.rs"),
        file!("spin.toml"),
        file!("README.md"),
        file!("src/lib.rs"),
        // Under its own name it would hide files of this repository.
        file!(".gitignore", "gitignore"),
    ],
}];

/// The interfaces, the same for every template. Those of Spin 1 are for components that there are already.
const INTERFACES: &[(&str, &str)] = &[
    wit!("worlds.wit"),
    wit!("deps/fermyon-example/timer.wit"),
    wit!("deps/fermyon-spin-cron@2.0.0/cron.wit"),
    wit!("deps/fermyon-spin@2.0.0/key-value.wit"),
    wit!("deps/fermyon-spin@2.0.0/llm.wit"),
    wit!("deps/fermyon-spin@2.0.0/mqtt.wit"),
    wit!("deps/fermyon-spin@2.0.0/redis.wit"),
    wit!("deps/fermyon-spin@2.0.0/sqlite.wit"),
    wit!("deps/fermyon-spin@2.0.0/variables.wit"),
    wit!("deps/pirn-gpio-trigger@0.1.0/gpio-trigger.wit"),
    wit!("deps/spin-cron@3.0.0/cron.wit"),
    wit!("deps/spin-key-value@3.0.0/key-value.wit"),
    wit!("deps/spin-mqtt-trigger/mqtt-trigger.wit"),
    wit!("deps/spin-mqtt-trigger@3.0.0/mqtt-trigger.wit"),
    wit!("deps/spin-mqtt@3.0.0/mqtt.wit"),
    wit!("deps/spin-redis@3.0.0/redis.wit"),
    wit!("deps/spin-sqlite@3.1.0/sqlite.wit"),
    wit!("deps/spin-variables@3.0.0/variables.wit"),
    wit!("deps/wasi-config@0.2.0-draft-2024-09-27/config.wit"),
    wit!("deps/wasi-gpio@0.2.0/gpio.wit"),
    wit!("deps/wasi-keyvalue@0.2.0-draft2/keyvalue.wit"),
];

impl Template {
    /// The template of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Template> {
        TEMPLATES.iter().find(|template| template.name == name)
    }

    /// The files of an app of this name: path, text.
    pub(crate) fn files(&self, name: &str) -> impl Iterator<Item = (&'static str, String)> {
        let snake = name.replace('-', "_");
        let camel = camel(name);
        let own = self.files.iter().map(move |(path, text)| {
            let text = text.replace(NAME, &name_of(&snake, '-')).replace("my_app", &snake);
            (*path, text.replace("MyApp", &camel))
        });
        own.chain(INTERFACES.iter().map(|(path, text)| (*path, (*text).to_owned())))
    }
}

fn name_of(snake: &str, joint: char) -> String {
    snake.replace('_', &joint.to_string())
}

fn camel(name: &str) -> String {
    name.split('-').map(capitalised).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// What is wrong with an app's name, if anything: it becomes a component id, a crate's name, a topic
/// level and a folder, so it keeps to what all of them allow.
pub(crate) fn wrong_name(name: &str) -> Option<&'static str> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if name.len() > 64 {
        return Some("it is longer than 64 characters");
    }
    if !name.split('-').all(is_word) {
        return Some(
            "expected lower-case words of letters and digits, each beginning with a letter, joined by \"-\"",
        );
    }
    // What Rust would not take as a crate's name.
    const KEYWORDS: [&str; 12] = [
        "test", "core", "std", "alloc", "self", "super", "crate", "fn", "mod", "use", "build",
        "deps",
    ];
    KEYWORDS.contains(&name).then_some("cargo reserves this name")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(files_below(&path));
            } else {
                found.insert(path);
            }
        }
        found
    }

    #[test]
    fn every_interface_of_the_runner_but_those_of_spin_1_is_in_a_new_app() {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runner/wit");
        let mut offered = files_below(&wit);
        offered.retain(|path| !path.starts_with(wit.join("spin-1")));
        let known: BTreeSet<_> = INTERFACES
            .iter()
            .map(|(path, _)| wit.join(path.strip_prefix("wit/").unwrap()))
            .collect();
        assert_eq!(offered, known);
    }

    #[test]
    fn every_file_of_a_template_is_in_a_new_app() {
        for template in TEMPLATES {
            let folder =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(template.name);
            assert_eq!(files_below(&folder).len(), template.files.len(), "{}", template.name);
        }
    }

    #[test]
    fn nothing_of_the_templates_name_is_left() {
        for template in TEMPLATES {
            for (path, text) in template.files("door-bell") {
                for left in ["my-app", "my_app", "MyApp"] {
                    assert!(!text.contains(left), "{path} still says {left}");
                }
            }
        }
    }

    #[test]
    fn a_new_apps_manifest_is_valid_under_any_valid_name() {
        let template = Template::find(DEFAULT).unwrap();
        for name in ["x", "door-bell", "a1-b2-c3"] {
            assert_eq!(wrong_name(name), None);
            let (_, text) = template.files(name).find(|(path, _)| *path == "spin.toml").unwrap();
            let manifest =
                pirn_runner::files::manifest::Manifest::parse("spin.toml", &text, None).unwrap();
            assert_eq!(manifest.application.name, name);
            assert!(manifest.components.contains_key(name));
        }
    }

    #[test]
    fn names_that_could_not_work_everywhere_are_refused() {
        for name in
            ["", "-", "a-", "-a", "a--b", "A", "a_b", "1a", "a-1", "a/b", "..", "ä", "test", "self"]
        {
            assert!(wrong_name(name).is_some(), "{name:?}");
        }
    }
}
