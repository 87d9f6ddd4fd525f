//! One file for each command of `pirn`, and what several of them need.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod new;
pub(crate) mod pin;
pub(crate) mod publish;
pub(crate) mod sqlite;
pub(crate) mod subscribe;
pub(crate) mod target;
pub(crate) mod up;

use pirn_runner::engine::turns::Loop;
use pirn_runner::limits::host::LOOKUP_FAREWELL;
use pirn_runner::plan::{AppFiles, UnknownLines};

use crate::cli::{AppArgs, OperatorArgs};
use crate::failure::{Failure, Outcome};

/// The app's files as the command line names them.
fn app_files(app: &AppArgs) -> AppFiles {
    AppFiles {
        board: app.board.clone(),
        unknown_lines: UnknownLines::Simulated,
        profile: app.profile.clone(),
        ..AppFiles::new(&app.from).with_process_environment()
    }
}

/// The same with what the operator adds.
fn app_files_with(app: &AppArgs, operator: &OperatorArgs) -> AppFiles {
    AppFiles {
        runtime_config: operator.runtime_config_file.clone(),
        variables: operator.variables.clone(),
        guest_environment: operator.environment.clone(),
        state_dir: operator.state_dir.clone(),
        log_dir: operator.log_dir.clone(),
        ..app_files(app)
    }
}

/// Runs a command that waits for things: one thread, as on a board.
fn wait_for(work: impl Future<Output = Outcome>) -> Outcome {
    let turns = Loop::build().map_err(Failure::failed)?;
    let outcome = turns.block_on(work);
    // Not dropped: that would wait for a resolver that never answers.
    turns.leave(LOOKUP_FAREWELL);
    outcome
}
