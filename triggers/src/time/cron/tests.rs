//! Cron against a clock that is read second by second, against the parser behind Spin's trigger, and
//! against the days on which clocks are put forward and back.

use super::*;
use chrono::{DateTime, Datelike, TimeZone, Timelike, Utc};

/// 2026-01-01T00:00:00Z, a Thursday.
const NEW_YEAR: u64 = 1_767_225_600;

fn utc(text: &str) -> u64 {
    u64::try_from(DateTime::parse_from_rfc3339(text).unwrap().timestamp()).unwrap()
}

fn text(unix: u64) -> String {
    let time = Utc.timestamp_opt(i64::try_from(unix).unwrap(), 0).unwrap();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn cron(expression: &str) -> Cron {
    cron_in(expression, "UTC")
}

fn cron_in(expression: &str, zone: &str) -> Cron {
    let zone = Zone::named(zone).expect("this test needs the system's time zones (Debian: tzdata)");
    Cron::parse(expression, &zone, 0).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

fn runs(cron: &Cron, after: u64, count: usize) -> Vec<u64> {
    std::iter::successors(cron.next(after), |&last| cron.next(last)).take(count).collect()
}

#[track_caller]
fn check(cron: &Cron, after: &str, expected: &[&str]) {
    let runs = runs(cron, utc(after), expected.len());
    let expected: Vec<_> = expected.iter().map(|time| text(utc(time))).collect();
    assert_eq!(runs.into_iter().map(text).collect::<Vec<_>>(), expected);
}

#[test]
fn expressions_as_the_known_documentation_writes_them_run_when_it_says() {
    let after = "2026-01-01T00:00:00Z";
    check(&cron("0 0 */2 * * *"), after, &["2026-01-01T02:00:00Z", "2026-01-01T04:00:00Z"]);
    check(&cron("1/2 * * * * *"), after, &["2026-01-01T00:00:01Z", "2026-01-01T00:00:03Z"]);
    check(
        &cron("0 1/2 11,12 5-10 * * *"),
        "2026-01-05T11:57:00Z",
        &["2026-01-05T11:59:00Z", "2026-01-05T12:01:00Z"],
    );
}

#[test]
fn every_part_of_the_notation_means_what_the_documentation_says() {
    let after = "2026-01-01T00:00:00Z";
    for (expression, expected) in [
        ("0 0 0 * * MON", ["2026-01-05", "2026-01-12", "2026-01-19"]),
        ("0 0 0 ? feb-MAR 7", ["2026-02-01", "2026-02-08", "2026-02-15"]),
        ("0 0 0 * * 0", ["2026-01-04", "2026-01-11", "2026-01-18"]),
        ("0 0 0 * * sat-sun", ["2026-01-03", "2026-01-04", "2026-01-10"]),
        ("0 0 0 * * SUN-MON", ["2026-01-04", "2026-01-05", "2026-01-11"]),
        ("0 0 0 L * *", ["2026-01-31", "2026-02-28", "2026-03-31"]),
        ("0 0 0 1,L * *", ["2026-01-31", "2026-02-01", "2026-02-28"]),
        ("0 0 0 * * 5#2", ["2026-01-09", "2026-02-13", "2026-03-13"]),
        ("0 0 0 * * friL", ["2026-01-30", "2026-02-27", "2026-03-27"]),
        ("0 0 0 * * MON#1,MON#L", ["2026-01-05", "2026-01-26", "2026-02-02"]),
        ("0 0 0 13 * FRI", ["2026-02-13", "2026-03-13", "2026-11-13"]),
        ("0 0 0 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29"]),
        ("0 0 0 1 1 * 2028/2", ["2028-01-01", "2030-01-01", "2032-01-01"]),
        ("0 0 0 1 1 * 2030-2031,2099", ["2030-01-01", "2031-01-01", "2099-01-01"]),
        ("@weekly", ["2026-01-04", "2026-01-11", "2026-01-18"]),
        (" @Daily ", ["2026-01-02", "2026-01-03", "2026-01-04"]),
    ] {
        let expected = expected.map(|day| format!("{day}T00:00:00Z"));
        check(&cron(expression), after, &expected.each_ref().map(String::as_str));
    }
}

#[test]
fn a_rare_day_is_found_and_nothing_comes_after_the_last_year() {
    check(&cron("0 0 0 29 2 7"), "2032-03-01T00:00:00Z", &["2060-02-29T00:00:00Z"]);
    let last = cron("59 59 23 31 12 *");
    check(&last, "2099-01-01T00:00:00Z", &["2099-12-31T23:59:59Z"]);
    assert_eq!(last.next(utc("2099-12-31T23:59:59Z")), None);
    assert_eq!(last.next(u64::MAX), None);
}

#[test]
fn an_error_names_the_field_and_what_is_allowed_there() {
    let all = "second minute hour day month weekday";
    for (expression, expected) in [
        ("60 * * * * *", "second \"60\": allowed is 0 to 59, such as 0, 0/15, 10-20 or *"),
        ("* 5-1 * * * *", "minute \"5-1\": allowed is 0 to 59, such as 0, */5, 10-20 or *"),
        ("* * 1,24 * * *", "hour \"24\": allowed is 0 to 23, such as 6, 8-18/2, 7,19 or *"),
        ("* * */0 * * *", "hour \"*/0\": allowed is 0 to 23, such as 6, 8-18/2, 7,19 or *"),
        ("* * 1,,2 * * *", "hour \"\": allowed is 0 to 23, such as 6, 8-18/2, 7,19 or *"),
        ("* * +1 * * *", "hour \"+1\": allowed is 0 to 23, such as 6, 8-18/2, 7,19 or *"),
        (
            "* * * 15W * *",
            "day of month \"15W\": allowed is 1 to 31, such as 1, 1-7, L for the last day, or *",
        ),
        (
            "* * * * MAI *",
            "month \"MAI\": allowed is 1 to 12 or JAN to DEC, such as 6, MAR-OCT or *",
        ),
        (
            "* * * * * 5#6",
            "day of week \"5#6\": allowed is 0 to 7 (0 and 7 are Sunday) or SUN to SAT, such as \
             MON-FRI, 5#2 for the second Friday, 5#L for the last one, or *",
        ),
        ("* * * * * * 99", "year \"99\": allowed is 1970 to 2099, such as 2030, 2026-2030 or *"),
        (
            "*/5 * * * *",
            "5 fields, and there must be 6 (second, minute, hour, day of month, month, day of \
             week) or 7 (then the year); a line from a crontab needs \"0 \" in front, for the second",
        ),
        (
            "@reboot",
            "\"@reboot\": allowed is @hourly, @daily, @weekly, @monthly, @yearly, or 6 or 7 fields",
        ),
        (all, "second \"second\": allowed is 0 to 59, such as 0, 0/15, 10-20 or *"),
        (
            "0 0 0 30 2 *",
            "never fires after 2026-01-01: no day has all of the day of month, month, day of week \
             and year that it names",
        ),
        (
            "0 0 0 1 1 * 2026",
            "never fires after 2026-01-01: no day has all of the day of month, month, day of week \
             and year that it names",
        ),
    ] {
        let error = Cron::parse(expression, &Zone::utc(), NEW_YEAR).expect_err(expression);
        assert_eq!(error.to_string(), expected, "{expression}");
    }
    let long = format!("{} * * * * *", "1,".repeat(500));
    let error = Cron::parse(&long, &Zone::utc(), NEW_YEAR).unwrap_err();
    assert_eq!(error.to_string(), "1010 bytes long, and at most 512 are allowed");
}

/// Numbers that are the same in every run: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// A field as text, and the values that it means.
    fn field(&mut self, min: u64, max: u64) -> (String, Vec<u64>) {
        let value = |random: &mut Self| min + random.below(max - min + 1);
        let (a, b, step) = (value(self), value(self), 1 + self.below(max / 2 + 1));
        let (low, high) = (a.min(b), a.max(b));
        let stepped = |first: u64, last: u64| (first..=last).step_by(step as usize).collect();
        match self.below(8) {
            0..=2 => ("*".to_owned(), (min..=max).collect()),
            3 => (a.to_string(), vec![a]),
            4 => (format!("{low}-{high}"), (low..=high).collect()),
            5 => (format!("*/{step}"), stepped(min, max)),
            6 => (format!("{low}-{high}/{step}"), stepped(low, high)),
            _ => (format!("{a}/{step},{b}"), [stepped(a, max), vec![b]].concat()),
        }
    }
}

#[test]
fn every_second_of_some_days_is_named_or_not_as_the_fields_say() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..150 {
        let ranges = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
        let mut fields = ranges.map(|(min, max)| random.field(min, max));
        let expression = fields.each_ref().map(|(text, _)| text.as_str()).join(" ");
        fields[5].1.iter_mut().for_each(|weekday| *weekday %= 7);
        let first = utc("2027-12-30T00:00:00Z") + random.below(3) * 29 * 86_400;
        let mut expected = Vec::new();
        for day in (0..4).map(|n| first + n * 86_400) {
            let date = Utc.timestamp_opt(day as i64, 0).unwrap();
            let of_week = u64::from(date.weekday().num_days_from_sunday());
            let day_parts = [u64::from(date.day()), u64::from(date.month()), of_week];
            if (3..6).all(|at| fields[at].1.contains(&day_parts[at - 3])) {
                let named = |second: &u64| {
                    let parts = [second % 60, second / 60 % 60, second / 3_600];
                    (0..3).all(|at| fields[at].1.contains(&parts[at]))
                };
                expected.extend((0..86_400).filter(named).map(|second| day + second));
            }
        }
        let end = first + 4 * 86_400;
        let Ok(cron) = Cron::parse(&expression, &Zone::utc(), 0) else {
            assert!(expected.is_empty(), "{expression}");
            continue;
        };
        let found: Vec<_> = std::iter::successors(cron.next(first - 1), |&last| cron.next(last))
            .take_while(|&time| time < end)
            .collect();
        assert!(found == expected, "{expression}: {} and {}", found.len(), expected.len());
    }
}

#[test]
fn the_parser_that_apps_were_written_for_agrees_about_what_comes_next() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut compared, mut never) = (0, 0);
    for _ in 0..400 {
        let ranges = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
        let mut fields = ranges.map(|(min, max)| random.field(min, max).0);
        match random.below(12) {
            0 => fields[3] = "L".to_owned(),
            1 => fields[5] = "MON-FRI#2".to_owned(),
            2 => fields[5] = "thuL,sun".to_owned(),
            3 => fields[4] = "Feb,oct-DEC".to_owned(),
            4 => fields[3] = "?".to_owned(),
            _ => {}
        }
        let expression = fields.join(" ");
        let theirs =
            croner::Cron::new(&expression).with_seconds_required().with_dom_and_dow().parse();
        let theirs = theirs.unwrap_or_else(|error| panic!("{expression}: {error}"));
        let mut at = NEW_YEAR + random.below(2 * 366 * 86_400);
        let Ok(ours) = Cron::parse(&expression, &Zone::utc(), 0) else {
            never += 1;
            assert!(!expression.contains('L') && fields[3] != "*", "{expression}");
            continue;
        };
        for _ in 0..8 {
            let from = Utc.timestamp_opt(at as i64, 0).unwrap();
            let next = theirs.find_next_occurrence(&from, false).unwrap();
            assert_eq!(next.nanosecond(), 0);
            assert_eq!(
                ours.next(at).map(text),
                Some(text(next.timestamp() as u64)),
                "{expression}"
            );
            (at, compared) = (next.timestamp() as u64, compared + 1);
        }
    }
    assert!(compared > 2_000 && never < 40, "{compared} compared, {never} never fire");
}

#[test]
fn a_time_that_does_not_exist_runs_once_at_the_jump() {
    // Berlin, 2026-03-29: 02:00 becomes 03:00, at 01:00 UTC.
    let jump = "2026-03-29T01:00:00Z";
    for expression in ["0 30 2 * * *", "0 */10 2 * * *", "0 0,59 2 * * *"] {
        let cron = cron_in(expression, "Europe/Berlin");
        let runs = runs(&cron, utc("2026-03-29T00:59:59Z"), 2);
        assert_eq!(text(runs[0]), jump, "{expression}");
        assert!(runs[1] >= utc("2026-03-30T00:00:00Z"), "{expression}: {}", text(runs[1]));
    }
    let times = ["2026-03-28T00:30:00Z", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"];
    check(
        &cron_in("0 30 1,2 * * *", "Europe/Berlin"),
        "2026-03-28T00:00:00Z",
        &[
            times[0],
            "2026-03-28T01:30:00Z",
            times[1],
            times[2],
            "2026-03-29T23:30:00Z",
            "2026-03-30T00:30:00Z",
        ],
    );
    // Together with a named time at the end of the gap: one instant, one run.
    check(
        &cron_in("0 0 2,3 * * *", "Europe/Berlin"),
        "2026-03-29T00:00:00Z",
        &[jump, "2026-03-30T00:00:00Z"],
    );
}

#[test]
fn a_time_that_comes_twice_runs_once_when_it_comes_first() {
    // Berlin, 2026-10-25: 03:00 becomes 02:00, at 01:00 UTC.
    check(
        &cron_in("0 30 2 * * *", "Europe/Berlin"),
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    );
    check(
        &cron_in("0 0,30 2,3 * * *", "Europe/Berlin"),
        "2026-10-25T00:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z", "2026-10-25T02:30:00Z"],
    );
    // Asked in the second of the two hours, as after a start.
    check(
        &cron_in("0 30 2 * * *", "Europe/Berlin"),
        "2026-10-25T01:10:00Z",
        &["2026-10-26T01:30:00Z"],
    );
    // New York, 2026-11-01, 06:00 UTC, and half an hour on Lord Howe.
    check(
        &cron_in("0 30 1 * * *", "America/New_York"),
        "2026-10-31T12:00:00Z",
        &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
    );
    check(
        &cron_in("0 45 1 * * *", "Australia/Lord_Howe"),
        "2026-04-04T00:00:00Z",
        &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
    );
}

#[test]
fn an_expression_for_every_hour_runs_on_evenly_through_both() {
    for start in ["2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z"] {
        for (expression, seconds) in [("0 */5 * * * *", 300), ("0 0 * * * *", 3_600)] {
            let runs = runs(&cron_in(expression, "Europe/Berlin"), utc(start), 30);
            let expected = (1..=30).map(|n| utc(start) + n * seconds);
            assert_eq!(runs, expected.collect::<Vec<_>>(), "{expression}");
        }
    }
}

#[test]
fn a_zone_without_summer_time_and_a_rare_date_are_found_far_ahead() {
    check(
        &cron_in("0 0 9 * * MON", "Asia/Kolkata"),
        "2026-01-01T00:00:00Z",
        &["2026-01-05T03:30:00Z"],
    );
    check(
        &cron_in("0 0 12 29 2 *", "Europe/Berlin"),
        "2026-03-01T00:00:00Z",
        &["2028-02-29T11:00:00Z"],
    );
    check(
        &cron_in("0 0 12 1 7 * 2099", "America/New_York"),
        "2026-03-01T00:00:00Z",
        &["2099-07-01T16:00:00Z"],
    );
}

#[test]
fn a_whole_year_in_a_zone_names_each_existing_local_time_once() {
    let cron = cron_in("0 30 * * * *", "Europe/Berlin");
    let (start, end) = (utc("2026-01-01T00:00:00Z"), utc("2027-01-01T00:00:00Z"));
    let runs = |cron: &Cron| {
        let runs = std::iter::successors(cron.next(start), |&last| cron.next(last));
        runs.take_while(|&time| time < end).collect::<Vec<_>>()
    };
    assert_eq!(runs(&cron).len(), 365 * 24);
    // Hours by name: 24 local hours each day, the missing one at the jump, the double one once. The
    // jump is at 03:00, which is no half hour.
    let named = cron_in("0 30 0-22,23 * * *", "Europe/Berlin");
    assert_eq!(named.hours, EVERY_HOUR, "all hours by name are every hour");
    let named = cron_in("0 30 0-22 * * *", "Europe/Berlin");
    assert_eq!(runs(&named).len(), 365 * 23);
}

#[test]
fn an_expression_is_small() {
    assert!(std::mem::size_of::<Cron>() <= 80, "{}", std::mem::size_of::<Cron>());
}

#[test]
fn no_text_makes_the_parser_fall_over() {
    let letters = b"0123456789*/,-?#LWlMONsunjan@ \t.";
    let mut random = Random(88_172_645_463_325_252);
    for _ in 0..20_000 {
        let length = random.below(40);
        let text: String = (0..length)
            .map(|_| letters[random.below(letters.len() as u64) as usize] as char)
            .collect();
        if let Ok(cron) = Cron::parse(&text, &Zone::utc(), NEW_YEAR) {
            assert!(cron.next(NEW_YEAR).is_some(), "{text}");
        }
    }
}
