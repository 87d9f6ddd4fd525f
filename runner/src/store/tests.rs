//! The store against real files.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::limits::host as limits;

pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("pirn-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(super) fn store(&self) -> Store {
        let layout = Layout { state_dir: self.0.clone(), ..Layout::default() };
        Store::start(layout).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn what_was_set_is_there_for_the_next_process() {
    let scratch = Scratch::new("reopen");
    let store = scratch.store();
    store.set("default", "a", vec![1]).await.unwrap();
    store.set("default", "a", vec![2]).await.unwrap();
    store.set("other", "a", vec![3]).await.unwrap();
    drop(store);
    let store = scratch.store();
    assert_eq!(store.get("default", "a").await.unwrap(), Some(vec![2]));
    assert_eq!(store.get("other", "a").await.unwrap(), Some(vec![3]));
    assert_eq!(store.keys("default").await.unwrap(), ["a"]);
    store.delete("default", "a").await.unwrap();
    store.delete("default", "a").await.unwrap();
    assert_eq!(store.get("default", "a").await.unwrap(), None);
}

#[tokio::test]
async fn each_cap_of_a_store_is_refused_with_its_size() {
    let scratch = Scratch::new("caps");
    let store = scratch.store();
    let long = "k".repeat(limits::KEY_BYTES_MAX + 1);
    assert!(
        matches!(store.set("s", &long, vec![]).await, Err(StoreError::Limit(m)) if m.contains("256"))
    );
    let big = vec![0; limits::VALUE_BYTES_MAX + 1];
    assert!(
        matches!(store.set("s", "k", big).await, Err(StoreError::Limit(m)) if m.contains("value"))
    );
    for n in 0..limits::STORE_BYTES_MAX / limits::VALUE_BYTES_MAX as u64 {
        store.set("b", &n.to_string(), vec![0; limits::VALUE_BYTES_MAX]).await.unwrap();
    }
    assert!(
        matches!(store.set("b", "x", vec![0]).await, Err(StoreError::Limit(m)) if m.contains("full"))
    );
    store.set("b", "1", vec![0]).await.unwrap();
    let writes = (0..limits::KEYS_PER_STORE_MAX).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { store.set("n", &n.to_string(), vec![]).await })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    assert!(
        matches!(store.set("n", "one more", vec![]).await, Err(StoreError::Limit(m)) if m.contains("1024 keys"))
    );
    store.set("n", "1", vec![1]).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_missing_is_an_error_that_names_it_and_heals() {
    let scratch = Scratch::new("missing");
    let dir = scratch.0.join("not-yet");
    let layout = Layout { state_dir: dir.clone(), ..Layout::default() };
    let store = Store::start(layout).unwrap();
    let error = store.set("default", "a", vec![1]).await.unwrap_err();
    assert!(error.to_string().contains("not-yet"), "{error}");
    std::fs::create_dir(&dir).unwrap();
    store.set("default", "a", vec![1]).await.unwrap();
}

fn count(store: &Store) -> impl Future<Output = i64> {
    let store = store.clone();
    async move {
        let count = |db: &Tx<'_>| {
            Ok(db.query_row("SELECT count(*) FROM spin_key_value", [], |row| row.get(0))?)
        };
        store.read(Place::State, count).await.unwrap()
    }
}

fn insert(db: &Tx<'_>) -> Result<(), StoreError> {
    db.execute("INSERT INTO spin_key_value VALUES ('s', hex(randomblob(8)), x'00')", [])?;
    Ok(())
}

#[tokio::test]
async fn work_that_fails_leaves_nothing_behind_and_does_not_hurt_its_neighbours() {
    let scratch = Scratch::new("savepoints");
    let store = scratch.store();
    let gather = Terms { bytes: 0, gather: caps::GATHER_MAX };
    let full = |db: &Tx<'_>| {
        insert(db)?;
        Err::<(), _>(StoreError::Limit("full".into()))
    };
    let wrong = |db: &Tx<'_>| {
        insert(db)?;
        db.execute("INSERT INTO spin_key_value (store) VALUES (NULL)", [])?;
        Ok(())
    };
    let (first, limit, refused, last) = tokio::join!(
        store.write(Place::State, gather, insert),
        store.write(Place::State, gather, full),
        store.write(Place::State, gather, wrong),
        store.write(Place::State, gather, insert),
    );
    first.unwrap();
    assert_eq!(limit, Err(StoreError::Limit("full".into())));
    let Err(StoreError::Refused(sentence)) = refused else { panic!("{refused:?}") };
    assert!(sentence.contains("pirn.db"), "{sentence}");
    last.unwrap();
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn what_waits_together_shares_one_commit() {
    let scratch = Scratch::new("group");
    let store = scratch.store();
    count(&store).await;
    // The thread is held in a piece of work until all others wait behind it.
    let (go, held) = mpsc::channel::<()>();
    let hold = move |_: &Tx<'_>| held.recv().map_err(|_| StoreError::Stopped);
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.write(Place::State, Terms::default(), hold).await }
    });
    tokio::task::yield_now().await;
    let log = scratch.0.join("pirn.db-wal");
    let before = std::fs::metadata(&log).unwrap().len();
    let writes: Vec<_> = (0..caps::REQUESTS_PER_COMMIT_MAX)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.write(Place::State, Terms::default(), insert).await })
        })
        .collect();
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    let pages = (std::fs::metadata(&log).unwrap().len() - before) / 4096;
    assert!(pages < 6, "{pages} pages were written for one commit");
}

#[tokio::test]
async fn requests_beyond_the_queue_s_bytes_wait_and_none_is_turned_away() {
    let scratch = Scratch::new("queue");
    let store = scratch.store();
    count(&store).await;
    let (go, held) = mpsc::channel::<()>();
    let hold = move |_: &Tx<'_>| held.recv().map_err(|_| StoreError::Stopped);
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.write(Place::State, Terms::default(), hold).await }
    });
    let all = 4 * caps::QUEUE_PAGES_MAX as usize * caps::QUEUE_PAGE_BYTES / (1 << 20);
    let writes: Vec<_> = (0..all)
        .map(|_| {
            let (store, terms) = (store.clone(), Terms::holding(1 << 20));
            tokio::spawn(async move { store.write(Place::State, terms, insert).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let file = store.file(&scratch.0.join("pirn.db")).await.unwrap();
    assert!(file.room.available_permits() < (1 << 20) / caps::QUEUE_PAGE_BYTES);
    assert!(writes.iter().all(|write| !write.is_finished()));
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    assert_eq!(count(&store).await, all as i64);
    assert_eq!(file.room.available_permits(), caps::QUEUE_PAGES_MAX as usize);
}

#[tokio::test]
async fn a_file_that_is_stuck_stalls_no_other() {
    let scratch = Scratch::new("stuck");
    let paths = [("slow".to_owned(), scratch.0.join("slow.db"))].into();
    let store =
        Store::start(Layout { state_dir: scratch.0.clone(), paths, ..Layout::default() }).unwrap();
    let (go, held) = mpsc::channel::<()>();
    let hold = move |_: &Tx<'_>| held.recv().map_err(|_| StoreError::Stopped);
    let stuck = tokio::spawn({
        let store = store.clone();
        async move { store.write(Place::KeyValue("slow"), Terms::default(), hold).await }
    });
    tokio::task::yield_now().await;
    store.set("default", "a", vec![1]).await.unwrap();
    assert!(!stuck.is_finished());
    let names = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'pirn%'";
    go.send(()).unwrap();
    stuck.await.unwrap().unwrap();
    let ours = move |tx: &Tx<'_>| Ok(tx.query_row(names, [], |row| row.get::<_, i64>(0))?);
    let ours = store.read(Place::KeyValue("slow"), ours).await.unwrap();
    assert_eq!(ours, 0, "a file that Spin may open holds tables of ours");
}

#[tokio::test]
async fn what_a_store_holds_is_known_through_sets_deletes_failures_and_other_programs() {
    let scratch = Scratch::new("totals");
    let store = scratch.store();
    let held = |store: &Store| {
        let store = store.clone();
        async move {
            let look = |tx: &Tx<'_>| {
                let known = key_value::held(tx, "s")?;
                tx.totals().borrow_mut().forget();
                assert_eq!(known, key_value::held(tx, "s")?, "what is known is not what is there");
                Ok(known)
            };
            store.read(Place::KeyValue("s"), look).await.unwrap()
        }
    };
    store.set("s", "a", vec![0; 10]).await.unwrap();
    store.set("s", "b", vec![0; 20]).await.unwrap();
    store.set("s", "a", vec![0; 5]).await.unwrap();
    store.delete("s", "nothing").await.unwrap();
    assert_eq!(held(&store).await, key_value::Held { keys: 2, bytes: 25 });
    store.delete("s", "b").await.unwrap();
    assert_eq!(held(&store).await, key_value::Held { keys: 1, bytes: 5 });
    // A set that is taken back, in the same commit as one that is not.
    let gather = Terms { bytes: 0, gather: caps::GATHER_MAX };
    let fails = |tx: &Tx<'_>| {
        let _ = key_value::set(tx, "s", "c", &[0; 100], u64::MAX)?;
        Err::<(), _>(StoreError::Limit("full".into()))
    };
    let (kept, failed) = tokio::join!(
        store.write(Place::KeyValue("s"), gather, |tx| key_value::set(
            tx,
            "s",
            "d",
            &[0; 7],
            u64::MAX
        )),
        store.write(Place::KeyValue("s"), gather, fails),
    );
    kept.unwrap().unwrap();
    failed.unwrap_err();
    assert_eq!(held(&store).await, key_value::Held { keys: 2, bytes: 12 });
    let other = rusqlite::Connection::open(scratch.0.join("pirn.db")).unwrap();
    other.execute("INSERT INTO spin_key_value VALUES ('s', 'x', zeroblob(1000))", []).unwrap();
    assert_eq!(held(&store).await, key_value::Held { keys: 3, bytes: 1012 });
}

#[tokio::test]
async fn a_component_s_stores_together_hold_no_more_than_its_state_may() {
    let scratch = Scratch::new("quota");
    let paths = [("other".to_owned(), scratch.0.join("other.db"))].into();
    let layout = Layout { state_dir: scratch.0.clone(), paths, ..Layout::default() };
    let store = Store::start(layout).unwrap();
    let stores = ["default".to_owned(), "other".to_owned()].into();
    let holder = Holder::Component("app");
    let quota = Quota { holder, stores: &stores, bytes_max: 1000 };
    store.set_within("default", "a", vec![0; 400], &[quota]).await.unwrap();
    store.set_within("other", "a", vec![0; 600], &[quota]).await.unwrap();
    for label in ["default", "other"] {
        let error = store.set_within(label, "b", vec![0], &[quota]).await.unwrap_err();
        let StoreError::Limit(sentence) = error else { panic!("{error}") };
        assert!(sentence.contains("1000 B") && sentence.contains("`state`"), "{sentence}");
        assert_eq!(store.get(label, "b").await.unwrap(), None);
    }
    store.set_within("default", "a", vec![0; 399], &[quota]).await.unwrap();
    store.set_within("other", "b", vec![0], &[quota]).await.unwrap();
    // A smaller state than what is there: what shrinks it is still allowed, what grows it is not.
    let smaller = Quota { bytes_max: 10, ..quota };
    store.set_within("default", "a", vec![0; 300], &[smaller]).await.unwrap();
    store.set_within("default", "a", vec![0; 301], &[smaller]).await.unwrap_err();
}

#[tokio::test]
async fn of_several_bounds_the_tightest_holds_and_is_named() {
    let scratch = Scratch::new("quotas");
    let store = Store::start(Layout { state_dir: scratch.0.clone(), ..Layout::default() }).unwrap();
    let own = ["mine".to_owned()].into();
    let all = ["mine".to_owned(), "theirs".to_owned()].into();
    let own = Quota { holder: Holder::Component("a"), stores: &own, bytes_max: 900 };
    let all = Quota { holder: Holder::App, stores: &all, bytes_max: 1000 };
    store.set("theirs", "a", vec![0; 500]).await.unwrap();
    let both = [own, all];
    let within = |bytes| store.set_within("mine", "a", vec![0; bytes], &both);
    within(499).await.unwrap();
    let StoreError::Limit(sentence) = within(501).await.unwrap_err() else { panic!() };
    assert!(sentence.contains("of the app") && sentence.contains("[application.tool.pirn]"));
    store.delete("theirs", "a").await.unwrap();
    within(899).await.unwrap();
    let StoreError::Limit(sentence) = within(901).await.unwrap_err() else { panic!() };
    assert!(sentence.contains("component `a`") && sentence.contains("900 B"), "{sentence}");
}

#[tokio::test]
async fn a_start_looks_into_the_database_only_if_something_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let layout = || Layout { state_dir: dir.path().into(), ..Layout::default() };
    let store = Store::start(layout()).unwrap();
    assert!(!store.has_kept());
    let publish = KeptPublish {
        component: "c".into(),
        topic: "t".into(),
        payload: Default::default(),
        qos: 1,
        retain: false,
        at: 0,
    };
    let rows = store.keep_publishes("b", vec![publish]).await.unwrap();
    assert!(store.has_kept());
    store.nothing_is_kept().await.unwrap();
    assert!(store.has_kept(), "a publish is there");
    store.forget_publishes(rows).await.unwrap();
    store.nothing_is_kept().await.unwrap();
    assert!(!Store::start(layout()).unwrap().has_kept());
}

#[tokio::test]
async fn more_files_than_places_take_turns_and_lose_nothing() {
    let scratch = Scratch::new("desk");
    let label = |n: usize| format!("label{n}");
    let paths = (0..6).map(|n| (label(n), scratch.0.join(format!("{n}.db")))).collect();
    let desk = Desk::new(2);
    let layout = Layout {
        state_dir: scratch.0.clone(),
        paths,
        desk: Some(Arc::clone(&desk)),
        ..Layout::default()
    };
    let store = Store::start(layout).unwrap();
    let writes = (0..60).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { store.set(&label(n % 6), &n.to_string(), vec![7]).await })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    assert!(desk.open_files() <= 2, "{desk:?}");
    for n in 0..60 {
        let value = store.get(&label(n % 6), &n.to_string()).await.unwrap();
        assert_eq!(value, Some(vec![7]), "{n}");
    }
    store.close().await;
}
