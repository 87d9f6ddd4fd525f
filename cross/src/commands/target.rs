//! `pirn target build`: the runner for boards. The work is a script's, `cross/targets/pirnd`, which also
//! works without a built workbench; here is only the way from a board's name to it.

use std::path::{Path, PathBuf};
use std::process::Command;

use pirn_runner::files::board::Board;

use crate::cli::TargetBuild;
use crate::failure::{Failure, Outcome};

/// The script, in pirn's repository.
const SCRIPT: &str = "cross/targets/pirnd";

/// Builds for the target, for the board's, or for all.
pub(crate) fn run(options: &TargetBuild) -> Outcome {
    let target = target(options)?;
    let here = std::env::current_dir().map_err(Failure::failed)?;
    let script = script(&here).ok_or_else(|| no_sources(&target))?;
    let without = options.without.iter().flat_map(|features| ["--without", features]);
    let status = Command::new(&script).args(without).arg(&target).status();
    let status = status.map_err(|e| Failure::failed(format!("{}: {e}", script.display())))?;
    match status.success() {
        true => Ok(()),
        // It has said why.
        false => Err(Failure::failed(format!("pirnd for {target} was not built"))),
    }
}

fn target(options: &TargetBuild) -> Result<String, Failure> {
    match (&options.target, &options.board) {
        (Some(target), _) => Ok(target.clone()),
        (None, Some(board)) => Board::find(board).map(|board| board.target).map_err(Failure::wrong),
        (None, None) => Ok("all".to_owned()),
    }
}

/// The repository that one stands in, or else the one that this program was built from, if it is still
/// there.
fn script(here: &Path) -> Option<PathBuf> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    here.ancestors().chain(built_from).map(|dir| dir.join(SCRIPT)).find(|file| file.is_file())
}

fn no_sources(target: &str) -> Failure {
    Failure::wrong(format!(
        "pirnd is built from pirn's own sources, and they are not here: get pirn's repository and run \
         `{SCRIPT} {target}` in it"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn options(target: Option<&str>, board: Option<&str>) -> TargetBuild {
        let (target, board) = (target.map(str::to_owned), board.map(str::to_owned));
        TargetBuild { target, board, without: None }
    }

    #[test]
    fn a_board_stands_for_its_target() {
        assert_eq!(
            target(&options(None, Some("pi-zero"))).unwrap(),
            "arm-unknown-linux-musleabihf"
        );
        assert_eq!(target(&options(None, None)).unwrap(), "all");
        assert!(matches!(target(&options(None, Some("pi-9"))), Err(Failure::Wrong(_))));
    }

    #[test]
    fn the_script_is_found_from_any_folder_of_the_repository_and_knows_every_board_s_target() {
        let script = script(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let listed = Command::new(script).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        for (name, _) in pirn_runner::files::board::SHIPPED {
            let target = Board::shipped(name).unwrap().target;
            assert!(listed.lines().any(|line| line == target), "{name}: {target}");
        }
    }

    #[test]
    fn only_features_that_the_runner_has_can_be_left_out() {
        let script = script(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let words = ["--without", "sqlite-guest,wings", "x86_64-unknown-linux-musl"];
        let built = Command::new(script).args(words).output().unwrap();
        let said = String::from_utf8(built.stderr).unwrap();
        assert!(!built.status.success(), "{said}");
        assert!(said.contains("no feature wings") && said.contains("sqlite-guest"), "{said}");
    }
}
