//! One file for each command of `pirn`, and what several of them need.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod new;
pub(crate) mod pin;
pub(crate) mod publish;
pub(crate) mod subscribe;
pub(crate) mod target;
pub(crate) mod up;

use pirn_runner::app::{AppFiles, UnknownLines};
use pirn_runner::limits::host::LOOKUP_FAREWELL;

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

/// Scheduler turns between looks at sockets and timers, as on a board: tokio's default of 61 would let
/// a busy guest, 10 ms a slice, keep the network waiting for half a second.
const EVENT_INTERVAL: u32 = 3;

/// Runs a command that waits for things: one thread, as on a board.
fn wait_for(work: impl Future<Output = Outcome>) -> Outcome {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().event_interval(EVENT_INTERVAL).build();
    let runtime = runtime.map_err(Failure::failed)?;
    let outcome = runtime.block_on(work);
    // Not dropped: that would wait for a resolver that never answers.
    runtime.shutdown_timeout(LOOKUP_FAREWELL);
    outcome
}
