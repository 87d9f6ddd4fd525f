//! `pirn pin` and `pirn pins`: the fingers and the eyes of an app that runs on simulated lines.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use pirn_runner::plan::AppFiles;

use crate::cli::{LevelWord, Pin, PinAction, Pins, RunningApp};
use crate::failure::Outcome;
use crate::pins::{self, draw};
use crate::ui;

/// Presses or sets one line.
pub(crate) fn run(options: &Pin) -> Outcome {
    let request = match &options.action {
        PinAction::Press { name, hold_ms, .. } => format!("press {hold_ms} {name}"),
        PinAction::Set { name, level, .. } => {
            let level = match level {
                LevelWord::High => "high",
                LevelWord::Low => "low",
                LevelWord::Float => "float",
            };
            format!("set {level} {name}")
        }
    };
    let (PinAction::Press { app, .. } | PinAction::Set { app, .. }) = &options.action;
    pins::ask(&state_dir(app), &request)
}

/// Shows all lines, once or as they change.
pub(crate) fn show(options: &Pins) -> Outcome {
    let dir = state_dir(&options.app);
    if !options.watch {
        return pins::watch(&dir, "list", |rows| {
            let _ = ui::out(draw(&rows).trim_end());
            false
        });
    }
    let is_terminal = std::io::stdout().is_terminal();
    pins::watch(&dir, "watch", |rows| {
        if is_terminal {
            // From the upper left corner, on an empty screen.
            let _ = write!(std::io::stdout(), "\x1b[2J\x1b[H");
        }
        ui::out(draw(&rows).trim_end()).is_ok()
    })
}

/// The state folder of the app, found as `pirn up` finds it when no operator's file says otherwise.
fn state_dir(options: &RunningApp) -> PathBuf {
    let files = AppFiles::new(&options.from).with_process_environment();
    AppFiles { state_dir: options.state_dir.clone(), ..files }.state_dir_with(None)
}
