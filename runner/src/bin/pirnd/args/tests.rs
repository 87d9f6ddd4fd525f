//! Command lines as people type them, right and wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn parsed(line: &str) -> Result<Command, String> {
    let words = std::iter::once("pirnd").chain(line.split_whitespace());
    parse(words.map(OsString::from)).map_err(|error| error.to_string())
}

#[test]
fn the_path_may_stand_alone_or_behind_f() {
    for line in ["up app", "up -f app", "--from=app up"] {
        let Ok(Command::Up(up)) = parsed(line) else { panic!("{line}") };
        assert_eq!(up.common.files.manifest, PathBuf::from("app"), "{line}");
    }
}

#[test]
fn spin_s_flags_are_understood() {
    let line = "up -e A=1 --variable b=x=y --state-dir s -L l -q --profile p --board pi-3";
    let Ok(Command::Up(up)) = parsed(line) else { panic!() };
    assert_eq!(up.common.files.guest_environment, [("A".into(), "1".into())]);
    assert_eq!(up.common.files.variables, [("b".into(), "x=y".into())]);
    assert_eq!(up.common.detail, Detail::Quiet);
}

#[test]
fn dead_letters_are_meant_by_number_or_by_what_they_have_in_common() {
    for (line, id, older_than_s) in [
        ("dead-letters retry 7 app", Some(7), None),
        ("dead-letters drop --all app", None, None),
        ("dead-letters drop app --older-than 2h", None, Some(7200)),
        ("dead-letters show 7 app --format json", Some(7), None),
        ("dead-letters export app -o file", None, None),
    ] {
        let Ok(Command::DeadLetters(letters)) = parsed(line) else { panic!("{line}") };
        assert_eq!(letters.id, id, "{line}");
        assert_eq!(letters.older_than.map(|time| time.as_secs()), older_than_s, "{line}");
        assert_eq!(letters.common.files.manifest, PathBuf::from("app"), "{line}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (line, part) in [
        ("fly", "unknown command"),
        ("up a b", "unexpected word \"b\""),
        ("up --variable x", "NAME=VALUE"),
        ("up --socket s", "belongs to `pirnd status`"),
        ("verify --once", "belongs to `pirnd up`"),
        ("invoke", "name of a component"),
        ("invoke c --topic t", "--payload"),
        ("invoke c", "one event"),
        ("invoke c --tick --timestamp 1", "one event"),
        ("invoke c --line BUTTON", "--edge"),
        ("up --tick", "belongs to `pirnd invoke`"),
        ("up --bord x", "--bord"),
        ("up --log-format xml", "text or json"),
        ("up --all", "belongs to `pirnd dead-letters`"),
        ("status --older-than 2h", "belongs to `pirnd dead-letters`"),
        ("dead-letters", "list, show, retry, drop, export"),
        ("dead-letters burn", "list, show, retry, drop, export"),
        ("dead-letters show", "give its number"),
        ("dead-letters drop", "--all"),
        ("dead-letters retry x", "give its number"),
        ("dead-letters list --all", "belongs to `pirnd dead-letters retry`"),
        ("dead-letters list -o f", "belongs to `pirnd dead-letters export`"),
        ("dead-letters list --older-than 2", "with its unit"),
        ("dead-letters list --older-than 2d", "with its unit"),
        ("dead-letters list a b", "unexpected word \"b\""),
    ] {
        let Err(error) = parsed(line) else { panic!("{line} was accepted") };
        assert!(error.contains(part), "{line}: {error}");
    }
}
