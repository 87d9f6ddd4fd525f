//! `spin.toml` as written → [`Manifest`]: the file as a whole, and what its parts share.

use std::collections::{BTreeMap, BTreeSet};

use super::{Component, Manifest, Secrecy, Template, VariableDeclaration, VariableDefault};
use super::{application, component, id, trigger};
use crate::files::config::{Document, Error, Table, Value, unknown};

/// What the readers of the parts share.
pub(super) struct Reader<'p> {
    /// Declared variables: what a template may name.
    pub(super) variables: BTreeMap<String, VariableDeclaration>,
    /// `--profile`.
    pub(super) profile: Option<&'p str>,
    /// Every profile that any component defines.
    pub(super) profiles: BTreeSet<String>,
    /// Sentences for the person who deploys.
    pub(super) warnings: Vec<String>,
}

/// Checks a whole manifest.
pub(super) fn manifest(file: &str, text: &str, profile: Option<&str>) -> Result<Manifest, Error> {
    let document = Document::parse(file, text)?;
    let root = document.root();
    check_version(&root)?;
    let root =
        root.only(&["spin_manifest_version", "application", "variables", "trigger", "component"])?;
    let mut reader = Reader {
        variables: variables(&root)?,
        profile,
        profiles: BTreeSet::new(),
        warnings: Vec::new(),
    };
    let application = application::application(&reader, &root)?;
    let mut components = components(&mut reader, &root)?;
    let (triggers, static_routes) = trigger::triggers(&mut reader, &root, &mut components)?;
    component::check_references(file, &components)?;
    reader.check_profile(file)?;
    application::check_broker(&root, &application, &triggers)?;
    let warnings = reader.warnings;
    let variables = reader.variables;
    Ok(Manifest {
        file: file.into(),
        application,
        variables,
        triggers,
        static_routes,
        components,
        warnings,
    })
}

fn check_version(root: &Table<'_>) -> Result<(), Error> {
    const KEY: &str = "spin_manifest_version";
    const HELP: &str = "write: spin_manifest_version = 2";
    let old = "version 1 is not supported";
    let old_help = "version 2 has other tables; `spin doctor` rewrites a manifest of version 1, \
                    see Spin's guide to manifest version 2";
    let Some(version) = root.get(KEY) else {
        return match root.has("spin_version") {
            true => Err(root.error("spin_version", old).with_help(old_help)),
            false => Err(root.error(KEY, "missing: the manifest's version").with_help(HELP)),
        };
    };
    match (version.integer(), version.string()) {
        (Some(2), _) => Ok(()),
        (Some(1), _) | (_, Ok("1")) => Err(version.error(old).with_help(old_help)),
        (Some(other), _) => {
            Err(version.error(format!("invalid manifest version: {other}")).with_help(HELP))
        }
        (_, Ok(other)) => {
            Err(version.error(format!("invalid manifest version: {other:?}")).with_help(HELP))
        }
        (None, Err(_)) => Err(version.expected("the number 2")),
    }
}

fn variables(root: &Table<'_>) -> Result<BTreeMap<String, VariableDeclaration>, Error> {
    root.map("variables", |entry| Ok((id::variable_name(entry)?, variable(entry)?)))
}

fn variable(entry: &Value<'_>) -> Result<VariableDeclaration, Error> {
    let table = entry.table()?.only(&["description", "required", "default", "secret"])?;
    let required = table.flag("required")?.unwrap_or(false);
    let default = table.string("default")?;
    let value = match (required, default) {
        (true, None) => VariableDefault::Required,
        (false, Some(default)) => VariableDefault::Default(default.to_owned()),
        (true, Some(_)) => {
            return Err(
                table.error("default", "a required variable has no default; remove one of the two")
            );
        }
        (false, None) => {
            let error = table.error("", "needs a default, or must be required");
            return Err(error.with_help(r#"write `default = "…"`, or `required = true`"#));
        }
    };
    let secrecy = match table.flag("secret")? {
        Some(true) => Secrecy::Secret,
        _ => Secrecy::Shown,
    };
    let description = table.string("description")?.unwrap_or_default().to_owned();
    Ok(VariableDeclaration { description, value, secrecy, line: entry.line() })
}

fn components(
    reader: &mut Reader<'_>,
    root: &Table<'_>,
) -> Result<BTreeMap<String, Box<Component>>, Error> {
    let Some(table) = root.table("component")? else {
        return Ok(BTreeMap::new());
    };
    let mut components = BTreeMap::new();
    for entry in table.entries() {
        let id = id::component_id(&entry, &entry.key)?;
        let component = component::component(reader, &id, &entry.table()?)?;
        components.insert(id, Box::new(component));
    }
    Ok(components)
}

impl Reader<'_> {
    /// Reads a template whose names must all be declared.
    pub(super) fn template(&self, value: &Value<'_>) -> Result<Template, Error> {
        let template =
            Template::parse(value.string()?).map_err(|error| value.error(error.to_string()))?;
        self.check_names(&template, value)?;
        Ok(template)
    }

    /// The template of a key, if it is there.
    pub(super) fn optional_template(
        &self,
        table: &Table<'_>,
        key: &str,
    ) -> Result<Option<Template>, Error> {
        table.get(key).map(|value| self.template(&value)).transpose()
    }

    fn check_names(&self, template: &Template, value: &Value<'_>) -> Result<(), Error> {
        let Some(name) = template.names().find(|name| !self.variables.contains_key(*name)) else {
            return Ok(());
        };
        let known: Vec<&str> = self.variables.keys().map(String::as_str).collect();
        let help = match known.as_slice() {
            [] => "the manifest declares no variables; declare it in [variables]".to_owned(),
            _ => format!("declared in [variables]: {}", known.join(", ")),
        };
        Err(value.error(unknown("variable", name, &known)).with_help(help))
    }

    fn check_profile(&self, file: &str) -> Result<(), Error> {
        let Some(wanted) = self.profile.filter(|name| !self.profiles.contains(*name)) else {
            return Ok(());
        };
        let known: Vec<&str> = self.profiles.iter().map(String::as_str).collect();
        let help = match known.as_slice() {
            [] => "no component of this manifest has profiles".to_owned(),
            _ => format!("profiles: {}", known.join(", ")),
        };
        Err(Error::about_file(file, unknown("profile", wanted, &known)).with_help(help))
    }
}
