//! Templates: literal text and `{{ name }}`, nothing else. No filters, no defaults, no escapes.

use std::fmt;

use super::id;
use crate::limits::TEMPLATE_BYTES_MAX;

/// Text with the names of variables in it, parsed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Name(Box<str>),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{` without `}}`.
    #[error(r#""{{{{" without "}}}}""#)]
    Unclosed,
    /// What stands between the braces is no name of a variable.
    #[error("{{{{ {0} }}}} names no variable; names are lower case, like my_variable")]
    Name(String),
    /// Longer than any template needs to be.
    #[error("a template of {0} bytes; at most {TEMPLATE_BYTES_MAX}")]
    Long(usize),
}

impl Template {
    /// Parses a template. Any text without `{{` is one.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::Long(text.len()));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, opened)) = rest.split_once("{{") {
            let (name, after) = opened.split_once("}}").ok_or(TemplateError::Unclosed)?;
            push_text(&mut parts, before);
            parts.push(Part::Name(checked_name(name)?));
            rest = after;
        }
        push_text(&mut parts, rest);
        Ok(Self { parts })
    }

    /// The template that is the variable `name` and nothing else.
    pub(crate) fn text(text: &str) -> Self {
        let mut parts = Vec::new();
        push_text(&mut parts, text);
        Self { parts }
    }

    /// The text, if no variable is named.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The variables that are named, in order, repeated as they are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.as_ref()),
            Part::Text(_) => None,
        })
    }

    /// Puts values in the place of names; the first name without a value ends it.
    pub fn expand<E>(&self, mut value: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Name(name) => text.push_str(&value(name)?),
            }
        }
        Ok(text)
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
}

fn checked_name(written: &str) -> Result<Box<str>, TemplateError> {
    let name = written.trim();
    match id::is_variable_name(name) {
        true => Ok(name.into()),
        false => Err(TemplateError::Name(name.chars().take(64).collect())),
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Name(name) => write!(f, "{{{{ {name} }}}}"),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_without_braces_is_a_literal() {
        for text in ["", "plain", "{ name }", "a } b", "}}", "{", "{ {"] {
            assert_eq!(Template::parse(text).unwrap().literal(), Some(text), "{text}");
        }
    }

    #[test]
    fn names_are_found_wherever_they_stand() {
        let template = Template::parse("{{a}}/x/{{ b_1 }}{{  a  }}").unwrap();
        assert_eq!(template.names().collect::<Vec<_>>(), ["a", "b_1", "a"]);
        assert_eq!(template.literal(), None);
        let expanded = template.expand(|name| Ok::<_, ()>(name.to_uppercase()));
        assert_eq!(expanded, Ok("A/x/B_1A".to_owned()));
    }

    #[test]
    fn a_missing_value_ends_the_expansion() {
        let template = Template::parse("{{ a }}{{ b }}").unwrap();
        let result = template
            .expand(|name| if name == "a" { Ok(String::new()) } else { Err(name.to_owned()) });
        assert_eq!(result, Err("b".to_owned()));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in ["{{", "a {{ b", "{{ a }", "{{ a }} {{"] {
            assert_eq!(Template::parse(text), Err(TemplateError::Unclosed), "{text}");
        }
        for text in [
            "{{}}",
            "{{ }}",
            "{{ A }}",
            "{{ a-b }}",
            "{{ a__b }}",
            "{{ 1a }}",
            "{{ a|b }}",
            "{{ a b }}",
            "{{{ a }}}",
            "{{ _a }}",
            "{{ ä }}",
        ] {
            assert!(matches!(Template::parse(text), Err(TemplateError::Name(_))), "{text}");
        }
    }

    #[test]
    fn a_template_as_long_as_a_book_is_refused() {
        let text = "x".repeat(TEMPLATE_BYTES_MAX + 1);
        assert_eq!(Template::parse(&text), Err(TemplateError::Long(text.len())));
        assert!(Template::parse(&text[1..]).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_without_a_panic(text in "\\PC*") {
            let _ = Template::parse(&text);
        }

        #[test]
        fn braces_and_names_in_any_order_never_panic(text in "(\\{|\\}|\\{\\{|\\}\\}|[a-z_0-9 ]|é){0,30}") {
            let _ = Template::parse(&text);
        }

        #[test]
        fn printing_and_parsing_again_gives_the_same_template(text in "([a-z /#+]{0,4}\\{\\{ ?[a-z][a-z0-9]{0,3} ?\\}\\}){0,6}[^{]{0,5}") {
            let template = Template::parse(&text).unwrap();
            prop_assert_eq!(Template::parse(&template.to_string()).unwrap(), template);
        }

        #[test]
        fn a_literal_prints_as_it_was_written(text in "[^{]*") {
            prop_assert_eq!(Template::parse(&text).unwrap().to_string(), text);
        }
    }
}
