//! `dependencies`: components that the workbench composes this one with. Checked here, so that a typo is
//! found before a download; the runner never looks at them again.

use std::collections::BTreeMap;

use super::{Dependency, DependencySource, Inherit, source};
use crate::files::config::{Error, Table, Value, unknown};

/// Capabilities that a dependency can inherit by name.
const CAPABILITIES: &[&str] = &[
    "ai_models",
    "allowed_outbound_hosts",
    "environment",
    "files",
    "key_value_stores",
    "sqlite_databases",
    "variables",
];

pub(super) fn dependencies(table: &Table<'_>) -> Result<BTreeMap<String, Dependency>, Error> {
    table.map("dependencies", |entry| Ok((name(entry)?, dependency(entry)?)))
}

/// `dependencies_inherit_configuration`.
pub(super) fn inherit_all(table: &Table<'_>) -> Result<Inherit, Error> {
    match table.flag("dependencies_inherit_configuration")? {
        Some(true) => Ok(Inherit::Everything),
        _ => Ok(Inherit::Nothing),
    }
}

/// An import: `namespace:package[/interface][@version]`, or a plain name.
fn name(entry: &Value<'_>) -> Result<String, Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_:/@.+".contains(c);
    match !entry.key.is_empty() && entry.key.chars().all(allowed) {
        true => Ok(entry.key.clone()),
        false => Err(entry
            .error("is no import")
            .with_help(r#"write one like "namespace:package/interface@1.0.0""#)),
    }
}

fn dependency(entry: &Value<'_>) -> Result<Dependency, Error> {
    if entry.is_string() {
        let source =
            DependencySource::Package { version: version(entry)?, registry: None, package: None };
        return Ok(Dependency { source, export: None, inherit: None, line: entry.line() });
    }
    if !entry.is_table() {
        return Err(entry.expected("a version or a table"));
    }
    let table = entry.table()?;
    Ok(Dependency {
        source: table_source(&table)?,
        export: table.get("export").map(|value| source::word(&value)).transpose()?,
        inherit: table.get("inherit_configuration").map(|value| inherit(&value)).transpose()?,
        line: entry.line(),
    })
}

/// The key that is there says which of the four forms is meant.
fn table_source(table: &Table<'_>) -> Result<DependencySource, Error> {
    const BOTH: [&str; 2] = ["export", "inherit_configuration"];
    let only = |keys: &[&str]| table.clone().only(&[keys, &BOTH].concat());
    if table.has("path") {
        only(&["path"])?;
        return Ok(DependencySource::Path(source::path(&table.require("path", "a path")?)?));
    }
    if table.has("url") {
        let (url, sha256) = source::download(&only(&["url", "digest"])?)?;
        return Ok(DependencySource::Url { url, sha256 });
    }
    if table.has("component") {
        only(&["component"])?;
        return Ok(DependencySource::Component(
            table.require("component", "an id")?.string()?.to_owned(),
        ));
    }
    if !table.has("version") {
        only(&["version", "registry", "package", "path", "url", "digest", "component"])?;
        return Err(table.error("", "names none of version, path, url, component"));
    }
    only(&["version", "registry", "package"])?;
    Ok(DependencySource::Package {
        version: version(&table.require("version", "a range of versions")?)?,
        registry: table.get("registry").map(|value| source::word(&value)).transpose()?,
        package: table.get("package").map(|value| source::package(&value)).transpose()?,
    })
}

/// A range of versions; the workbench's registry client has the last word on it.
fn version(value: &Value<'_>) -> Result<String, Error> {
    let text = value.string()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || " .,-+*^~<>=".contains(c);
    let useful = text.contains(|c: char| c.is_ascii_digit() || c == '*');
    match useful && text.chars().all(allowed) {
        true => Ok(text.to_owned()),
        false => {
            Err(value
                .error(format!("{text:?} is no range of versions; write one like \">=1.2.0\"")))
        }
    }
}

fn inherit(value: &Value<'_>) -> Result<Inherit, Error> {
    if !value.is_list() {
        return match value.flag() {
            Ok(true) => Ok(Inherit::Everything),
            Ok(false) => Ok(Inherit::Nothing),
            Err(_) => Err(value.expected("true, false or a list of capabilities")),
        };
    }
    let mut names = Vec::new();
    for element in value.list()? {
        let name = element.string()?;
        if !CAPABILITIES.contains(&name) {
            let error = element.error(unknown("capability", name, CAPABILITIES));
            return Err(error.with_help(format!("allowed: {}", CAPABILITIES.join(", "))));
        }
        names.push(name.to_owned());
    }
    Ok(Inherit::Only(names))
}
