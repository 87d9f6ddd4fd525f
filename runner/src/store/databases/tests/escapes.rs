//! Each way out of a guest's own database that SQLite has is closed, and says so.

use super::Scene;

const REFUSED: [(&str, &str); 40] = [
    ("ATTACH '/tmp/other.db' AS o", "ATTACH"),
    ("ATTACH 'file:/etc/passwd?mode=ro' AS o", "ATTACH"),
    ("ATTACH ':memory:' AS o", "ATTACH"),
    ("ATTACH '' AS o", "ATTACH"),
    ("ATTACH char(47) || 'tmp/x' AS o", "ATTACH"),
    ("DETACH main", "DETACH"),
    ("VACUUM", "VACUUM"),
    ("VACUUM INTO '/tmp/stolen.db'", "VACUUM INTO"),
    ("SELECT load_extension('/tmp/evil')", "load_extension"),
    ("SELECT LOAD_EXTENSION('evil', 'entry')", "load_extension"),
    ("SELECT readfile('/etc/passwd')", "readfile"),
    ("SELECT writefile('/tmp/x', 'y')", "writefile"),
    ("SELECT edit('x')", "edit"),
    ("SELECT * FROM fsdir('/')", "fsdir"),
    ("SELECT fts3_tokenizer('simple')", "fts3_tokenizer"),
    ("SELECT fts3_tokenizer('simple', x'4141414141414141')", "fts3_tokenizer"),
    ("PRAGMA writable_schema = ON", "writable_schema"),
    ("PRAGMA writable_schema = RESET", "writable_schema"),
    ("PRAGMA journal_mode = OFF", "journal_mode"),
    ("PRAGMA journal_mode = DELETE", "journal_mode"),
    ("PRAGMA main.journal_mode = MEMORY", "journal_mode"),
    ("PRAGMA synchronous = OFF", "synchronous"),
    ("PRAGMA temp_store = FILE", "temp_store"),
    ("PRAGMA temp_store_directory = '/tmp'", "temp_store_directory"),
    ("PRAGMA temp_store_directory", "temp_store_directory"),
    ("PRAGMA data_store_directory = '/tmp'", "data_store_directory"),
    ("PRAGMA cache_size = 1000000", "cache_size"),
    ("PRAGMA cache_spill = OFF", "cache_spill"),
    ("PRAGMA mmap_size = 1000000000", "mmap_size"),
    ("PRAGMA max_page_count = 1000000", "max_page_count"),
    ("PRAGMA temp.max_page_count = 1000000", "max_page_count"),
    ("PRAGMA soft_heap_limit = 1", "soft_heap_limit"),
    ("PRAGMA hard_heap_limit = 1", "hard_heap_limit"),
    ("PRAGMA locking_mode = EXCLUSIVE", "locking_mode"),
    ("PRAGMA wal_checkpoint(TRUNCATE)", "wal_checkpoint"),
    ("PRAGMA wal_autocheckpoint = 0", "wal_autocheckpoint"),
    ("PRAGMA busy_timeout = 100000", "busy_timeout"),
    ("PRAGMA trusted_schema = ON", "trusted_schema"),
    ("PRAGMA database_list", "database_list"),
    ("SELECT file FROM pragma_database_list", "database_list"),
];

#[tokio::test]
async fn every_way_out_of_its_own_file_is_refused_by_name() {
    let scene = Scene::new();
    let db = scene.open().await;
    let mut wrong = Vec::new();
    for (sql, word) in REFUSED {
        match db.run(sql).await {
            // Functions of the shell are not there at all.
            Err(error) if error.to_string().contains("not offered to components") => {
                assert!(error.to_string().contains(word), "{sql}: {error}");
            }
            Err(error) if error.to_string().contains("no such") => {
                assert!(error.to_string().to_lowercase().contains(word), "{sql}: {error}");
            }
            other => wrong.push((sql, other)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let left: Vec<_> = std::fs::read_dir(scene.folder.path()).unwrap().collect();
    assert!(left.len() <= 3, "{left:?}");
}

#[tokio::test]
async fn the_schema_cannot_be_written_to_and_tables_of_modules_neither() {
    let scene = Scene::new();
    let db = scene.open().await;
    db.done("CREATE TABLE t (x)").await;
    for sql in [
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (y)'",
        "INSERT INTO sqlite_master VALUES ('table', 'u', 'u', 9, 'CREATE TABLE u (x)')",
        "DELETE FROM sqlite_master",
    ] {
        assert!(db.refusal(sql).await.contains("may not be modified"), "{sql}");
    }
    db.done("CREATE VIRTUAL TABLE f USING fts5(x)").await;
    db.done("INSERT INTO f VALUES ('some words')").await;
    assert!(
        db.refusal("INSERT INTO f_data VALUES (1, x'00')").await.contains("may not be modified")
    );
    for module in ["dbstat", "sqlite_dbpage", "csv(filename='/etc/passwd')", "fts3tokenize"] {
        let sql = format!("CREATE VIRTUAL TABLE v USING {module}");
        assert!(db.refusal(&sql).await.contains("module"), "{sql}");
    }
}

#[tokio::test]
async fn what_is_refused_stays_refused_in_views_and_triggers() {
    let scene = Scene::new();
    let db = scene.open().await;
    db.done("CREATE TABLE t (x)").await;
    let trigger = "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT load_extension('x'); END";
    // What a trigger does is looked at when it fires.
    if db.run(trigger).await.is_ok() {
        assert!(db.refusal("INSERT INTO t VALUES (1)").await.contains("load_extension"));
    }
    if db.run("CREATE VIEW v AS SELECT fts3_tokenizer('simple') AS y").await.is_ok() {
        assert!(db.refusal("SELECT y FROM v").await.contains("fts3_tokenizer"));
    }
}

#[tokio::test]
async fn what_an_app_needs_of_pragmas_it_can_ask() {
    let scene = Scene::new();
    let db = scene.open().await;
    db.done("CREATE TABLE t (x REFERENCES t)").await;
    for sql in [
        "PRAGMA table_info(t)",
        "PRAGMA foreign_key_list(t)",
        "PRAGMA user_version = 3",
        "PRAGMA user_version",
        "PRAGMA foreign_keys = ON",
        "PRAGMA integrity_check",
        "PRAGMA journal_mode",
        "PRAGMA optimize",
        "SELECT name FROM pragma_table_info('t')",
        "SELECT json_extract('{\"a\": 1}', '$.a')",
        "REINDEX",
        "ANALYZE",
        "CREATE VIRTUAL TABLE boxes USING rtree(id, a, b)",
    ] {
        db.done(sql).await;
    }
}
