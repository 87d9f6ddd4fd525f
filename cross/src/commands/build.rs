//! `pirn build`: the manifest's build commands, then the board's artifacts.

use pirn_runner::files::board::ArtifactKind;
use pirn_runner::plan::bundle;
use pirn_runner::plan::{App, AppFiles, ComponentPlan, Purpose};

use crate::cli::{AppArgs, Build, EmbeddedBroker, OperatorArgs, Up};
use crate::failure::{Failure, Outcome};
use crate::ui::Volume;
use crate::{build, compile};

/// Builds and compiles; with `--up` runs the app afterwards.
pub(crate) fn run(options: &Build) -> Outcome {
    let volume = Volume::from_flag(options.app.quiet);
    let app = inspect(&options.app)?;
    app.warnings.iter().for_each(|warning| volume.warning(warning));
    let chosen = chosen(&app, &options.components)?;
    if !options.compile_only {
        build::run(&app, chosen.iter().copied(), volume)?;
    }
    compile::run(&app, chosen.into_iter(), volume)?;
    volume.step("Built", &format!("{} for {}: {}", app.name, app.board.name, to_copy(&app)));
    match options.up {
        true => super::up::run(&up_with_defaults(&options.app)),
        false => Ok(()),
    }
}

/// What of the app goes to the board, beside its manifest.
fn to_copy(app: &App) -> String {
    let folder = bundle::folder(&app.dir, &app.board).display().to_string();
    let interpreted = |plan: &&ComponentPlan| plan.artifact == ArtifactKind::Wasm;
    match app.components.iter().filter(interpreted).count() {
        0 => folder,
        all if all == app.components.len() => {
            "nothing to compile, components are interpreted there as they are".into()
        }
        _ => format!("{folder}, and the components that are interpreted as they are"),
    }
}

/// The plan, for looking at: nobody has the device's secrets here.
fn inspect(options: &AppArgs) -> Result<App, Failure> {
    let files = AppFiles { purpose: Purpose::Inspect, ..super::app_files(options) };
    App::load(&files).map_err(Failure::wrong)
}

fn chosen<'a>(app: &'a App, ids: &[String]) -> Result<Vec<&'a ComponentPlan>, Failure> {
    if ids.is_empty() {
        return Ok(app.components.iter().collect());
    }
    let find = |id: &String| {
        app.component(id).ok_or_else(|| {
            let known: Vec<_> = app.components.iter().map(|plan| plan.id.as_str()).collect();
            let known = known.join(", ");
            Failure::wrong(format!(
                "--component-id {id}: the app has no such component; it has {known}"
            ))
        })
    };
    ids.iter().map(find).collect()
}

fn up_with_defaults(app: &AppArgs) -> Up {
    Up {
        app: app.clone(),
        operator: OperatorArgs::default(),
        build: false,
        sqlite: Vec::new(),
        key_values: Vec::new(),
        listen: None,
        tls_cert: None,
        tls_key: None,
        find_free_port: false,
        embedded_broker: EmbeddedBroker::Auto,
    }
}
