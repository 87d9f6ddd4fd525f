//! What takes a chip whose clock and whose other end are ours: exact times, floods, a hand at the plug.

use crate::bench::{Notices, input, next, output, reason};
use pirn_triggers::gpio::simulated::{Driver, SimulatedPins};
use pirn_triggers::gpio::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn line(name: &str) -> LineId {
    LineId {
        name: name.into(),
        chip_label: "pinctrl".to_owned(),
        kernel_names: vec![format!("GPIO_{name}"), name.to_lowercase()],
        offset: None,
    }
}

fn pins() -> (SimulatedPins, Chips) {
    let pins = SimulatedPins::new(["BUTTON", "LAMP", "DOOR"].map(line));
    (pins.clone(), Chips::Simulated(pins))
}

#[test]
fn the_handles_cross_threads() {
    fn can<T: Send + Sync + 'static>() {}
    can::<Input>();
    can::<InputHandle>();
    can::<Outputs>();
    can::<SimulatedPins>();
    can::<Chips>();
}

#[tokio::test(start_paused = true)]
async fn a_press_is_two_edges_as_far_apart_as_it_lasted() {
    let (pins, chips) = pins();
    let mut button = Input::open(chips, input(line("BUTTON"), Edges::Both), None);
    pins.press("BUTTON", 50 * MS).await.unwrap();
    let (down, up) = (next(&mut button).await, next(&mut button).await);
    assert_eq!((down.edge, up.edge), (EdgeKind::Rising, EdgeKind::Falling));
    assert_eq!(up.timestamp_ns - down.timestamp_ns, 50_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_press_of_a_line_that_is_active_low_pulls_it_down_and_ends_when_it_is_dropped() {
    let (pins, chips) = pins();
    let options = InputOptions {
        active: Active::Low,
        bias: Bias::PullUp,
        ..input(line("BUTTON"), Edges::Rising)
    };
    let mut button = Input::open(chips, options, None);
    assert_eq!(pins.level("BUTTON"), Ok(Level::High), "pulled up");
    let cut = tokio::time::timeout(10 * MS, pins.press("BUTTON", 50 * MS)).await;
    assert!(cut.is_err());
    assert_eq!(next(&mut button).await.edge, EdgeKind::Rising);
    assert_eq!(pins.level("BUTTON"), Ok(Level::High));
}

#[tokio::test(start_paused = true)]
async fn a_debounced_edge_has_the_time_at_which_the_level_had_held_long_enough() {
    let (pins, chips) = pins();
    let options = InputOptions { debounce: Some(30 * MS), ..input(line("BUTTON"), Edges::Both) };
    let mut button = Input::open(chips, options, None);
    for level in [Level::High, Level::Low, Level::High] {
        pins.drive("BUTTON", level).unwrap();
        tokio::time::sleep(10 * MS).await;
    }
    let edge = next(&mut button).await;
    assert_eq!((edge.edge, edge.timestamp_ns, edge.sequence), (EdgeKind::Rising, 50_000_000, 1));
}

#[tokio::test(start_paused = true)]
async fn a_debounced_edge_keeps_its_time_when_nobody_looks_until_later() {
    let (pins, chips) = pins();
    let options = InputOptions { debounce: Some(30 * MS), ..input(line("BUTTON"), Edges::Both) };
    let mut button = Input::open(chips, options, None);
    pins.press("BUTTON", 100 * MS).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let times = [next(&mut button).await, next(&mut button).await].map(|edge| edge.timestamp_ns);
    assert_eq!(times, [30_000_000, 130_000_000]);
}

/// Whether or not the reader keeps up, all edges are accounted for, and it does not keep the thread.
#[tokio::test(start_paused = true)]
async fn of_100_000_edges_in_a_burst_each_is_delivered_or_missed_and_others_go_on() {
    const EDGES: u32 = 100_000;
    for burst in [EDGES, 5_000, 1_000, 7] {
        let (pins, chips) = pins();
        let mut button = Input::open(chips, input(line("BUTTON"), Edges::Both), None);
        let handle = button.handle();
        let turns = Arc::new(AtomicU64::new(0));
        let neighbour = tokio::spawn({
            let turns = turns.clone();
            async move {
                loop {
                    turns.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        let driver = tokio::spawn(async move {
            for n in 1..=EDGES {
                pins.drive("BUTTON", if n % 2 == 1 { Level::High } else { Level::Low }).unwrap();
                if n % burst == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        while next(&mut button).await.sequence < EDGES {}
        driver.await.unwrap();
        neighbour.abort();
        let InputCounters { delivered, missed, epochs } = handle.counters();
        assert_eq!((delivered + missed, epochs), (EDGES.into(), 1), "bursts of {burst}");
        let shared = turns.load(Ordering::Relaxed);
        assert!(shared * 200 > delivered, "{shared} turns beside {delivered} edges");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_edge_can_be_given_up_at_any_time_without_losing_one() {
    let (pins, chips) = pins();
    let mut button = Input::open(chips, input(line("BUTTON"), Edges::Both), None);
    let driver = tokio::spawn(async move {
        for n in 1..=1000_u32 {
            pins.drive("BUTTON", if n % 2 == 1 { Level::High } else { Level::Low }).unwrap();
            tokio::time::sleep(MS * (n % 5)).await;
        }
    });
    let mut sequence = 0;
    while sequence < 1000 {
        if let Ok(edge) = tokio::time::timeout(MS, button.next()).await {
            assert_eq!((edge.sequence, edge.missed), (sequence + 1, 0));
            sequence = edge.sequence;
        }
    }
    driver.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_line_is_found_by_any_of_its_names_and_on_whichever_chip_of_the_label_has_it() {
    let (_, chips) = pins();
    let named = LineId { kernel_names: vec!["x".into(), "door".into()], ..line("DOOR") };
    let door = Input::open(chips.clone(), input(named, Edges::None), None);
    assert_eq!(door.handle().state(), LineState::Ready);
    let nowhere = LineId { kernel_names: Vec::new(), ..line("LAMP") };
    let nowhere = Input::open(chips, input(nowhere, Edges::None), None);
    let why = reason(nowhere.handle().state());
    assert!(why.contains("a line without kernel name and offset"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn reading_a_level_is_enough_to_get_a_line_back() {
    let (pins, chips) = pins();
    pins.occupy("DOOR").unwrap();
    let notices = Notices::default();
    let door = Input::open(chips, input(line("DOOR"), Edges::None), notices.handler());
    let door = door.handle();
    assert!(door.level().is_err());
    pins.vacate("DOOR").unwrap();
    assert!(door.level().is_err(), "the next try is not due yet");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(door.level(), Ok(Level::Low));
    assert_eq!(notices.take().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_sees_each_change_and_who_made_it() {
    let (pins, chips) = pins();
    let mut changes = pins.watch();
    let outputs = Outputs::open(chips, vec![output(line("LAMP"))], None).unwrap();
    outputs.set(0, Level::High).unwrap();
    outputs.set(0, Level::High).unwrap();
    pins.drive("DOOR", Level::High).unwrap();
    let seen = [changes.try_recv().unwrap(), changes.try_recv().unwrap()];
    let seen = seen.map(|change| (change.name.to_string(), change.level, change.driver));
    assert_eq!(
        seen,
        [
            ("LAMP".to_owned(), Level::High, Driver::Program),
            ("DOOR".to_owned(), Level::High, Driver::Outside)
        ]
    );
    assert!(changes.try_recv().is_err(), "nothing else changed");
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_does_not_exist_is_named_with_those_that_do() {
    let error = pins().0.drive("DOR", Level::High).unwrap_err().to_string();
    assert_eq!(error, "there is no simulated line \"DOR\"; there are BUTTON, LAMP, DOOR");
}
