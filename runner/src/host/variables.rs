//! Variables: `fermyon:spin/variables@2.0.0`, its async twin, and `wasi:config/store`, which is WASI's. Values come from the
//! operator; which names a component may ask for stands in its manifest.

use wasmtime::component::{ComponentType, Lift, Lower};

use super::{Door, Host};
use crate::engine::door::{Answer, Twin};
use crate::engine::wire::wire;
use crate::files::variables::VariableError;

wire! {
    /// `variant error`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub enum Error {
        /// No name of a variable can look like this.
        #[component(name = "invalid-name")]
        InvalidName(String),
        /// The component's manifest names no such variable.
        #[component(name = "undefined")]
        Undefined(String),
        /// A provider failed.
        #[component(name = "provider")]
        Provider(String),
        /// Anything else.
        #[component(name = "other")]
        Other(String),
    }
}

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    door.interface("fermyon:spin/variables@2.0.0")?.waiting(Twin::Sync, "get", get)?;
    door.interface("spin:variables/variables@3.0.0")?.waiting(Twin::Async, "get", get)?;
    let mut config = door.interface("wasi:config/store@0.2.0-draft-2024-09-27")?;
    config.at_once("get", config_get)?;
    config.at_once("get-all", config_get_all)
}

wire! {
    /// `variant error` of `wasi:config/store`.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub enum ConfigError {
        /// Where the value should have come from failed.
        #[component(name = "upstream")]
        Upstream(String),
        /// Anything else.
        #[component(name = "io")]
        Io(String),
    }
}

impl From<VariableError> for ConfigError {
    fn from(error: VariableError) -> Self {
        match Error::from(error) {
            Error::Provider(sentence) => Self::Upstream(sentence),
            Error::InvalidName(sentence) | Error::Undefined(sentence) | Error::Other(sentence) => {
                Self::Io(sentence)
            }
        }
    }
}

type Config<T> = Answer<(Result<T, ConfigError>,)>;

/// What the component does not declare has no value here, rather than being an error.
fn config_get(host: &Host, (name,): (String,)) -> Config<Option<String>> {
    Ok((match host.grants().variables.get(&name) {
        Ok(value) => Ok(Some(value)),
        Err(VariableError::Undefined(_) | VariableError::InvalidName(_)) => Ok(None),
        Err(error) => Err(error.into()),
    },))
}

fn config_get_all(host: &Host, (): ()) -> Config<Vec<(String, String)>> {
    let all = host.grants().variables.all();
    let pair = |(name, value): (&str, &Result<String, VariableError>)| {
        Ok((name.to_owned(), value.clone()?))
    };
    Ok((all.map(pair).collect::<Result<_, VariableError>>().map_err(ConfigError::from),))
}

async fn get(host: Host, (name,): (String,)) -> Answer<(Result<String, Error>,)> {
    let grants = host.grants();
    Ok((grants.variables.get(&name).map_err(Error::from),))
}

impl From<VariableError> for Error {
    fn from(error: VariableError) -> Self {
        let sentence = error.to_string();
        match error {
            VariableError::InvalidName(_) => Self::InvalidName(sentence),
            VariableError::Undefined(_) => Self::Undefined(sentence),
            VariableError::Missing(_) => Self::Provider(sentence),
            VariableError::Large(_) => Self::Other(sentence),
        }
    }
}
