//! Disks that take no more: a small file system in memory that is filled, or mounted read-only.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pirn_tests::faults::scene::{Piece, Scene};

use super::{Context, Outcome, Unfinished, close};
use crate::table::Tally;

/// A file system of four MiB, a few times what a log takes before it is folded back, that goes with this value.
struct Small {
    folder: tempfile::TempDir,
}

impl Small {
    fn mounted() -> Result<Self, Unfinished> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let small = Self { folder };
        small.mount("size=4m").map_err(Unfinished::Missing)?;
        Ok(small)
    }

    fn mount(&self, options: &str) -> Result<(), String> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(self.folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!(
                "a small file system is needed: run as root, who may mount tmpfs ({})",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
            Err(error) => Err(format!("mount is missing: apt-get install mount ({error})")),
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Leaves no byte.
    fn fill(&self) -> PathBuf {
        let path = self.folder.path().join("filler");
        if let Ok(mut file) = std::fs::File::create(&path) {
            while file.write_all(&[0; 4_096]).is_ok() {}
        }
        path
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Messages that cannot be handled while the disk takes nothing. They wait in the broker's window of 20: as many as
/// that, and nobody could get past them.
const CANNOT_BE_KEPT: u64 = 10;

fn scene(small: &Small) -> Scene {
    let mut scene = Scene::of(&[Piece::ledger("a"), Piece::ledger("b")]).keeping(small.state());
    scene.start();
    // What cannot be written is tried again after pauses that grow.
    scene.be_patient(Duration::from_secs(40));
    scene
}

pub(super) fn disk_full(context: &Context) -> Outcome {
    let small = Small::mounted()?;
    let scene = scene(&small);
    let mut tally = Tally::default();
    for round in 0..context.times(2, 50) {
        scene.publish("a", "keep", round * 60..round * 60 + 20);
        scene.broker.wait(Duration::from_secs(10), |look| look.pending_count() == 0);
        let filler = small.fill();
        scene.publish("a", "keep", round * 60 + 20..round * 60 + 20 + CANNOT_BE_KEPT);
        scene.publish("b", "pass", round * 60..(round + 1) * 60);
        let all = usize::try_from((round + 1) * 60).unwrap_or(0);
        tally.expect(scene.wait_for("b", all), "what needs no disk waited for it");
        std::thread::sleep(Duration::from_millis(1_500));
        std::fs::remove_file(filler).map_err(|error| error.to_string())?;
        scene.publish("a", "keep", round * 60 + 40..(round + 1) * 60);
        tally.runs += 1;
    }
    close(&scene, &mut tally);
    tally.problems.extend(scene.key_value_problems("a")?);
    Ok(tally)
}

pub(super) fn disk_read_only(_: &Context) -> Outcome {
    let small = Small::mounted()?;
    let mut scene = scene(&small);
    let mut tally = Tally::of(1);
    scene.publish("a", "keep", 0..20);
    scene.wait_for("a", 20);
    scene.kill();
    small.mount("remount,ro,size=4m")?;
    scene.publish("a", "keep", 20..20 + CANNOT_BE_KEPT);
    scene.publish("b", "pass", 0..40);
    scene.start_under(&[]);
    let came = scene.broker.wait(Duration::from_secs(4), |look| look.received_on("out/b") >= 40);
    if !scene.is_running() {
        let said = scene.printed();
        let said = said.lines().last().unwrap_or_default().to_owned();
        let named = said.contains(&*small.path().to_string_lossy());
        tally.expect(named, format!("it ended without naming the folder: {said}"));
        tally.note("it does not start on a state folder that cannot be written, and says so");
    } else {
        tally.expect(came, "what needs no disk waited for it");
    }
    small.mount("remount,rw,size=4m")?;
    if !scene.is_running() {
        scene.start();
    }
    close(&scene, &mut tally);
    tally.problems.extend(scene.key_value_problems("a")?);
    Ok(tally)
}
