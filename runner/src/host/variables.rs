//! Variables: `fermyon:spin/variables@2.0.0` and its async twin. Values come from the operator; which
//! names a component may ask for stands in its manifest.

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
    door.interface("spin:variables/variables@3.0.0")?.waiting(Twin::Async, "get", get)
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
