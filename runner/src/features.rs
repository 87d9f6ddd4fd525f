//! What was left out of this build, and which interfaces that is: one table, from which a component that asks for one of
//! them is told what to do.
//!
//! A capability that can be left out has a feature in `Cargo.toml`, a row here, and in `host/left_out/` a file that offers
//! nothing in its place, so that nobody else has to know.

/// A feature of this crate.
#[derive(Debug)]
pub struct Feature {
    /// As `Cargo.toml` has it.
    pub name: &'static str,
    /// Whether this build has it.
    pub is_in: bool,
    /// How the names of its interfaces begin: up to the version, if there is no more of the package.
    pub interfaces: &'static [&'static str],
}

/// All features that bring interfaces.
pub const FEATURES: &[Feature] = &[
    Feature { name: "llm", is_in: cfg!(feature = "llm"), interfaces: &["fermyon:spin/llm"] },
    Feature {
        name: "redis",
        is_in: cfg!(feature = "redis"),
        interfaces: &["fermyon:spin/redis", "fermyon:spin/inbound-redis", "spin:redis/"],
    },
    Feature {
        name: "sqlite-guest",
        is_in: cfg!(feature = "sqlite-guest"),
        interfaces: &["fermyon:spin/sqlite", "spin:sqlite/"],
    },
];

/// The feature that this build would need for an import, written as `interface#name` or without the name.
pub fn left_out(import: &str) -> Option<&'static str> {
    needed(import, FEATURES)
}

fn needed(import: &str, features: &'static [Feature]) -> Option<&'static str> {
    let interface = import.split('#').next().unwrap_or_default();
    let interface = interface.split('@').next().unwrap_or_default();
    let begins = |begin: &str| match begin.ends_with('/') {
        true => interface.starts_with(begin),
        false => interface == begin,
    };
    let absent = features.iter().filter(|feature| !feature.is_in);
    let mut matching =
        absent.filter(|feature| feature.interfaces.iter().any(|begin| begins(begin)));
    matching.next().map(|feature| feature.name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    static SOME: [Feature; 2] = [
        Feature { name: "here", is_in: true, interfaces: &["a:here/"] },
        Feature { name: "gone", is_in: false, interfaces: &["a:gone/", "a:b/one"] },
    ];

    #[test]
    fn an_import_needs_the_feature_whose_interface_it_is_of_whatever_the_version() {
        for (import, expected) in [
            ("a:gone/x@1.2.3#f", Some("gone")),
            ("a:gone/y#[method]r.f", Some("gone")),
            ("a:b/one@2.0.0#f", Some("gone")),
            ("a:b/one", Some("gone")),
            ("a:b/one-more#f", None),
            ("a:here/x@1.0.0#f", None),
            ("a:goner/x#f", None),
            ("world#f", None),
        ] {
            assert_eq!(needed(import, &SOME), expected, "{import}");
        }
    }

    #[test]
    fn every_feature_that_cargo_knows_has_its_row_and_is_in_by_default() {
        let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let manifest = manifest.unwrap();
        let features = manifest.split("[features]").nth(1).unwrap().split("\n[").next().unwrap();
        let names = features.lines().filter(|line| !line.starts_with('#'));
        let names: Vec<&str> = names.filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
        assert_eq!(names[0], "default");
        let rows: Vec<&str> = FEATURES.iter().map(|feature| feature.name).collect();
        assert_eq!(names[1..], rows);
        let default = features.lines().find(|line| line.starts_with("default")).unwrap();
        assert!(rows.iter().all(|name| default.contains(&format!("\"{name}\""))), "{default}");
    }
}
