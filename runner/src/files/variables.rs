//! What variables are worth on this device: `--variable`, then the configured providers in the order of
//! their file, then the environment, then `.env`, then the manifest's default.
//!
//! Providers are fixed when the app loads, so that a value does not change under a running component and
//! every missing one is known at the start. No value is ever printed by this module; see [`Variables`].

use std::fmt;
use std::sync::Arc;

use crate::files::manifest::{Manifest, Secrecy, Template, VariableDeclaration, VariableDefault};
use crate::limits::VARIABLE_BYTES_MAX;

mod dotenv;
mod provider;

pub use dotenv::parse_dotenv;
pub use provider::{Environment, Provider};

/// The variables of an app, resolvable; by default there are none. Cheap to clone.
#[derive(Clone, Default)]
pub struct Variables {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    manifest: Option<Arc<Manifest>>,
    providers: Vec<Provider>,
}

impl Inner {
    fn declared(&self) -> impl Iterator<Item = (&String, &VariableDeclaration)> {
        self.manifest.iter().flat_map(|manifest| &manifest.variables)
    }

    fn declaration(&self, name: &str) -> Option<&VariableDeclaration> {
        self.manifest.as_ref()?.variables.get(name)
    }
}

/// The variables of one component, with their values.
#[derive(Clone, Default)]
pub struct GuestVariables(Box<[(String, Result<String, VariableError>)]>);

impl GuestVariables {
    /// The value of the one of this name.
    pub fn get(&self, name: &str) -> Result<String, VariableError> {
        if !crate::files::manifest::is_variable_name(name) {
            return Err(VariableError::InvalidName(name.chars().take(64).collect()));
        }
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or_else(
            || Err(VariableError::Undefined(name.to_owned())),
            |(_, value)| value.clone(),
        )
    }
}

impl GuestVariables {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Result<String, VariableError>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl fmt::Debug for GuestVariables {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Why a variable has no value, in the words of Spin's interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// The name is no name.
    #[error("{0:?} is not a variable name; names are lower case, like my_variable")]
    InvalidName(String),
    /// The component, or the app, has no such variable.
    #[error("variable {0:?} is not defined")]
    Undefined(String),
    /// The variable must come from outside, and nobody gives it.
    #[error("variable {0:?} is required and nothing gives it a value")]
    Missing(String),
    /// A value too large to hand to a guest.
    #[error("the value of variable {0:?} is larger than {VARIABLE_BYTES_MAX} bytes")]
    Large(String),
}

impl Variables {
    /// The variables of `manifest`, with `providers` asked in order before the defaults.
    pub fn new(manifest: Arc<Manifest>, providers: Vec<Provider>) -> Self {
        Self { inner: Arc::new(Inner { manifest: Some(manifest), providers }) }
    }

    /// What the guests of `component` get when they ask for its variables.
    pub fn of(&self, component: &str) -> GuestVariables {
        let manifest = self.inner.manifest.as_deref();
        let own = manifest.and_then(|manifest| manifest.components.get(component));
        let named = own.iter().flat_map(|own| &own.variables);
        GuestVariables(named.map(|(name, value)| (name.clone(), self.expand(value))).collect())
    }

    /// What the guest of `component` gets when it asks for its variable `name`.
    pub fn resolve(&self, component: &str, name: &str) -> Result<String, VariableError> {
        self.of(component).get(name)
    }

    /// A template of the manifest (an address, a topic, a host) with the app's variables put in.
    pub fn expand(&self, template: &Template) -> Result<String, VariableError> {
        let text = template.expand(|name| self.value(name))?;
        match text.len() <= VARIABLE_BYTES_MAX {
            true => Ok(text),
            false => {
                Err(VariableError::Large(template.names().next().unwrap_or_default().to_owned()))
            }
        }
    }

    /// The names of required variables that nobody gives a value, in order.
    pub fn missing(&self) -> Vec<&str> {
        let names = self.inner.declared().map(|(name, _)| name.as_str());
        names.filter(|name| matches!(self.value(name), Err(VariableError::Missing(_)))).collect()
    }

    /// Whether any variable in the template is a secret: then what it gives must not be printed.
    pub fn secrecy(&self, template: &Template) -> Secrecy {
        let secret =
            |name| self.inner.declaration(name).is_some_and(|d| d.secrecy == Secrecy::Secret);
        match template.names().any(secret) {
            true => Secrecy::Secret,
            false => Secrecy::Shown,
        }
    }

    fn value(&self, name: &str) -> Result<String, VariableError> {
        let declared = self.inner.declaration(name);
        let declared = declared.ok_or_else(|| VariableError::Undefined(name.to_owned()))?;
        let given = self.inner.providers.iter().find_map(|provider| provider.get(name));
        let value = match (given, &declared.value) {
            (Some(value), _) | (None, VariableDefault::Default(value)) => value,
            (None, VariableDefault::Required) => {
                return Err(VariableError::Missing(name.to_owned()));
            }
        };
        match value.len() <= VARIABLE_BYTES_MAX {
            true => Ok(value.clone()),
            false => Err(VariableError::Large(name.to_owned())),
        }
    }
}

impl fmt::Debug for Variables {
    /// Names only: a value may be a secret, or become one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables")
            .field("declared", &self.inner.declared().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
spin_manifest_version = 2
application = { name = "x", trigger.mqtt = { address = "mqtt://x" } }
trigger.mqtt = [{ topic = "t", component = { source = "x.wasm", variables = { big = "{{ a }}{{ a }}" } } }]
[variables]
a = { default = "1" }
needed = { required = true }
also_needed = { required = true }
token = { default = "s3cret", secret = true }
"#;

    fn variables(given: &[(&str, &str)]) -> Variables {
        let values =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Variables::new(
            Manifest::parse("f", MANIFEST, None).unwrap().into(),
            vec![Provider::Values(values)],
        )
    }

    #[test]
    fn required_variables_without_a_value_are_listed() {
        assert_eq!(variables(&[]).missing(), ["also_needed", "needed"]);
        assert_eq!(variables(&[("needed", "")]).missing(), ["also_needed"]);
        let template = Template::parse("{{ needed }}").unwrap();
        assert_eq!(variables(&[]).expand(&template), Err(VariableError::Missing("needed".into())));
    }

    #[test]
    fn values_larger_than_a_guest_should_get_are_refused() {
        let half = "x".repeat(VARIABLE_BYTES_MAX / 2 + 1);
        let component = "mqtt-trigger1-component";
        assert_eq!(
            variables(&[("a", &half)]).resolve(component, "big"),
            Err(VariableError::Large("a".into()))
        );
        let whole = "x".repeat(VARIABLE_BYTES_MAX + 1);
        let template = Template::parse("{{ a }}").unwrap();
        assert_eq!(
            variables(&[("a", &whole)]).expand(&template),
            Err(VariableError::Large("a".into()))
        );
        assert_eq!(
            variables(&[("a", &whole[1..])]).expand(&template).unwrap().len(),
            VARIABLE_BYTES_MAX
        );
    }

    #[test]
    fn a_template_with_one_secret_is_secret() {
        let secrecy = |text| variables(&[]).secrecy(&Template::parse(text).unwrap());
        assert_eq!(secrecy("{{ a }}/{{ token }}"), Secrecy::Secret);
        assert_eq!(secrecy("{{ a }}"), Secrecy::Shown);
        assert_eq!(secrecy("token"), Secrecy::Shown);
    }

    #[test]
    fn debug_output_holds_names_and_no_values() {
        let manifest = Manifest::parse("f", MANIFEST, None).unwrap();
        let printed = format!("{manifest:?} {:?}", variables(&[("a", "hunter2")]));
        assert!(
            printed.contains("token")
                && !printed.contains("s3cret")
                && !printed.contains("hunter2"),
            "{printed}"
        );
    }
}
