//! `pirn check`: is everything written as it must be, and does it fit? Runs and builds nothing.

use pirn_runner::files::board::ArtifactKind;
use pirn_runner::plan::bundle;
use pirn_runner::plan::{App, AppError, AppFiles, ComponentPlan, Purpose};

use crate::cli::Check;
use crate::compile;
use crate::failure::{Failure, Outcome};
use crate::ui::{self, FAINT, NAME, Volume};

/// Prints the plan and its budget; fails with exit status 2 if either is wrong.
pub(crate) fn run(options: &Check) -> Outcome {
    let volume = Volume::from_flag(options.app.quiet);
    let files = super::app_files_with(&options.app, &options.operator);
    let files = AppFiles { purpose: Purpose::Inspect, ..files };
    let app = App::load(&files).map_err(|error| refusal(&error, volume))?;
    app.warnings.iter().for_each(|warning| volume.warning(warning));
    let lock = compile::present(&app, &bundle::folder(&app.dir, &app.board));
    let size = |plan: &ComponentPlan| match plan.artifact {
        ArtifactKind::Wasm => app.interpreted_bytes(plan),
        _ => Some(lock.artifact_of(&plan.id)?.bytes),
    };
    let sizes: Vec<_> = app.components.iter().map(size).collect();
    let budget = app.budget(&sizes);
    if volume == Volume::Normal {
        print(&format!("{}\n{}", plan(&app), ui::budget(&budget)));
    }
    budget.check().map_err(|_| over(&app.name, &app.board.name))?;
    volume.step("Fits", &format!("{} on {}", app.name, app.board.name));
    Ok(())
}

/// An app that is too large is still drawn: that is what one wants to see then.
fn refusal(error: &AppError, volume: Volume) -> Failure {
    match error {
        AppError::OverBudget(over_budget) if volume == Volume::Normal => {
            print(&ui::budget(&over_budget.budget));
            over("the app", &over_budget.budget.board)
        }
        other => Failure::wrong(other),
    }
}

fn over(app: &str, board: &str) -> Failure {
    Failure::wrong(format!(
        "{app} does not fit the board {board}; lower `memory` in [component.NAME.tool.pirn], or choose a larger board"
    ))
}

/// Whether it is all right does not depend on somebody reading.
fn print(text: &str) {
    let _ = ui::out(text);
}

/// What fires what, and from where.
fn plan(app: &App) -> String {
    let (name, version, board) = (&app.name, &app.manifest.application.version, &app.board);
    let (board, description) = (&board.name, &board.description);
    let mut text =
        format!("{NAME}{name}{NAME:#} {version} on {board} {FAINT}({description}){FAINT:#}\n");
    for trigger in &app.triggers {
        let component = app.components.get(trigger.component).map_or("?", |plan| plan.id.as_str());
        let what = ui::escaped(&app.fired_by(trigger));
        text.push_str(&format!("  {NAME}{what}{NAME:#} fires {component}\n"));
    }
    if let Some(broker) = &app.broker {
        text.push_str(&format!("  from the broker {}\n", broker.address));
    }
    text
}
