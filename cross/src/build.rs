//! The manifest's build commands: how a component comes to be. What they are is the app's business;
//! this runs them in order and says whose failed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pirn_runner::files::manifest::Build;
use pirn_runner::plan::{App, ComponentPlan};

use crate::failure::{Failure, Outcome};
use crate::ui::Volume;

/// Runs the build commands of these components; those without are left as they are.
pub(crate) fn run<'a>(
    app: &App,
    components: impl Iterator<Item = &'a ComponentPlan>,
    volume: Volume,
) -> Outcome {
    for plan in components {
        let declared = app.manifest.components.get(&plan.id);
        if let Some(build) = declared.and_then(|component| component.build.as_ref()) {
            build_one(&plan.id, build, &app.dir, volume)?;
        }
    }
    Ok(())
}

fn build_one(component: &str, build: &Build, app_dir: &Path, volume: Volume) -> Outcome {
    let folder = folder(component, build, app_dir)?;
    for command in &build.commands {
        volume.step("Building", &format!("{component}: {command}"));
        run_command(command, &folder, volume).map_err(|reason| {
            let hint = hint(command);
            Failure::failed(format!("component {component}: `{command}` {reason}{hint}"))
        })?;
    }
    Ok(())
}

fn folder(component: &str, build: &Build, app_dir: &Path) -> Result<PathBuf, Failure> {
    let folder = match &build.workdir {
        Some(workdir) => app_dir.join(workdir),
        None => app_dir.to_owned(),
    };
    match folder.is_dir() {
        true => Ok(folder),
        false => Err(Failure::wrong(format!(
            "[component.{component}.build] workdir: there is no folder {}",
            folder.display()
        ))),
    }
}

/// Runs a command as the shell understands it. What it prints is shown at once, or, if we are to be
/// quiet, only when it fails.
fn run_command(command: &str, folder: &Path, volume: Volume) -> Result<(), String> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).current_dir(folder).stdin(Stdio::null());
    let not_started = |error| format!("cannot be run: {error}");
    let (status, said) = match volume {
        Volume::Normal => (shell.status().map_err(not_started)?, String::new()),
        Volume::Quiet => {
            let output = shell.output().map_err(not_started)?;
            let said = [output.stdout, output.stderr].concat();
            (output.status, String::from_utf8_lossy(&said).into_owned())
        }
    };
    match status.success() {
        true => Ok(()),
        false if said.is_empty() => Err(format!("failed ({status})")),
        false => Err(format!("failed ({status}) and said:\n{}", said.trim_end())),
    }
}

/// The most common reason on a new machine.
fn hint(command: &str) -> &'static str {
    match command.contains("--target wasm32-wasip2") {
        true => "\n  If the target is missing: rustup target add wasm32-wasip2",
        false => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn build(commands: &[&str], workdir: Option<&str>) -> Build {
        let commands = commands.iter().map(|command| (*command).to_owned()).collect();
        Build { commands, workdir: workdir.map(str::to_owned), watch: Vec::new() }
    }

    #[test]
    fn commands_run_in_order_in_their_folder_and_stop_at_the_first_that_fails() {
        let app = tempfile::tempdir().unwrap();
        std::fs::create_dir(app.path().join("guest")).unwrap();
        let commands =
            build(&["echo one > log", "echo two >> log; false", "rm log"], Some("guest"));
        let failure = build_one("c", &commands, app.path(), Volume::Quiet).unwrap_err();
        let Failure::Failed(reason) = failure else { unreachable!("{failure:?}") };
        assert!(
            reason.starts_with("component c: `echo two >> log; false` failed (exit status: 1)"),
            "{reason}"
        );
        let log = std::fs::read_to_string(app.path().join("guest/log")).unwrap();
        assert_eq!(log, "one\ntwo\n");
    }

    #[test]
    fn what_a_failing_command_said_is_told_even_if_quiet() {
        let app = tempfile::tempdir().unwrap();
        let commands = build(&["echo no such thing >&2; exit 3"], None);
        let failure = build_one("c", &commands, app.path(), Volume::Quiet).unwrap_err();
        let Failure::Failed(reason) = failure else { unreachable!("{failure:?}") };
        assert!(reason.contains("no such thing") && reason.contains("exit status: 3"), "{reason}");
    }

    #[test]
    fn a_missing_folder_is_the_manifests_mistake() {
        let app = tempfile::tempdir().unwrap();
        let failure = build_one("c", &build(&["true"], Some("nowhere")), app.path(), Volume::Quiet);
        assert!(matches!(failure, Err(Failure::Wrong(_))), "{failure:?}");
    }
}
