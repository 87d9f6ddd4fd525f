//! Dead letters in a real file: none goes without being counted, none is tried again half.
#![allow(clippy::unwrap_used)]

use super::super::{Layout, Place, Store, Terms};
use super::*;
use crate::limits::store as caps;

fn store(dir: &std::path::Path, letters: LetterBounds) -> Store {
    Store::start(Layout { state_dir: dir.to_owned(), letters, ..Layout::default() }).unwrap()
}

fn letter(n: usize) -> DeadLetter {
    let letter = DeadLetter::new("c", format!("t/{n}"), vec![7; 100], "refused: no");
    DeadLetter { time: 1_000 + n as u64, ..letter }
}

async fn all(store: &Store) -> Vec<Kept> {
    store.dead_letters(Pick::default(), 0, 10_000, Payloads::With).await.unwrap()
}

async fn sources(store: &Store) -> Vec<String> {
    all(store).await.into_iter().map(|kept| kept.letter.source).collect()
}

/// The totals must be what a count gives.
async fn balanced(store: &Store) -> LetterTotals {
    let letters = all(store).await;
    let totals = store.letter_totals().await.unwrap();
    assert_eq!(totals.letters, letters.len() as u64);
    assert_eq!(totals.bytes, letters.iter().map(|kept| kept.letter.size()).sum::<u64>());
    totals
}

#[tokio::test]
async fn a_letter_comes_back_as_it_was_buried_also_for_the_next_process() {
    let scratch = tempfile::tempdir().unwrap();
    let buried =
        DeadLetter { kind: LetterKind::Gpio, qos: 2, retained: true, attempts: 3, ..letter(1) };
    let first = store(scratch.path(), LetterBounds::default());
    let id = first.bury(buried.clone()).await.unwrap();
    first.close().await;
    let kept = store(scratch.path(), LetterBounds::default()).dead_letter(id).await.unwrap();
    assert_eq!(kept, Some(Kept { id, retry: Retry::No, kept_bytes: 100, letter: buried }));
}

#[tokio::test]
async fn beyond_their_number_the_oldest_gives_way_and_is_counted() {
    let scratch = tempfile::tempdir().unwrap();
    let bounds = LetterBounds { letters_max: 3, ..LetterBounds::default() };
    let store = store(scratch.path(), bounds);
    for n in 0..5 {
        store.bury(letter(n)).await.unwrap();
    }
    assert_eq!(sources(&store).await, ["t/2", "t/3", "t/4"]);
    assert_eq!((balanced(&store).await.dropped_oldest, store.letters_dropped()), (2, 2));
}

#[tokio::test]
async fn beyond_their_bytes_as_many_of_the_oldest_give_way_as_it_takes() {
    let scratch = tempfile::tempdir().unwrap();
    let bytes_max = 4 * letter(0).size();
    let store = store(scratch.path(), LetterBounds { bytes_max, ..LetterBounds::default() });
    for n in 0..4 {
        store.bury(letter(n)).await.unwrap();
    }
    store.bury(DeadLetter { payload: vec![7; 400], ..letter(4) }).await.unwrap();
    let totals = balanced(&store).await;
    assert!(totals.bytes <= bytes_max && totals.dropped_oldest >= 2, "{totals:?}");
    assert_eq!(sources(&store).await.last().unwrap(), "t/4");
}

#[tokio::test]
async fn where_the_operator_wants_it_one_too_many_is_refused_and_nothing_goes() {
    let scratch = tempfile::tempdir().unwrap();
    let bounds =
        LetterBounds { letters_max: 2, when_full: WhenFull::Refuse, ..LetterBounds::default() };
    let store = store(scratch.path(), bounds);
    store.bury(letter(0)).await.unwrap();
    store.bury(letter(1)).await.unwrap();
    let error = store.bury(letter(2)).await.unwrap_err().to_string();
    assert!(error.contains("2 letters") && error.contains("dead-letters"), "{error}");
    assert_eq!(sources(&store).await, ["t/0", "t/1"]);
    store.drop_dead_letters(Pick { id: Some(1), ..Pick::default() }).await.unwrap();
    store.bury(letter(3)).await.unwrap();
    balanced(&store).await;
}

#[tokio::test]
async fn of_an_oversize_message_the_first_bytes_and_its_length_are_kept_and_it_is_not_tried_again()
{
    let scratch = tempfile::tempdir().unwrap();
    let store = store(scratch.path(), LetterBounds::default());
    let announced = DeadLetter { payload_bytes: 256_000_000, ..letter(0) };
    let long = vec![1; caps::DEAD_LETTER_PAYLOAD_BYTES_MAX + 1];
    let id = store.bury(announced).await.unwrap();
    store.bury(DeadLetter { payload: long, ..letter(1) }).await.unwrap();
    store.bury(letter(2)).await.unwrap();
    let kept = all(&store).await;
    assert_eq!((kept[0].kept_bytes, kept[0].letter.payload_bytes), (100, 256_000_000));
    assert_eq!(kept[1].kept_bytes, caps::DEAD_LETTER_PAYLOAD_BYTES_MAX as u64);
    assert_eq!(kept[1].letter.payload_bytes, kept[1].kept_bytes + 1);
    assert_eq!(store.retry_dead_letters(Pick::default()).await.unwrap(), (1, 2));
    let one = Pick { id: Some(id), ..Pick::default() };
    assert_eq!(store.retry_dead_letters(one).await.unwrap(), (0, 1));
}

#[tokio::test]
async fn a_pick_by_component_and_age_means_those_letters_and_no_others() {
    let scratch = tempfile::tempdir().unwrap();
    let store = store(scratch.path(), LetterBounds::default());
    for n in 0..6 {
        let component = if n % 2 == 0 { "even" } else { "odd" };
        store.bury(DeadLetter { component: component.into(), ..letter(n) }).await.unwrap();
    }
    let even = Pick { component: Some("even".into()), ..Pick::default() };
    for (pick, expected) in [
        (even.clone(), &["t/0", "t/2", "t/4"][..]),
        (Pick { until: Some(1_002), ..even.clone() }, &["t/0", "t/2"]),
        (Pick { since: Some(1_003), ..Pick::default() }, &["t/3", "t/4", "t/5"]),
        (Pick { id: Some(2), ..Pick::default() }, &["t/1"]),
        (Pick { id: Some(2), ..even.clone() }, &[]),
    ] {
        let found = store.dead_letters(pick.clone(), 0, 100, Payloads::Without).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|kept| kept.letter.source).collect();
        assert_eq!(found, expected, "{pick:?}");
    }
    assert_eq!(store.drop_dead_letters(even).await.unwrap(), 3);
    assert_eq!(sources(&store).await, ["t/1", "t/3", "t/5"]);
    balanced(&store).await;
}

#[tokio::test]
async fn a_letter_is_gone_only_when_it_was_handled_and_stays_with_its_new_reason_when_it_failed() {
    let scratch = tempfile::tempdir().unwrap();
    let store = store(scratch.path(), LetterBounds::default());
    let (handled, failed) =
        (store.bury(letter(0)).await.unwrap(), store.bury(letter(1)).await.unwrap());
    store.retry_dead_letters(Pick::default()).await.unwrap();
    assert_eq!(store.take_retries(10).await.unwrap().len(), 2);
    assert!(store.take_retries(10).await.unwrap().is_empty(), "one letter was taken twice");
    store.letter_handled(handled).await.unwrap();
    store.letter_failed(failed, 2, "a longer reason than before".into()).await.unwrap();
    let kept = all(&store).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].id, kept[0].letter.attempts, kept[0].retry), (failed, 3, Retry::No));
    assert_eq!(kept[0].letter.reason, "a longer reason than before");
    balanced(&store).await;
}

#[tokio::test]
async fn a_letter_that_was_in_work_when_the_process_ended_is_tried_again_by_the_next() {
    let scratch = tempfile::tempdir().unwrap();
    let first = store(scratch.path(), LetterBounds::default());
    first.bury(letter(0)).await.unwrap();
    first.retry_dead_letters(Pick::default()).await.unwrap();
    assert_eq!(first.take_retries(10).await.unwrap().len(), 1);
    first.close().await;
    let second = store(scratch.path(), LetterBounds::default());
    assert_eq!(second.take_retries(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_number_is_never_given_to_another_letter() {
    let scratch = tempfile::tempdir().unwrap();
    let store = store(scratch.path(), LetterBounds::default());
    let first = store.bury(letter(0)).await.unwrap();
    store.drop_dead_letters(Pick::default()).await.unwrap();
    assert!(store.bury(letter(1)).await.unwrap() > first);
}

#[tokio::test]
async fn letters_of_an_older_version_are_taken_over() {
    let scratch = tempfile::tempdir().unwrap();
    let old = store(scratch.path(), LetterBounds::default());
    let tables = "CREATE TABLE pirn_dead_letter (id INTEGER PRIMARY KEY AUTOINCREMENT,
        component TEXT NOT NULL, source TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL);
        INSERT INTO pirn_dead_letter VALUES (7, 'c', 't/old', x'0102', 'refused')";
    let make = move |tx: &Tx<'_>| Ok(tx.execute_batch(tables)?);
    old.write(Place::State, Terms::default(), make).await.unwrap();
    old.close().await;
    let store = store(scratch.path(), LetterBounds::default());
    assert_eq!(sources(&store).await, ["t/old"]);
    assert_eq!(store.letter_totals().await.unwrap().letters, 1);
    assert!(store.bury(letter(1)).await.unwrap() > 7);
}
