//! What must hold on any chip.

use crate::bench::{Bench, Notices, input, next, on_each_bench, output, quiet, reason};
use pirn_triggers::gpio::*;
use pirn_triggers::limits::gpio::EDGES_WAITING_MAX;
use std::time::Duration;
use tokio::time::timeout;

const HIGH: Level = Level::High;
const LOW: Level = Level::Low;

fn open(bench: &Bench, options: InputOptions) -> Input {
    let input = Input::open(bench.chips(), options, None);
    assert_eq!(input.handle().state(), LineState::Ready);
    input
}

fn outputs(bench: &Bench, options: Vec<OutputOptions>) -> Outputs {
    Outputs::open(bench.chips(), options, None).unwrap()
}

fn drive(bench: &Bench, levels: &[Level]) {
    levels.iter().for_each(|level| bench.drive(0, *level));
}

#[test]
fn edges_come_in_order_with_times_and_numbers() {
    on_each_bench(async |bench| {
        let mut button = open(bench, input(bench.line(0), Edges::Both));
        drive(bench, &[HIGH, LOW, HIGH]);
        let edges = [next(&mut button).await, next(&mut button).await, next(&mut button).await];
        let kinds = edges.map(|edge| edge.edge);
        assert_eq!(kinds, [EdgeKind::Rising, EdgeKind::Falling, EdgeKind::Rising]);
        assert_eq!(
            edges.map(|edge| (edge.sequence, edge.missed, edge.epoch)),
            [(1, 0, 1), (2, 0, 1), (3, 0, 1)]
        );
        assert!(edges.is_sorted_by_key(|edge| edge.timestamp_ns), "{edges:?}");
    });
}

#[test]
fn only_the_edges_that_were_asked_for_are_counted() {
    on_each_bench(async |bench| {
        for (edges, kind) in
            [(Edges::Rising, EdgeKind::Rising), (Edges::Falling, EdgeKind::Falling)]
        {
            let mut button = open(bench, input(bench.line(0), edges));
            drive(bench, &[HIGH, LOW, HIGH, LOW]);
            for sequence in [1, 2] {
                let edge = next(&mut button).await;
                assert_eq!((edge.edge, edge.sequence, edge.missed), (kind, sequence, 0));
            }
            assert!(quiet(&mut button, Duration::from_millis(100)).await);
        }
    });
}

#[test]
fn the_level_is_read_while_another_task_waits_for_edges() {
    on_each_bench(async |bench| {
        let mut button = open(bench, input(bench.line(0), Edges::Falling));
        let handle = button.handle();
        let waiting = tokio::spawn(async move { next(&mut button).await });
        tokio::task::yield_now().await;
        for level in [LOW, HIGH] {
            bench.drive(0, level);
            assert_eq!(handle.level(), Ok(level));
        }
        bench.drive(0, LOW);
        assert_eq!(waiting.await.unwrap().edge, EdgeKind::Falling);
    });
}

#[test]
fn a_line_that_is_active_low_is_turned_round() {
    on_each_bench(async |bench| {
        let options = InputOptions { active: Active::Low, ..input(bench.line(0), Edges::Both) };
        let mut button = open(bench, options);
        assert_eq!(button.handle().level(), Ok(HIGH));
        bench.drive(0, HIGH);
        assert_eq!(button.handle().level(), Ok(LOW));
        assert_eq!(next(&mut button).await.edge, EdgeKind::Falling);
        bench.drive(0, LOW);
        assert_eq!(next(&mut button).await.edge, EdgeKind::Rising);
    });
}

#[test]
fn a_bounce_is_one_edge_once_it_has_settled() {
    on_each_bench(async |bench| {
        let debounce = Some(Duration::from_secs(1));
        let options = InputOptions { debounce, ..input(bench.line(0), Edges::Both) };
        let mut button = open(bench, options);
        drive(bench, &[HIGH, LOW, HIGH, LOW, HIGH]);
        assert_eq!(button.handle().level(), Ok(LOW), "not settled yet");
        let edge = next(&mut button).await;
        assert_eq!((edge.edge, edge.sequence, edge.missed), (EdgeKind::Rising, 1, 0));
        assert_eq!(button.handle().level(), Ok(HIGH));
        assert!(quiet(&mut button, Duration::from_secs(2)).await);
    });
}

#[test]
fn a_bounce_that_comes_back_to_where_it_was_is_nothing() {
    on_each_bench(async |bench| {
        let debounce = Some(Duration::from_secs(1));
        let options = InputOptions { debounce, ..input(bench.line(0), Edges::Both) };
        let mut button = open(bench, options);
        drive(bench, &[HIGH, LOW, HIGH, LOW]);
        assert!(quiet(&mut button, Duration::from_secs(2)).await);
    });
}

/// A kernel's chip can be turned faster than its interrupt thread looks, and then has fewer edges
/// than were driven; what the kernel counted is what there was.
#[test]
fn delivered_and_missed_edges_are_all_there_were() {
    on_each_bench(async |bench| {
        let mut button = open(bench, input(bench.line(0), Edges::Both));
        bench.burst(0, 3000);
        let mut last = next(&mut button).await;
        assert_eq!(last.sequence, last.missed + 1);
        while let Ok(edge) = timeout(Duration::from_secs(5), button.next()).await {
            assert_eq!((edge.sequence, edge.missed), (last.sequence + 1, 0));
            last = edge;
        }
        let InputCounters { delivered, missed, .. } = button.handle().counters();
        assert_eq!(delivered, EDGES_WAITING_MAX as u64);
        assert_eq!(delivered + missed, last.sequence.into());
        match bench {
            Bench::Simulated(_) => assert_eq!(last.sequence, 3000),
            Bench::Kernel { .. } => assert!((2000..=3000).contains(&last.sequence), "{last:?}"),
        }
        bench.drive(0, HIGH);
        assert_eq!(next(&mut button).await.missed, 0);
    });
}

#[test]
fn a_line_in_use_is_waited_for_and_taken_when_it_is_free() {
    on_each_bench(async |bench| {
        let first = open(bench, input(bench.line(0), Edges::Both));
        let notices = Notices::default();
        let options = input(bench.line(0), Edges::Both);
        let mut second = Input::open(bench.chips(), options, notices.handler());
        let why = reason(second.handle().state());
        assert!(why.contains("in use by \"pirn\""), "{why}");
        assert!(second.handle().level().unwrap_err().to_string().contains(&why));
        assert!(quiet(&mut second, Duration::from_secs(4)).await);
        drop(first);
        assert!(quiet(&mut second, Duration::from_secs(8)).await);
        bench.drive(0, HIGH);
        assert_eq!(next(&mut second).await.edge, EdgeKind::Rising);
        let (line, reason) = (bench.line(0).name, why.into());
        let said = [Notice::Lost { line: line.clone(), reason }, Notice::Back { line }];
        assert_eq!(notices.take(), said);
    });
}

#[test]
fn a_line_or_chip_that_is_not_there_is_named_with_what_there_is() {
    on_each_bench(async |bench| {
        let no_line = Input::open(bench.chips(), input(bench.line(99), Edges::None), None);
        let why = reason(no_line.handle().state());
        assert!(why.contains("no line offset 99; it has 8 lines"), "{why}");
        let named = LineId { kernel_names: vec!["GPIO99".to_owned()], ..bench.line(99) };
        let no_name = Input::open(bench.chips(), input(named, Edges::None), None);
        let why = reason(no_name.handle().state());
        assert!(why.contains("no line \"GPIO99\" or offset 99"), "{why}");
        let faults = bench.chips().check(&["nonesuch", bench.label()]).unwrap_err();
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        let why = fault.to_string();
        assert!(why.starts_with("no GPIO chip with the label \"nonesuch\""), "{why}");
        assert!(why.contains(bench.label()), "{why}");
        assert_eq!(bench.chips().check(&[bench.label()]), Ok(()));
    });
}

#[test]
fn an_input_outlives_its_chip() {
    on_each_bench(async |bench| {
        let notices = Notices::default();
        let options = input(bench.line(0), Edges::Both);
        let mut button = Input::open(bench.chips(), options, notices.handler());
        bench.drive(0, HIGH);
        assert_eq!(next(&mut button).await.epoch, 1);
        bench.unplug();
        assert!(button.handle().level().is_err());
        assert!(quiet(&mut button, Duration::from_secs(3)).await);
        bench.plug();
        assert!(quiet(&mut button, Duration::from_secs(8)).await);
        bench.drive(0, LOW);
        let edge = next(&mut button).await;
        let (sequence, missed, epoch) = (edge.sequence, edge.missed, edge.epoch);
        assert_eq!((edge.edge, sequence, missed, epoch), (EdgeKind::Falling, 1, 0, 2));
        let said = notices.take();
        let [Notice::Lost { .. }, Notice::Back { .. }] = &said[..] else { panic!("{said:?}") };
    });
}

#[test]
fn outputs_are_seen_from_outside() {
    on_each_bench(async |bench| {
        let lamp = OutputOptions { initial: HIGH, ..output(bench.line(1)) };
        let low = OutputOptions { active: Active::Low, ..output(bench.line(2)) };
        let outputs = outputs(bench, vec![lamp, low]);
        assert_eq!((bench.wire(1), bench.wire(2)), (HIGH, HIGH));
        assert_eq!((outputs.level(0), outputs.level(1)), (Ok(HIGH), Ok(LOW)));
        outputs.set(0, LOW).unwrap();
        assert_eq!(outputs.toggle(1), Ok(HIGH));
        assert_eq!((bench.wire(1), bench.wire(2)), (LOW, LOW));
        assert_eq!((outputs.level(0), outputs.level(1)), (Ok(LOW), Ok(HIGH)));
    });
}

#[test]
fn stopping_makes_all_outputs_safe_and_keeps_them_so() {
    on_each_bench(async |bench| {
        let lock = OutputOptions { safe: HIGH, ..output(bench.line(1)) };
        let outputs = outputs(bench, vec![lock, output(bench.line(2))]);
        outputs.set(1, HIGH).unwrap();
        outputs.stop();
        assert_eq!((bench.wire(1), bench.wire(2)), (HIGH, LOW));
        let refused = outputs.set(1, HIGH).unwrap_err().to_string();
        assert_eq!(refused, "output LINE2 keeps its safe level: everything is being stopped");
    });
}

#[test]
fn outputs_that_nobody_owns_any_more_are_safe() {
    on_each_bench(async |bench| {
        let outputs = outputs(bench, vec![output(bench.line(1))]);
        outputs.set(0, HIGH).unwrap();
        assert_eq!(bench.wire(1), HIGH);
        drop(outputs);
        assert_eq!(bench.wire(1), LOW);
    });
}

#[test]
fn the_helper_after_a_crash_makes_safe_what_it_can_and_says_what_it_cannot() {
    on_each_bench(async |bench| {
        let taken = open(bench, input(bench.line(1), Edges::None));
        let lock = OutputOptions { safe: HIGH, ..output(bench.line(2)) };
        let lines = [output(bench.line(1)), lock];
        let errors = safe_state(&bench.chips(), &lines).unwrap_err();
        let [error] = &errors[..] else { panic!("{errors:?}") };
        assert!(error.to_string().contains("output LINE1 could not be set"), "{error}");
        assert_eq!(bench.wire(2), HIGH);
        drop(taken);
        assert_eq!(safe_state(&bench.chips(), &lines), Ok(()));
    });
}

#[test]
fn an_output_outlives_its_chip_and_comes_back_safe() {
    on_each_bench(async |bench| {
        let notices = Notices::default();
        let lamp = OutputOptions { initial: HIGH, ..output(bench.line(1)) };
        let outputs = Outputs::open(bench.chips(), vec![lamp], notices.handler()).unwrap();
        let running = tokio::spawn({
            let outputs = outputs.clone();
            async move { outputs.run().await }
        });
        assert_eq!(outputs.level(0), Ok(HIGH));
        bench.unplug();
        let error = outputs.set(0, LOW).unwrap_err().to_string();
        assert!(error.contains("LINE1 cannot be used"), "{error}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(outputs.level(0).is_err());
        bench.plug();
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!((outputs.level(0), bench.wire(1)), (Ok(LOW), LOW));
        outputs.set(0, HIGH).unwrap();
        assert_eq!(bench.wire(1), HIGH);
        let said = notices.take();
        let [Notice::Lost { .. }, Notice::Back { .. }] = &said[..] else { panic!("{said:?}") };
        running.abort();
    });
}

/// Without anybody reading a level or setting one: Linux 6.1 does not wake who waits for edges.
#[test]
fn idle_lines_notice_that_their_chip_went_away_and_came_back() {
    on_each_bench(async |bench| {
        let mut button = open(bench, input(bench.line(0), Edges::Both));
        let handle = button.handle();
        let outputs = outputs(bench, vec![output(bench.line(1))]);
        let running = tokio::spawn({
            let outputs = outputs.clone();
            async move { outputs.run().await }
        });
        let waiting = tokio::spawn(async move { button.next().await });
        tokio::task::yield_now().await;
        bench.unplug();
        tokio::time::sleep(Duration::from_secs(32)).await;
        let gone = [handle.state(), outputs.state(0).unwrap()].map(reason);
        assert!(gone.iter().all(|why| why.contains("no GPIO chip")), "{gone:?}");
        bench.plug();
        tokio::time::sleep(Duration::from_secs(31)).await;
        let back = [handle.state(), outputs.state(0).unwrap()];
        assert_eq!(back, [LineState::Ready, LineState::Ready]);
        bench.drive(0, HIGH);
        assert_eq!(waiting.await.unwrap().epoch, 2);
        running.abort();
    });
}
