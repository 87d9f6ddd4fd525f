//! From the files to the plan: what is read, in which order, and where variables come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    App, AppError, AppFiles, Known, Pins, Processor, Purpose, broker, capabilities, http, limits,
    triggers,
};
use crate::files::board::Board;
use crate::files::config::{Error, unknown};
use crate::files::manifest::{Manifest, Trigger, is_environment};
use crate::files::runtime_config::{ProviderConfig, RuntimeConfig};
use crate::files::variables::{Environment, Provider, Variables, parse_dotenv};

/// Spin's prefix for variables in the environment.
const ENVIRONMENT_PREFIX: &str = "SPIN_VARIABLE";

/// The three hands, read and checked, before anything is decided.
pub(super) struct Hands<'a> {
    pub(super) files: &'a AppFiles,
    pub(super) dir: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) manifest: Arc<Manifest>,
    pub(super) board: Arc<Board>,
    pub(super) operator: Arc<RuntimeConfig>,
    pub(super) variables: Variables,
    pub(super) warnings: Vec<String>,
}

pub(super) fn load(files: &AppFiles) -> Result<App, AppError> {
    let mut hands = read(files)?;
    check_command_line(&hands)?;
    if files.purpose == Purpose::Run {
        check_variables(&hands)?;
    }
    let ids = triggered(&hands.manifest.triggers);
    let mut pins = Pins::default();
    let triggers = triggers::triggers(&hands, &ids, &mut pins)?;
    let mut components = Vec::with_capacity(ids.len());
    for id in &ids {
        let Some(component) = hands.manifest.components.get(*id) else {
            continue;
        };
        let limits = limits::of(&hands, component)?;
        let (capabilities, warnings) = capabilities::of(&hands, component, &mut pins)?;
        hands.warnings.extend(warnings);
        components.push(super::ComponentPlan {
            id: component.id.clone(),
            source: component.source.clone(),
            engine: component.tool.engine,
            artifact: limits::artifact(&hands, component)?,
            limits,
            requests_max: component.tool.instances.unwrap_or(hands.board.instances_max),
            capabilities,
        });
    }
    let app_limits = limits::of_app(&hands)?;
    limits::check_room(&hands, app_limits, &components)?;
    pins.check(&hands)?;
    hands.warnings.extend(pins.warnings(&hands));
    let broker = broker::of(&hands)?;
    let http = http::of(&mut hands, &triggers)?;
    let mut app = App {
        name: hands.manifest.application.name.clone(),
        components,
        triggers,
        pins,
        broker,
        limits: app_limits,
        http,
        log_dir: files.log_dir.clone().or_else(|| hands.operator.log_dir.clone()),
        dir: hands.dir,
        state_dir: hands.state_dir,
        manifest: hands.manifest,
        board: hands.board,
        runtime_config: hands.operator,
        variables: hands.variables,
        warnings: hands.warnings,
    };
    fit_requests(&mut app);
    app.budget(&[]).check()?;
    Ok(app)
}

/// A component that does not say how many of its requests run at the same time gets as many as fit the board.
fn fit_requests(app: &mut App) {
    while app.budget(&[]).check().is_err() {
        let manifest = Arc::clone(&app.manifest);
        let says = |id: &str| {
            manifest.components.get(id).is_none_or(|component| component.tool.instances.is_some())
        };
        let may_have_less =
            app.components.iter_mut().filter(|it| it.requests_max > 1 && !says(&it.id));
        let Some(largest) = may_have_less
            .max_by_key(|it| it.limits.memory_bytes_max.saturating_mul(it.requests_max.into()))
        else {
            return;
        };
        largest.requests_max -= 1;
    }
}

fn read(files: &AppFiles) -> Result<Hands<'_>, Error> {
    let dir = files.dir();
    let manifest = Manifest::read_file(&files.manifest_file(), files.profile.as_deref())?;
    let manifest = Arc::new(manifest);
    let Known { board, operator } = files.known.clone().map_or_else(|| known(files), Ok)?;
    let providers = providers(files, &dir, &operator)?;
    Ok(Hands {
        files,
        state_dir: files.state_dir_with(operator.state_dir.as_deref()),
        dir,
        variables: Variables::new(Arc::clone(&manifest), providers),
        warnings: manifest.warnings.clone(),
        manifest,
        board,
        operator,
    })
}

/// The board and the operator's settings.
pub(super) fn known(files: &AppFiles) -> Result<Known, Error> {
    let board = Board::find(files.board.as_deref().unwrap_or(Board::default_name()))?;
    let board = match files.processor {
        Processor::Board => board,
        Processor::Here => board.with_this_processor(),
    };
    let operator = files.runtime_config.as_deref().map(RuntimeConfig::read_file).transpose()?;
    Ok(Known { board: Arc::new(board), operator: Arc::new(operator.unwrap_or_default()) })
}

fn providers(
    files: &AppFiles,
    dir: &Path,
    operator: &RuntimeConfig,
) -> Result<Vec<Provider>, Error> {
    let mut providers = vec![Provider::Values(files.variables.iter().cloned().collect())];
    let own_dotenv = dir.join(".env");
    let environment =
        |dotenv| Environment { process: Arc::clone(&files.process_environment), dotenv };
    for configured in &operator.variables_providers {
        providers.push(match configured {
            ProviderConfig::Static(values) => Provider::Values(values.clone()),
            ProviderConfig::Env { prefix, dotenv_path } => Provider::Environment {
                prefix: prefix.clone().unwrap_or_else(|| ENVIRONMENT_PREFIX.to_owned()),
                environment: environment(match dotenv_path {
                    Some(path) => read_dotenv(path)?,
                    None => optional_dotenv(&own_dotenv)?,
                }),
            },
        });
    }
    let prefix = ENVIRONMENT_PREFIX.to_owned();
    providers.push(Provider::Environment {
        prefix,
        environment: environment(optional_dotenv(&own_dotenv)?),
    });
    Ok(providers)
}

fn optional_dotenv(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    match path.exists() {
        true => read_dotenv(path),
        false => Ok(BTreeMap::new()),
    }
}

fn read_dotenv(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    let text = crate::files::config::read_file(path)?;
    parse_dotenv(&text).map_err(|line| {
        let message =
            "cannot be read; write NAME=value, with quotes where the value has blanks at its ends";
        Error::at(&path.display().to_string(), line, "", "", message)
    })
}

/// What the command line names must exist: a typo there would otherwise be a default in production.
fn check_command_line(hands: &Hands<'_>) -> Result<(), Error> {
    let declared: Vec<&str> = hands.manifest.variables.keys().map(String::as_str).collect();
    for (name, _) in &hands.files.variables {
        if !declared.contains(&name.as_str()) {
            let help = format!("declared in {}: {}", hands.manifest.file, declared.join(", "));
            return Err(Error::about_file("--variable", unknown("variable", name, &declared))
                .with_help(help));
        }
    }
    let bad =
        hands.files.guest_environment.iter().find(|(name, value)| !is_environment(name, value));
    bad.map_or(Ok(()), |(name, _)| {
        Err(Error::about_file("--env", format!("{name:?} is no environment variable")))
    })
}

fn check_variables(hands: &Hands<'_>) -> Result<(), Error> {
    let missing = hands.variables.missing();
    let Some(name) = missing.first() else {
        return Ok(());
    };
    let line = hands.manifest.variables.get(*name).map_or(1, |declaration| declaration.line);
    let others = match missing.get(1..).unwrap_or_default() {
        [] => String::new(),
        others => format!(" (and so are: {})", others.join(", ")),
    };
    let message = format!("required, and nothing gives it a value{others}");
    let help = format!(
        "give it with --variable {name}=…, in {ENVIRONMENT_PREFIX}_{}, or in runtime-config.toml",
        name.to_ascii_uppercase()
    );
    Err(Error::at(&hands.manifest.file, line, "variables", name, message).with_help(help))
}

/// The ids of the components that triggers name, each once, in order.
fn triggered(triggers: &[Trigger]) -> Vec<&str> {
    let mut ids: Vec<&str> = triggers.iter().map(|trigger| trigger.component.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
