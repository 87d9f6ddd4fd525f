//! `pirn build`: the manifest's build commands, then the board's artifacts.

use pirn_runner::app::{App, AppFiles, ComponentPlan, Purpose};
use pirn_runner::engine::artifact;

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
    let folder = artifact::folder(&app.dir, &app.board);
    volume.step("Built", &format!("{} for {}: {}", app.name, app.board.name, folder.display()));
    match options.up {
        true => super::up::run(&up_with_defaults(&options.app)),
        false => Ok(()),
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
        key_values: Vec::new(),
        embedded_broker: EmbeddedBroker::Auto,
    }
}
