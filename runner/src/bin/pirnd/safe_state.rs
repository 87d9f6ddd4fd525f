//! `pirnd safe-state`, for `ExecStopPost=`: a crashed runner leaves lines as they were. Asks for nothing that lines do not
//! need: a variable that has lost its value must not keep a heater on, and of several apps one that is wrong must not
//! keep on what the others drive.

use std::path::PathBuf;
use std::process::ExitCode;

use pirn_runner::plan::{App, AppFiles, Purpose};
use pirn_runner::serve::tenants::AppSet;
use pirn_triggers::gpio::{self, Chips};

use crate::args::Common;
use crate::commands::{FAILED, WRONG_INPUT, answer, say, wrong};

/// Of one app, or of all apps of a folder.
pub(crate) fn run(common: Common, apps: Option<PathBuf>) -> ExitCode {
    let files = AppFiles { purpose: Purpose::Inspect, ..common.files };
    let Some(apps) = apps else {
        return ExitCode::from(of_app("", &files));
    };
    let set = AppSet::at(apps);
    let names = match set.names() {
        Ok(names) => names,
        Err(error) => return wrong(&error),
    };
    let of = |name: &String| {
        let files = AppFiles { manifest: set.path(name), ..files.clone() };
        of_app(&format!("{name}: "), &files)
    };
    ExitCode::from(names.iter().map(of).max().unwrap_or(0))
}

/// What is said begins with `whose`. The exit status.
fn of_app(whose: &str, files: &AppFiles) -> u8 {
    let app = match App::load(files) {
        Ok(app) => app,
        Err(error) => {
            say(&format!("{whose}{error}"));
            return WRONG_INPUT;
        }
    };
    let outputs: Vec<_> = app.pins.outputs.iter().map(|pin| pin.options.clone()).collect();
    match gpio::safe_state(&Chips::Kernel, &outputs) {
        Ok(()) => {
            let names: Vec<&str> = outputs.iter().map(|output| &*output.line.name).collect();
            answer(&format!("{whose}outputs at their safe levels: {}", names.join(", ")));
            0
        }
        Err(errors) => {
            errors.iter().for_each(|error| say(&format!("{whose}{error}")));
            FAILED
        }
    }
}
