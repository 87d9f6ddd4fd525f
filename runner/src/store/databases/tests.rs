//! What holds for every guest's database, whatever it is asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use tempfile::TempDir;

use super::*;

mod escapes;
mod faults;

struct Scene {
    folder: TempDir,
    databases: Databases,
    slots: Slots,
}

const LARGE: u64 = 8 << 20;

impl Scene {
    fn new() -> Self {
        Self::with(Duration::from_secs(30))
    }

    fn with(statement_time: Duration) -> Self {
        count_memory();
        let folder = tempfile::tempdir().unwrap();
        let databases = Databases::with(folder.path().to_owned(), statement_time);
        Self { folder, databases, slots: Slots::default() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sqlite-default.db")
    }

    async fn open(&self) -> Connection {
        self.open_to(LARGE).await
    }

    async fn open_to(&self, bytes_max: u64) -> Connection {
        self.databases.open(self.path(), bytes_max, &self.slots).await.unwrap()
    }
}

impl Connection {
    async fn run(&self, sql: &str) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        self.execute(sql.into(), Vec::new()).await.map(|answer| answer.rows)
    }

    async fn done(&self, sql: &str) {
        self.run(sql).await.unwrap();
    }

    async fn number(&self, sql: &str) -> i64 {
        match &self.run(sql).await.unwrap()[..] {
            [row] => match row[..] {
                [SqlValue::Integer(number)] => number,
                _ => panic!("{row:?} is not one number"),
            },
            rows => panic!("{rows:?} is not one row"),
        }
    }

    async fn refusal(&self, sql: &str) -> String {
        match self.run(sql).await {
            Err(error) => error.to_string(),
            Ok(rows) => panic!("{sql} was done: {rows:?}"),
        }
    }
}

#[tokio::test]
async fn what_goes_in_comes_out_whatever_its_type() {
    let scene = Scene::new();
    let db = scene.open().await;
    let values = vec![
        SqlValue::Integer(i64::MIN),
        SqlValue::Real(-0.1),
        SqlValue::Text("ß🦀\n".into()),
        SqlValue::Blob(vec![0, 255, 7]),
        SqlValue::Null,
    ];
    let answer = db.execute("SELECT ?1 AS i, ?2 AS r, ?3, ?4, ?5".into(), values.clone()).await;
    let answer = answer.unwrap();
    assert_eq!(answer.rows, [values]);
    assert_eq!(answer.columns, ["i", "r", "?3", "?4", "?5"]);
}

#[tokio::test]
async fn a_connection_counts_what_it_did_itself() {
    let scene = Scene::new();
    let first = scene.open().await;
    assert_eq!(first.effect(), Effect::default());
    first.done("CREATE TABLE t (x)").await;
    first.done("INSERT INTO t VALUES (1), (2), (3)").await;
    assert_eq!(first.effect(), Effect { last_insert_rowid: 3, changes: 3 });
    drop(first);
    assert_eq!(scene.open().await.effect(), Effect::default());
}

#[tokio::test]
async fn one_statement_at_a_time_and_its_parameters_must_be_all_there() {
    let scene = Scene::new();
    let db = scene.open().await;
    assert_eq!(db.refusal("SELECT 1; SELECT 2").await, "Multiple statements provided");
    assert!(db.refusal("SELECT ?1, ?2").await.contains("has 2 parameters, and 0 were given"));
    assert!(db.refusal("SELEC 1").await.contains("syntax error"));
    assert_eq!(db.refusal("-- nothing").await, "there is no statement in it");
}

#[tokio::test]
async fn a_transaction_is_its_connections_own_and_others_wait_for_its_end() {
    let scene = Scene::new();
    let (one, other) = (scene.open().await, scene.open().await);
    one.done("CREATE TABLE t (x)").await;
    one.done("BEGIN IMMEDIATE").await;
    one.done("INSERT INTO t VALUES (1)").await;
    assert_eq!(other.number("SELECT count(*) FROM t").await, 0);
    let waiting = other.run("INSERT INTO t VALUES (2)");
    let ending = async {
        tokio::task::yield_now().await;
        one.done("COMMIT").await;
    };
    let (waited, ()) = tokio::join!(waiting, ending);
    waited.unwrap();
    assert_eq!(one.number("SELECT count(*) FROM t").await, 2);
}

#[tokio::test]
async fn a_transaction_that_nobody_ended_is_rolled_back_with_its_guest() {
    let scene = Scene::new();
    let one = scene.open().await;
    one.done("CREATE TABLE t (x)").await;
    one.done("BEGIN IMMEDIATE").await;
    one.done("INSERT INTO t VALUES (1)").await;
    drop(one);
    let next = scene.open().await;
    assert_eq!(next.number("SELECT count(*) FROM t").await, 0);
    next.done("INSERT INTO t VALUES (2)").await;
}

#[tokio::test]
async fn a_snapshot_that_is_too_old_to_write_on_is_said_and_not_waited_for() {
    let scene = Scene::new();
    let (one, other) = (scene.open().await, scene.open().await);
    one.done("CREATE TABLE t (x)").await;
    one.done("BEGIN").await;
    one.number("SELECT count(*) FROM t").await;
    other.done("INSERT INTO t VALUES (2)").await;
    assert!(one.refusal("INSERT INTO t VALUES (1)").await.contains("BEGIN IMMEDIATE"));
}

#[tokio::test]
async fn temporary_tables_and_settings_of_a_guest_are_not_the_next_ones() {
    let scene = Scene::new();
    for change in ["CREATE TEMP TABLE t (x)", "PRAGMA foreign_keys = OFF"] {
        let one = scene.open().await;
        one.done(change).await;
        drop(one);
        let next = scene.open().await;
        assert_eq!(next.number("SELECT count(*) FROM temp.sqlite_schema").await, 0, "{change}");
        assert_eq!(next.number("PRAGMA foreign_keys").await, 1, "{change}");
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_ends_and_the_database_can_be_used() {
    let scene = Scene::with(Duration::from_millis(50));
    let db = scene.open().await;
    let forever =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    assert_eq!(db.refusal(forever).await, "it took longer than a statement may: 50ms");
    assert_eq!(db.number("SELECT 1").await, 1);
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_is_interrupted_and_lets_others_have_their_turn() {
    let scene = Scene::with(Duration::from_secs(3600));
    let (db, other) = (scene.open().await, scene.open().await);
    let forever =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let ended = timeout(Duration::from_millis(50), db.run(forever)).await;
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(other.number("SELECT 1").await, 1);
}

#[tokio::test]
async fn a_slow_statement_keeps_neither_the_loop_nor_another_database_waiting() {
    let scene = Scene::with(Duration::from_secs(3600));
    let slow = scene.open().await;
    let elsewhere = scene.folder.path().join("other.db");
    let quick = scene.databases.open(elsewhere, LARGE, &scene.slots).await.unwrap();
    let forever =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    tokio::select! {
        biased;
        ended = slow.run(forever) => panic!("{ended:?}"),
        number = quick.number("SELECT 7") => assert_eq!(number, 7),
    }
}

#[tokio::test]
async fn a_database_grows_as_far_as_it_may_and_keeps_what_it_has() {
    let scene = Scene::new();
    let db = scene.open_to(256 << 10).await;
    db.done("CREATE TABLE t (x)").await;
    let row = || db.run("INSERT INTO t VALUES (zeroblob(10000))");
    let mut rows = 0;
    let end = loop {
        match row().await {
            Ok(_) => rows += 1,
            Err(error) => break error,
        }
        assert!(rows < 100, "it grows and grows");
    };
    assert_eq!(end, SqlError::Full);
    assert_eq!(db.number("SELECT count(*) FROM t").await, rows);
    db.done("DELETE FROM t").await;
    row().await.unwrap();
    drop(db);
    scene.databases.close().await;
    assert!(std::fs::metadata(scene.path()).unwrap().len() <= 256 << 10);
}

#[tokio::test]
async fn memory_beyond_a_connections_share_is_not_given_and_nothing_else_fails() {
    let scene = Scene::new();
    let db = scene.open().await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) \
                SELECT count(*) FROM (SELECT DISTINCT randomblob(500) FROM n)";
    assert!(db.refusal(many).await.contains("more memory"));
    assert_eq!(db.number("SELECT 1").await, 1);
    for _ in 0..20 {
        assert!(db.refusal(many).await.contains("more memory"));
    }
    db.done("CREATE TEMP TABLE t (x)").await;
    let mut rows = 0;
    while db.run("INSERT INTO t VALUES (randomblob(100000))").await.is_ok() {
        rows += 1;
        assert!(rows < 100, "temporary tables take all they want");
    }
    assert_eq!(scene.open().await.number("SELECT 1").await, 1);
}

#[tokio::test]
async fn a_value_a_statement_and_an_answer_have_their_sizes() {
    let scene = Scene::new();
    let db = scene.open().await;
    assert!(db.refusal("SELECT zeroblob(2000000)").await.contains("too big"));
    assert!(
        db.refusal(&format!("SELECT '{}'", "x".repeat(70_000))).await.contains("at most 64 KiB")
    );
    let deep = format!("SELECT {}1{}", "(1+".repeat(200), ")".repeat(200));
    assert!(db.refusal(&deep).await.contains("depth"));
    let wide: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    assert!(db.refusal(&format!("SELECT {}", wide.join(","))).await.contains("too many columns"));
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40) SELECT zeroblob(100000) FROM n";
    assert!(db.refusal(rows).await.contains("LIMIT"));
    let pattern = format!("SELECT 'x' LIKE '{}'", "%".repeat(300));
    assert!(db.refusal(&pattern).await.contains("pattern too complex"));
    assert_eq!(db.number("SELECT 1").await, 1);
}

#[tokio::test]
async fn connections_of_a_component_are_counted_and_come_back() {
    let scene = Scene::new();
    let mut held = Vec::new();
    for _ in 0..limits::CONNECTIONS_PER_COMPONENT_MAX {
        held.push(scene.open().await);
    }
    let one_more = || scene.databases.open(scene.path(), LARGE, &scene.slots);
    assert!(timeout(Duration::from_millis(20), one_more()).await.is_err());
    held.pop();
    one_more().await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_everything_was_closed_and_the_log_is_folded_back() {
    let scene = Scene::new();
    let db = scene.open().await;
    db.done("CREATE TABLE t (x)").await;
    db.done("INSERT INTO t VALUES (42)").await;
    drop(db);
    scene.databases.close().await;
    let log = scene.folder.path().join("sqlite-default.db-wal");
    assert!(!log.exists());
    assert_eq!(scene.open().await.number("SELECT x FROM t").await, 42);
}

#[tokio::test]
async fn a_file_that_is_no_database_or_has_no_folder_is_an_error_that_names_it() {
    let scene = Scene::new();
    std::fs::write(
        scene.path(),
        "no database, but long enough to be looked at as if it were one".repeat(99),
    )
    .unwrap();
    let opened = scene.databases.open(scene.path(), LARGE, &scene.slots).await;
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("sqlite-default.db") && error.contains("not a database"), "{error}");
    let nowhere = scene.folder.path().join("a/b.db");
    let error = scene.databases.open(nowhere, LARGE, &scene.slots).await.err().unwrap();
    assert!(error.to_string().contains("a/b.db"), "{error}");
}

#[test]
fn a_console_runs_every_statement_and_shows_rows() {
    let scene = Scene::new();
    let missing = Console::open(&scene.path(), Missing::Refused);
    assert!(missing.is_err());
    let console = Console::open(&scene.path(), Missing::Made).unwrap();
    let mut seen = Vec::new();
    let text = "CREATE TABLE t (x); INSERT INTO t VALUES (1), (2); -- a word\nSELECT x FROM t;";
    let run = console.run(
        text,
        |_| Ok(()),
        |row| {
            seen.push(row.to_vec());
            Ok(())
        },
    );
    run.unwrap();
    assert_eq!(seen, [[SqlValue::Integer(1)], [SqlValue::Integer(2)]]);
    let wrong = console.run("SELECT 1; SELEC 2", |_| Ok(()), |_| Ok(()));
    assert!(wrong.unwrap_err().to_string().contains("syntax error"));
}
