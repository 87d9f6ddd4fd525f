//! `[component.<id>]`: a component's source, wishes and build, with the chosen profile applied.

use std::collections::BTreeMap;

use super::read::Reader;
use super::{Build, Component, DependencySource, FileEntry, HostPattern, Source, Template};
use super::{dependency, id, source, tool};
use crate::files::config::{Error, Table, Value, unknown};

const KEYS: &[&str] = &[
    "source",
    "description",
    "variables",
    "environment",
    "files",
    "exclude_files",
    "allowed_outbound_hosts",
    "allowed_http_hosts",
    "key_value_stores",
    "sqlite_databases",
    "ai_models",
    "targets",
    "build",
    "tool",
    "dependencies",
    "dependencies_inherit_configuration",
    "profile",
];

pub(super) fn component(
    reader: &mut Reader<'_>,
    id: &str,
    table: &Table<'_>,
) -> Result<Component, Error> {
    let table = table.clone().only(KEYS)?;
    let mut component = Component {
        id: id.to_owned(),
        line: table.line(),
        source: source::source(&table.require("source", "where the component's bytes are")?)?,
        description: table.string("description")?.unwrap_or_default().to_owned(),
        variables: variables(reader, &table)?,
        environment: environment(&table)?,
        files: files(&table)?,
        exclude_files: exclude_files(&table)?,
        allowed_outbound_hosts: hosts(reader, id, &table)?,
        key_value_stores: labels(&table, "key_value_stores")?,
        sqlite_databases: labels(&table, "sqlite_databases")?,
        ai_models: table.strings("ai_models")?,
        targets: table.strings("targets")?,
        build: table.table("build")?.map(build).transpose()?,
        dependencies: dependency::dependencies(&table)?,
        dependencies_inherit: dependency::inherit_all(&table)?,
        tool: tool::component_tool(&table)?,
        lines: table.entries().iter().map(|entry| (entry.key.clone(), entry.line())).collect(),
    };
    for profile in profiles(&table)? {
        if reader.profile == Some(profile.name.as_str()) {
            profile.apply(&mut component);
        }
        reader.profiles.insert(profile.name);
    }
    Ok(component)
}

fn variables(reader: &Reader<'_>, table: &Table<'_>) -> Result<BTreeMap<String, Template>, Error> {
    table.map("variables", |entry| Ok((id::variable_name(entry)?, reader.template(entry)?)))
}

/// Names that no process could have are refused here, so that no guest sees half an environment.
fn environment(table: &Table<'_>) -> Result<BTreeMap<String, String>, Error> {
    let variables = table.string_map("environment")?;
    let bad = variables.iter().find(|(name, value)| !is_environment(name, value));
    match bad {
        Some((name, _)) => {
            Err(table.error("environment", format!("{name:?} is no environment variable")))
        }
        None => Ok(variables),
    }
}

/// Whether a process can have this environment variable.
pub(crate) fn is_environment(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

fn files(table: &Table<'_>) -> Result<Vec<FileEntry>, Error> {
    let Some(list) = table.get("files") else {
        return Ok(Vec::new());
    };
    list.list()?.iter().map(file_entry).collect()
}

fn file_entry(value: &Value<'_>) -> Result<FileEntry, Error> {
    if value.is_string() {
        return Ok(FileEntry::Glob(inside(value)?));
    }
    if !value.is_table() {
        return Err(value.expected("a path, or { source = \"…\", destination = \"…\" }"));
    }
    let table = value.table()?.only(&["source", "destination"])?;
    let source = inside(&table.require("source", "a file or folder of the app")?)?;
    let destination = table.require("destination", "where the component sees it")?;
    Ok(FileEntry::Mount { source, destination: guest_path(&destination)? })
}

fn exclude_files(table: &Table<'_>) -> Result<Vec<String>, Error> {
    let Some(list) = table.get("exclude_files") else {
        return Ok(Vec::new());
    };
    list.list()?.iter().map(inside).collect()
}

/// A path or glob that cannot leave the app's folder.
fn inside(value: &Value<'_>) -> Result<String, Error> {
    let path = value.string()?;
    let problem = match path {
        "" => "a path cannot be empty",
        _ if path.contains('\0') => "a path cannot hold a null character",
        _ if path.starts_with('/') => "must be relative to the manifest's folder",
        _ if path.split('/').any(|part| part == "..") => {
            "must stay inside the manifest's folder; \"..\" is not allowed"
        }
        _ => return Ok(path.to_owned()),
    };
    Err(value.error(format!("{path:?}: {problem}")))
}

/// An absolute path in the guest; a missing first slash is forgiven, as Spin does.
fn guest_path(value: &Value<'_>) -> Result<String, Error> {
    let path = value.string()?;
    if path.is_empty() || path.contains('\0') || path.split('/').any(|part| part == "..") {
        return Err(value
            .error(format!("{path:?} is no absolute path"))
            .with_help(r#"write one like "/" or "/data""#));
    }
    Ok(format!("/{}", path.trim_matches('/')))
}

/// Literal entries are checked; templates can only be checked once they have values.
fn hosts(reader: &mut Reader<'_>, id: &str, table: &Table<'_>) -> Result<Vec<Template>, Error> {
    let mut hosts = Vec::new();
    if let Some(list) = table.get("allowed_outbound_hosts") {
        for value in list.list()? {
            let template = reader.template(&value)?;
            check_literal_host(&template).map_err(|error| value.error(error))?;
            hosts.push(template);
        }
    }
    if let Some(list) = table.get("allowed_http_hosts") {
        let warning = format!(
            "[component.{id}] allowed_http_hosts is deprecated; write allowed_outbound_hosts with a scheme, like https://example.com"
        );
        reader.warnings.push(warning);
        for value in list.list()? {
            hosts.extend(http_hosts(&value)?);
        }
    }
    Ok(hosts)
}

fn check_literal_host(template: &Template) -> Result<(), String> {
    match template.literal().map(str::trim) {
        None | Some("") => Ok(()),
        Some(text) => HostPattern::parse(text).map(drop).map_err(|error| error.to_string()),
    }
}

/// The old key named hosts without a scheme and meant both.
fn http_hosts(value: &Value<'_>) -> Result<Vec<Template>, Error> {
    let written = value.string()?;
    let entries = match written {
        "insecure:allow-all" => vec!["http://*:*".to_owned(), "https://*:*".to_owned()],
        _ if written.contains("://") => vec![written.to_owned()],
        _ => vec![format!("http://{written}"), format!("https://{written}")],
    };
    let checked = |entry: String| {
        HostPattern::parse(&entry).map_err(|error| value.error(error.to_string()))?;
        Ok(Template::text(&entry))
    };
    entries.into_iter().map(checked).collect()
}

/// Labels name stores, and files of stores, so they are plain words.
fn labels(table: &Table<'_>, key: &str) -> Result<Vec<String>, Error> {
    let Some(list) = table.get(key) else {
        return Ok(Vec::new());
    };
    let mut labels: Vec<String> = Vec::new();
    for value in list.list()? {
        let label = label(&value, value.string()?)?;
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    Ok(labels)
}

/// A label of a store or database.
pub(crate) fn label(value: &Value<'_>, label: &str) -> Result<String, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let starts = label.starts_with(|c: char| c.is_ascii_alphabetic());
    match starts && label.chars().all(plain) && label.len() <= 64 {
        true => Ok(label.to_owned()),
        false => Err(value.error(format!("{label:?} is no label")).with_help(
            "labels start with a letter and have letters, digits, '-' and '_', at most 64",
        )),
    }
}

fn build(table: Table<'_>) -> Result<Build, Error> {
    let table = table.only(&["command", "workdir", "watch"])?;
    let commands = commands(&table.require("command", "what to run")?)?;
    let workdir = table.get("workdir").map(|value| relative(&value)).transpose()?;
    Ok(Build { commands, workdir, watch: table.strings("watch")? })
}

fn commands(value: &Value<'_>) -> Result<Vec<String>, Error> {
    let commands = match (value.is_string(), value.is_list()) {
        (true, _) => vec![value.string()?.to_owned()],
        (false, true) => value.strings()?,
        (false, false) => return Err(value.expected("a command or a list of commands")),
    };
    match commands.is_empty() || commands.iter().any(|command| command.trim().is_empty()) {
        true => Err(value.error("a command cannot be empty")),
        false => Ok(commands),
    }
}

/// A folder relative to the manifest's; it may lie outside, as a workspace does.
fn relative(value: &Value<'_>) -> Result<String, Error> {
    match value.string()? {
        "" => Err(value.error("a path cannot be empty")),
        path if path.starts_with('/') => {
            Err(value.error("must be relative to the manifest's folder"))
        }
        path => Ok(path.to_owned()),
    }
}

/// `[component.<id>.profile.<name>]`: what is different under `--profile`.
struct Profile {
    name: String,
    source: Option<Source>,
    environment: BTreeMap<String, String>,
    dependencies: BTreeMap<String, super::Dependency>,
    commands: Option<Vec<String>>,
}

fn profiles(table: &Table<'_>) -> Result<Vec<Profile>, Error> {
    let Some(profiles) = table.table("profile")? else {
        return Ok(Vec::new());
    };
    profiles.entries().iter().map(profile).collect()
}

fn profile(entry: &Value<'_>) -> Result<Profile, Error> {
    let table = entry.table()?.only(&["source", "environment", "dependencies", "build"])?;
    let build = table.table("build")?.map(|build| build.only(&["command"])).transpose()?;
    let command = build.map(|build| build.require("command", "what to run")).transpose()?;
    Ok(Profile {
        name: entry.key.clone(),
        source: table.get("source").map(|value| source::source(&value)).transpose()?,
        environment: environment(&table)?,
        dependencies: dependency::dependencies(&table)?,
        commands: command.map(|value| commands(&value)).transpose()?,
    })
}

impl Profile {
    fn apply(&self, component: &mut Component) {
        if let Some(source) = &self.source {
            component.source = source.clone();
        }
        component.environment.extend(self.environment.clone());
        component.dependencies.extend(self.dependencies.clone());
        if let Some(commands) = &self.commands {
            let build = component.build.get_or_insert(Build {
                commands: Vec::new(),
                workdir: None,
                watch: Vec::new(),
            });
            build.commands.clone_from(commands);
        }
    }
}

/// Dependencies on components of this manifest exist, and none is its own.
pub(super) fn check_references(
    file: &str,
    components: &BTreeMap<String, Box<Component>>,
) -> Result<(), Error> {
    let known: Vec<&str> = components.keys().map(String::as_str).collect();
    for component in components.values() {
        for (name, dependency) in &component.dependencies {
            let DependencySource::Component(other) = &dependency.source else {
                continue;
            };
            let message = match known.contains(&other.as_str()) {
                _ if *other == component.id => "a component cannot depend on itself".to_owned(),
                true => continue,
                false => unknown("component", other, &known),
            };
            let table = format!("component.{}.dependencies", component.id);
            return Err(Error::at(file, dependency.line, &table, name, message));
        }
    }
    Ok(())
}
