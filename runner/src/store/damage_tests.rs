//! What happens to the store's files behind its back: each damage is said, set aside under a name of its
//! own, and never taken for an empty or an older store without a word.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::mark::beside;
use super::{Layout, Store, StoreError};
use crate::report::{Report, Reporter};

/// What the operator was told.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Reporter for Heard {
    fn report(&self, report: &Report<'_>) {
        if let Report::Warning(sentence) | Report::Note(sentence) = report {
            self.0.lock().unwrap().push((*sentence).to_owned());
        }
    }
}

struct Scene {
    dir: tempfile::TempDir,
    heard: Arc<Heard>,
}

impl Scene {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), heard: Arc::default() }
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("pirn.db")
    }

    fn file(&self, ending: &str) -> PathBuf {
        beside(&self.database(), ending)
    }

    fn store(&self) -> Store {
        let layout = Layout { state_dir: self.dir.path().to_owned(), ..Layout::default() };
        let reporter = Arc::clone(&self.heard) as Arc<dyn Reporter>;
        Store::start_reporting(layout, reporter).unwrap()
    }

    /// A folder as a process leaves it that was killed after so many writes: copied while it is open.
    async fn killed_after(keys: usize) -> Self {
        let (alive, dead) = (Self::new(), Self::new());
        let store = alive.store();
        fill(&store, keys).await;
        for entry in fs::read_dir(alive.dir.path()).unwrap() {
            let entry = entry.unwrap();
            // The index is the kernel's and the next process's to make.
            if !entry.file_name().to_string_lossy().ends_with("-shm") {
                fs::copy(entry.path(), dead.dir.path().join(entry.file_name())).unwrap();
            }
        }
        dead
    }

    /// A folder as an orderly stop leaves it.
    async fn closed_after(keys: usize) -> Self {
        let scene = Self::new();
        let store = scene.store();
        fill(&store, keys).await;
        store.close().await;
        scene
    }

    fn heard(&self) -> String {
        self.heard.0.lock().unwrap().join("\n")
    }

    /// The files in the folder that were set aside.
    fn remains(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.contains(".damaged")).collect();
        names.sort();
        names
    }
}

async fn fill(store: &Store, keys: usize) {
    for n in 0..keys {
        store.set("s", &format!("{n:04}"), vec![n as u8; 1000]).await.unwrap();
    }
}

async fn keys(store: &Store) -> usize {
    store.keys("s").await.unwrap().len()
}

fn cut(path: &Path, numerator: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() * numerator / 2).unwrap();
}

#[tokio::test]
async fn after_a_kill_and_after_an_orderly_stop_all_is_there_and_nothing_is_said() {
    for scene in [Scene::killed_after(20).await, Scene::closed_after(20).await] {
        for _ in 0..2 {
            assert_eq!(keys(&scene.store()).await, 20);
        }
        assert_eq!(scene.heard(), "");
        assert_eq!(scene.store().losses(), 0);
    }
}

#[tokio::test]
async fn a_kill_at_any_commit_across_many_folds_of_the_log_is_never_taken_for_a_loss() {
    let alive = Scene::new();
    let store = alive.store();
    for round in 0..40 {
        for n in 0..10 {
            store.set("s", &format!("{n}"), vec![round; 40_000]).await.unwrap();
        }
        let dead = Scene::new();
        for ending in ["", "-wal", "-mark"] {
            fs::copy(alive.file(ending), dead.file(ending)).unwrap();
        }
        assert_eq!(dead.store().get("s", "9").await.unwrap(), Some(vec![round; 40_000]));
        assert_eq!(dead.heard(), "", "round {round}");
    }
}

#[tokio::test]
async fn a_log_that_lost_its_second_half_is_said() {
    let scene = Scene::killed_after(20).await;
    cut(&scene.file("-wal"), 1);
    let store = scene.store();
    let left = keys(&store).await;
    assert!(left < 20);
    assert!(scene.heard().contains("its log ends after"), "{}", scene.heard());
    assert_eq!(store.losses(), 1);
    // It is said once: what is left is what is there from now on.
    store.close().await;
    assert_eq!(keys(&scene.store()).await, left);
    assert_eq!(scene.heard().lines().count(), 1, "{}", scene.heard());
}

#[tokio::test]
async fn a_log_that_is_gone_or_has_a_flipped_bit_in_a_committed_page_is_said() {
    for (part, damage) in [
        ("is gone", (|wal| fs::remove_file(wal).unwrap()) as fn(&Path)),
        ("is gone", |wal| fs::write(wal, "").unwrap()),
        ("ends after", |wal| {
            let mut bytes = fs::read(wal).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            fs::write(wal, bytes).unwrap();
        }),
        ("not the one", |wal| {
            let mut bytes = fs::read(wal).unwrap();
            bytes[17] ^= 1;
            fs::write(wal, bytes).unwrap();
        }),
    ] {
        let scene = Scene::killed_after(20).await;
        damage(&scene.file("-wal"));
        assert!(keys(&scene.store()).await < 20);
        assert!(scene.heard().contains(part), "{part}: {}", scene.heard());
    }
}

#[tokio::test]
async fn a_database_that_is_suddenly_empty_or_missing_is_set_aside_with_its_log_and_said() {
    let empty: fn(&Path) = |path| fs::write(path, "").unwrap();
    let missing: fn(&Path) = |path| fs::remove_file(path).unwrap();
    for (damage, part) in [(empty, "it is empty"), (missing, "it is gone")] {
        let killed = Scene::killed_after(20).await;
        let closed = Scene::closed_after(20).await;
        for (scene, has_log) in [(killed, true), (closed, false)] {
            damage(&scene.database());
            let store = scene.store();
            assert_eq!(keys(&store).await, 0);
            assert!(scene.heard().contains(part), "{}", scene.heard());
            assert_eq!(store.losses(), 1);
            let log = scene.remains().iter().any(|name| name.ends_with("-wal"));
            assert_eq!(log, has_log, "{:?}", scene.remains());
            store.set("s", "new", vec![1]).await.unwrap();
        }
    }
}

type Damage = Box<dyn Fn(&Path)>;

#[tokio::test]
async fn a_damaged_database_is_set_aside_and_said_and_the_store_goes_on() {
    let overwrite = |path: &Path, from: usize, with: u8| {
        let mut bytes = fs::read(path).unwrap();
        bytes[from..].fill(with);
        fs::write(path, bytes).unwrap();
    };
    let damages: [(&str, Damage); 6] = [
        ("cut to half", Box::new(|path| cut(path, 1))),
        ("zeroed", Box::new(move |path| overwrite(path, 0, 0))),
        ("zeroed after its first page", Box::new(move |path| overwrite(path, 4096, 0))),
        ("something else", Box::new(move |path| overwrite(path, 0, 7))),
        ("a text", Box::new(|path| fs::write(path, "hello").unwrap())),
        (
            "bits flipped on every page",
            Box::new(|path| {
                let mut bytes = fs::read(path).unwrap();
                for page in (4096..bytes.len()).step_by(4096) {
                    bytes[page] ^= 0x55;
                }
                fs::write(path, bytes).unwrap();
            }),
        ),
    ];
    for (what, damage) in damages {
        let scene = Scene::closed_after(200).await;
        damage(&scene.database());
        let damaged = fs::read(scene.database()).unwrap();
        let store = scene.store();
        assert_eq!(keys(&store).await, 0, "{what}");
        store.set("s", "new", vec![1]).await.unwrap();
        assert!(scene.heard().contains("pirn.db.damaged-1"), "{what}: {}", scene.heard());
        assert_eq!(fs::read(scene.file(".damaged-1")).unwrap(), damaged, "{what}");
    }
}

#[tokio::test]
async fn each_damaged_database_keeps_its_own_remains() {
    let scene = Scene::new();
    for n in 1..=3 {
        fs::write(scene.database(), format!("damage {n}")).unwrap();
        let store = scene.store();
        store.set("s", "a", vec![1]).await.unwrap();
        store.close().await;
    }
    for n in 1..=3 {
        let kept = fs::read_to_string(scene.file(&format!(".damaged-{n}"))).unwrap();
        assert_eq!(kept, format!("damage {n}"));
    }
    assert_eq!(scene.store().get("s", "a").await.unwrap(), Some(vec![1]));
}

#[tokio::test]
async fn a_folder_in_its_place_is_set_aside_with_what_is_in_it() {
    let scene = Scene::new();
    fs::create_dir(scene.database()).unwrap();
    fs::write(scene.database().join("file"), "x").unwrap();
    scene.store().set("s", "a", vec![1]).await.unwrap();
    assert_eq!(fs::read_to_string(scene.file(".damaged-1").join("file")).unwrap(), "x");
    assert!(scene.heard().contains("it is no file"), "{}", scene.heard());
}

#[tokio::test]
async fn a_page_that_goes_bad_while_the_file_is_open_is_an_error_then_set_aside() {
    let scene = Scene::closed_after(400).await;
    let store = scene.store();
    store.get("s", "0000").await.unwrap();
    let mut bytes = fs::read(scene.database()).unwrap();
    bytes[4096..].fill(0);
    fs::write(scene.database(), bytes).unwrap();
    // Pages that SQLite has in its cache still answer; none of the others is believed.
    let mut failed = None;
    for n in 0..400 {
        if let Err(error) = store.get("s", &format!("{n:04}")).await {
            failed = Some(error);
            break;
        }
    }
    assert!(matches!(failed, Some(StoreError::Damaged(_))), "{failed:?}");
    store.set("s", "new", vec![1]).await.unwrap();
    assert!(scene.heard().contains("damaged-1"), "{}", scene.heard());
}

#[tokio::test]
async fn every_file_of_the_store_is_for_this_user_only() {
    let scene = Scene::new();
    let store = scene.store();
    fill(&store, 3).await;
    let mut seen = 0;
    for entry in fs::read_dir(scene.dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert_eq!(seen, 4, "the database, its log, its index and its mark");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_said_once_and_that_it_can_be_used_again_too() {
    let scene = Scene::new();
    let dir = scene.dir.path().join("not-yet");
    let layout = Layout { state_dir: dir.clone(), ..Layout::default() };
    let reporter = Arc::clone(&scene.heard) as Arc<dyn Reporter>;
    let store = Store::start_reporting(layout, reporter).unwrap();
    for _ in 0..3 {
        let error = store.set("s", "a", vec![1]).await.unwrap_err().to_string();
        assert!(error.contains("not-yet"), "{error}");
    }
    fs::create_dir(&dir).unwrap();
    store.set("s", "a", vec![1]).await.unwrap();
    let heard = scene.heard();
    assert_eq!(heard.lines().count(), 2, "{heard}");
    assert!(heard.lines().last().unwrap().contains("can be used again"), "{heard}");
}
