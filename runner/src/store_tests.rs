//! The store against real files.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("pirn-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn store(&self) -> Store {
        let layout = Layout { state_dir: self.0.clone(), paths: BTreeMap::new() };
        Store::start(layout).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn letter(n: usize) -> DeadLetter {
    DeadLetter {
        component: "c".into(),
        source: format!("t/{n}"),
        payload: vec![1, 2],
        reason: "refused".into(),
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
        tokio::spawn(async move {
            for _ in 0..100 {
                match store.set("n", &n.to_string(), vec![]).await {
                    Err(StoreError::Busy) => {
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    }
                    done => return done,
                }
            }
            Err(StoreError::Busy)
        })
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
async fn a_damaged_file_is_kept_aside_and_the_store_goes_on() {
    let scratch = Scratch::new("damaged");
    std::fs::write(scratch.0.join("pirn.db"), [7; 8192]).unwrap();
    let store = scratch.store();
    store.set("default", "a", vec![1]).await.unwrap();
    assert_eq!(store.get("default", "a").await.unwrap(), Some(vec![1]));
    assert_eq!(std::fs::read(scratch.0.join("pirn.db.damaged")).unwrap(), [7; 8192]);
}

#[tokio::test]
async fn a_folder_that_is_missing_is_an_error_that_names_it_and_heals() {
    let scratch = Scratch::new("missing");
    let dir = scratch.0.join("not-yet");
    let layout = Layout { state_dir: dir.clone(), paths: BTreeMap::new() };
    let store = Store::start(layout).unwrap();
    let error = store.set("default", "a", vec![1]).await.unwrap_err();
    assert!(error.to_string().contains("not-yet"), "{error}");
    std::fs::create_dir(&dir).unwrap();
    store.set("default", "a", vec![1]).await.unwrap();
}

#[tokio::test]
async fn dead_letters_are_kept_in_order_and_the_oldest_give_way() {
    let scratch = Scratch::new("letters");
    let store = scratch.store();
    for n in 0..3 {
        store.bury(letter(n)).await.unwrap();
    }
    assert_eq!(store.dead_letters().await.unwrap(), [letter(0), letter(1), letter(2)]);
}
