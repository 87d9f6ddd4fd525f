//! Whatever a configuration file holds, the answer is a value or an error that points into the file.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use pirn_runner::files::board::Board;
use pirn_runner::files::manifest::{
    BrokerAddress, Error, HostPattern, Manifest, TopicFilter, check_topic,
};
use pirn_runner::files::runtime_config::RuntimeConfig;
use pirn_runner::files::variables::parse_dotenv;

const MANIFEST: &str = include_str!("manifest/ok-everything.toml");
const OPERATOR: &str = include_str!("runtime-config/full.toml");
const BOARD: &str = include_str!("board/ok-chips.toml");

/// Values of every type, and things that are no values, to stand where another was.
const REPLACEMENTS: &[&str] = &[
    "1",
    "-1",
    "0",
    "1.5",
    "nan",
    "true",
    "\"\"",
    "\"x\"",
    "\"{{\"",
    "\"{{ x }}\"",
    "'''\n'''",
    "[]",
    "[[]]",
    "{}",
    "[{}]",
    "{ x = 1 }",
    "1979-05-27",
    "99999999999999999999",
    "\"\\u0000\"",
    "\"..\"",
    "\"é\"",
    "",
    "=",
    "#",
];

/// All three readers; nobody said which file this is.
fn read_all(text: &str) -> Vec<Error> {
    let manifest = Manifest::parse("f", text, None).err();
    let operator = RuntimeConfig::parse("f", text).err();
    let board = Board::parse("f", "b", text).err();
    [manifest, operator, board].into_iter().flatten().collect()
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let lines = u32::try_from(text.bytes().filter(|b| *b == b'\n').count()).unwrap() + 1;
    for error in read_all(text) {
        prop_assert!(
            error.line.is_none_or(|line| (1..=lines).contains(&line)),
            "{} of {} lines",
            error,
            lines
        );
        prop_assert!(error.to_string().lines().count() <= 3, "{}", error);
    }
    Ok(())
}

/// The places of a file where a value stands: after each " = ".
fn value_places(text: &str) -> Vec<std::ops::Range<usize>> {
    let places = text.match_indices(" = ").map(|(at, _)| at + 3);
    places.map(|at| at..at + text[at..].find([',', '\n', '}']).unwrap_or(text.len() - at)).collect()
}

fn is_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn any_file() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(MANIFEST), Just(OPERATOR), Just(BOARD)]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        check(&text)?;
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn tokens_of_toml_in_any_order_are_read_or_refused(
        tokens in proptest::collection::vec(prop_oneof![
            Just("[["), Just("]]"), Just("["), Just("]"), Just("{"), Just("}"), Just("="), Just(","), Just("\n"),
            Just("."), Just("trigger"), Just("mqtt"), Just("component"), Just("\"x\""), Just("1"), Just("#"),
            Just("\"\"\""), Just("spin_manifest_version = 2\n"), Just("[application]\nname = \"x\"\n"), Just(" "),
        ], 0..40),
    ) {
        check(&tokens.concat())?;
    }

    #[test]
    fn a_file_with_a_piece_cut_out_is_read_or_refused(file in any_file(), at in 0_usize..5000, length in 0_usize..200) {
        let from = is_boundary(file, at);
        let to = is_boundary(file, from + length).max(from);
        check(&format!("{}{}", &file[..from], &file[to..]))?;
    }

    #[test]
    fn a_file_with_a_piece_put_in_is_read_or_refused(file in any_file(), at in 0_usize..5000, text in "\\PC{0,12}") {
        let at = is_boundary(file, at);
        check(&format!("{}{text}{}", &file[..at], &file[at..]))?;
    }

    #[test]
    fn a_file_with_values_of_other_types_is_read_or_refused(
        file in any_file(),
        place in any::<prop::sample::Index>(),
        replacement in prop::sample::select(REPLACEMENTS),
    ) {
        let places = value_places(file);
        let place = places[place.index(places.len())].clone();
        check(&format!("{}{replacement}{}", &file[..place.start], &file[place.end..]))?;
    }
}

/// Filters of a few levels, some of them valid.
fn filters() -> impl Strategy<Value = String> {
    let level = prop_oneof![
        Just("a"),
        Just("b"),
        Just("+"),
        Just("#"),
        Just(""),
        Just("$SYS"),
        Just("$share")
    ];
    proptest::collection::vec(level, 1..5).prop_map(|levels| levels.join("/"))
}

proptest! {
    #[test]
    fn any_text_is_an_address_a_host_a_topic_an_environment_or_refused(text in "[a-z0-9:/\\[\\]*.{}%?=@\"'#+$\n -]{0,30}") {
        let _ = (BrokerAddress::parse(&text), TopicFilter::parse(&text), parse_dotenv(&text));
        let _ = BrokerAddress::parse(&format!("mqtt://{text}"));
        if let Ok(pattern) = HostPattern::parse(&format!("http://{text}")) {
            prop_assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern));
        }
    }

    #[test]
    fn a_filter_that_covers_another_matches_all_that_it_matches(wide in filters(), narrow in filters(), topic in filters()) {
        let (Ok(wide), Ok(narrow)) = (TopicFilter::parse(&wide), TopicFilter::parse(&narrow)) else { return Ok(()) };
        if wide.covers(&narrow) && check_topic(&topic).is_ok() && narrow.matches(&topic) {
            prop_assert!(wide.matches(&topic), "{} {} {}", wide, narrow, topic);
        }
        prop_assert!(narrow.covers(&narrow));
    }
}

#[test]
fn every_value_of_every_file_may_have_any_type() {
    for file in [MANIFEST, OPERATOR, BOARD] {
        for place in value_places(file) {
            for replacement in REPLACEMENTS {
                let text = format!("{}{replacement}{}", &file[..place.start], &file[place.end..]);
                let checked = check(&text);
                assert!(checked.is_ok(), "{checked:?}\n{text}");
            }
        }
    }
}

#[test]
fn nesting_as_deep_as_the_file_is_refused_without_a_stack_overflow() {
    for (open, close) in [("[", "]"), ("{ a = ", " }")] {
        let text = format!("a = {}1{}", open.repeat(20_000), close.repeat(20_000));
        assert_eq!(read_all(&text).len(), 3);
    }
    assert_eq!(read_all(&format!("[{}b]", "a.".repeat(50_000))).len(), 3);
}

#[test]
fn a_file_of_megabytes_is_refused_before_it_is_parsed() {
    let errors = read_all(&"#".repeat(1024 * 1024 + 1));
    assert_eq!(errors.len(), 3);
    assert!(
        errors.iter().all(|error| error.message.contains("is larger than 1 MiB")),
        "{errors:?}"
    );
}

#[test]
fn what_editors_of_other_systems_add_is_forgiven() {
    assert!(Manifest::parse("f", &MANIFEST.replace('\n', "\r\n"), None).is_ok());
    assert!(Manifest::parse("f", &format!("\u{feff}{MANIFEST}"), None).is_ok());
}
