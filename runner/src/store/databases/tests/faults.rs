//! A database on a disk that fails: this very test runs once more under strace, which makes system calls fail, and tells
//! its parent what was answered (strace counts calls of each thread apart). What was answered as committed must be there afterwards, and nothing may be damaged.

use std::path::Path;
use std::process::Command;

use super::*;

/// Names the folder to the one that is run under strace.
const FOLDER: &str = "PIRN_DATABASE_FAULTS_FOLDER";
const INSERTS: i64 = 120;

/// The child's part.
async fn insert_and_tell(folder: &Path) {
    let databases = Databases::new(folder.to_owned());
    let slots = Slots::default();
    let open = || databases.open(folder.join("d.db"), LARGE, &slots);
    let mut kept = None;
    for n in 0..INSERTS {
        let done = async {
            let db = match kept.take() {
                Some(db) => db,
                None => open().await?,
            };
            let insert = "INSERT INTO t VALUES (?, zeroblob(8000))";
            db.execute(insert.into(), vec![SqlValue::Integer(n)]).await?;
            // A connection that met with an error is not used again.
            kept = Some(db);
            Ok(())
        };
        match done.await {
            Ok(()) => println!("\ndone {n}"),
            Err(SqlError::Full) => println!("\nfull {n}"),
            Err(error) => println!("\nfailed {n} {error}"),
        }
    }
    drop(kept);
    databases.close().await;
    println!("\nended");
}

/// Runs both parts: as the child if a parent said so, else as the parent. `expected` is the answers' first words.
async fn check(test: &str, injections: &[&str], expected: &str) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return insert_and_tell(Path::new(&folder)).await;
    }
    for injection in injections {
        let scene = Scene::new();
        let path = scene.folder.path().join("d.db");
        // It is there already, so that faults hit work and not its making.
        let before = scene.databases.open(path.clone(), LARGE, &scene.slots).await.unwrap();
        before.done("CREATE TABLE t (n INTEGER PRIMARY KEY, filler)").await;
        drop(before);
        scene.databases.close().await;
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", injection])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", &format!("store::databases::tests::faults::{test}"), "--nocapture"])
            .env(FOLDER, scene.folder.path())
            .output()
            .expect("strace is needed: install the package of that name");
        let told = String::from_utf8(strace.stdout).unwrap();
        let error = String::from_utf8_lossy(&strace.stderr);
        assert!(told.lines().any(|line| line == "ended"), "{injection}: {told}{error}");
        let words = |word: &str| told.lines().filter(|line| line.starts_with(word)).count();
        assert!(words(expected) > 0, "{injection}: {told}");
        assert!(told.contains(&format!("\ndone {}\n", INSERTS - 1)), "{injection}: {told}");
        let after = scene.databases.open(path, LARGE, &scene.slots).await.unwrap();
        for n in told.lines().filter_map(|line| line.strip_prefix("done ")) {
            let there = after.number(&format!("SELECT count(*) FROM t WHERE n = {n}")).await;
            assert_eq!(there, 1, "{injection}: {n} was told as done and is gone");
        }
        let whole = after.run("PRAGMA integrity_check").await.unwrap();
        assert_eq!(whole, [[SqlValue::Text("ok".into())]], "{injection}");
    }
}

#[tokio::test]
async fn on_a_full_disk_a_database_is_full_and_can_be_written_again_when_there_is_room() {
    let test = "on_a_full_disk_a_database_is_full_and_can_be_written_again_when_there_is_room";
    let injections =
        ["inject=pwrite64:error=ENOSPC:when=30..36", "inject=pwrite64:error=ENOSPC:when=40"];
    check(test, &injections, "full ").await;
}

#[tokio::test]
async fn what_a_failed_fsync_was_to_secure_is_told_as_failed_and_the_database_goes_on() {
    let test = "what_a_failed_fsync_was_to_secure_is_told_as_failed_and_the_database_goes_on";
    let injections = [
        "inject=fsync,fdatasync:error=EIO:when=2..4",
        "inject=fsync,fdatasync:error=EIO:when=9..11",
        "inject=fsync,fdatasync:error=EIO:when=6..8",
    ];
    check(test, &injections, "failed ").await;
}
