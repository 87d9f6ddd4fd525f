//! Where values of variables come from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One place to look a variable up.
#[derive(Clone)]
pub enum Provider {
    /// Given by name: `--variable`, or `static` in `runtime-config.toml`.
    Values(BTreeMap<String, String>),
    /// `PREFIX_NAME` in the environment, then in a `.env` file.
    Environment {
        /// Without the underscore that follows it.
        prefix: String,
        /// What was found when the app loaded.
        environment: Environment,
    },
}

/// Environment variables, as they were when the app loaded.
#[derive(Clone, Default)]
pub struct Environment {
    /// The process's own.
    pub process: Arc<BTreeMap<String, String>>,
    /// Those of a `.env` file, which the process's own go before.
    pub dotenv: BTreeMap<String, String>,
}

impl Provider {
    pub(crate) fn get(&self, name: &str) -> Option<&String> {
        match self {
            Self::Values(values) => values.get(name),
            Self::Environment { prefix, environment } => {
                let key = format!("{prefix}_{}", name.to_ascii_uppercase());
                environment.process.get(&key).or_else(|| environment.dotenv.get(&key))
            }
        }
    }
}

impl fmt::Debug for Provider {
    /// Never the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(values) => f.debug_tuple("Values").field(&values.keys()).finish(),
            Self::Environment { prefix, .. } => f.debug_tuple("Environment").field(prefix).finish(),
        }
    }
}

impl fmt::Debug for Environment {
    /// Never the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}
