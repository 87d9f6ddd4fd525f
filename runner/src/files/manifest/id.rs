//! Ids: words of one case that start with a letter, joined by `-` (components) or `_` (variables).

use crate::files::config::{Error, Value};

/// `kebab-case` or `KEBAB-CASE`, or a mixture of such words: ids of components.
pub(crate) fn is_kebab(id: &str) -> bool {
    is_words(id, '-')
}

/// `snake_case` in lower case: names of variables.
pub(crate) fn is_lower_snake(id: &str) -> bool {
    is_words(id, '_') && !id.bytes().any(|b| b.is_ascii_uppercase())
}

/// What may stand in a template or be asked for by a guest: a little wider than what can be declared
/// (`a_1` is fine here, though `1` is no word), so that such a name is "undefined", not "invalid".
pub(crate) fn is_variable_name(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    starts && name.bytes().all(allowed) && !name.contains("__")
}

fn is_words(id: &str, separator: char) -> bool {
    id.split(separator).all(is_word)
}

fn is_word(word: &str) -> bool {
    let starts = word.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric());
    let lower = word.bytes().any(|b| b.is_ascii_lowercase());
    let upper = word.bytes().any(|b| b.is_ascii_uppercase());
    starts && plain && lower != upper
}

/// The key of `entry` as a component's id.
pub(crate) fn component_id(entry: &Value<'_>, id: &str) -> Result<String, Error> {
    match is_kebab(id) {
        true => Ok(id.to_owned()),
        false => Err(entry.error(format!("{id:?} is no component id")).with_help(
            "ids are ASCII words of one case that start with a letter, joined by '-': my-component",
        )),
    }
}

/// The key of `entry` as a variable's name.
pub(crate) fn variable_name(entry: &Value<'_>) -> Result<String, Error> {
    match is_lower_snake(&entry.key) {
        true => Ok(entry.key.clone()),
        false => Err(entry.error("this is no variable name").with_help(
            "names are lower-case ASCII words that start with a letter, joined by '_': my_variable",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn component_ids_are_words_of_one_case_joined_by_dashes() {
        for id in ["a", "echo", "my-component", "HTTP-front", "a1-b2", "X"] {
            assert!(is_kebab(id), "{id}");
        }
        for id in ["", "-", "a-", "-a", "a--b", "1a", "a-1", "a_b", "aB", "Echo", "é", "a b", "a.b"]
        {
            assert!(!is_kebab(id), "{id}");
        }
    }

    #[test]
    fn variable_names_are_lower_case_words_joined_by_underscores() {
        for name in ["a", "set_point", "a1_b2"] {
            assert!(is_lower_snake(name), "{name}");
        }
        for name in ["", "_a", "a_", "a__b", "A", "SET_point", "a-b", "1a", "a_1"] {
            assert!(!is_lower_snake(name), "{name}");
        }
    }

    #[test]
    fn names_in_templates_are_a_little_wider() {
        for name in ["a", "a_1", "a_", "a1"] {
            assert!(is_variable_name(name), "{name}");
        }
        for name in ["", "_a", "1a", "a__b", "A", "a-b", "a b"] {
            assert!(!is_variable_name(name), "{name}");
        }
    }
}
