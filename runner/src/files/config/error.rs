//! What is wrong in a configuration file, where, and what to write instead.

use std::fmt;

/// One mistake in a configuration file. Always somebody's typing, never a bug of ours: exit status 2.
///
/// Prints as `spin.toml:14: [component.echo] memroy: unknown key; did you mean "memory"?`, on one line or,
/// with help, on two.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The file as the user named it, or what stands in for one (`--variable`).
    pub file: Box<str>,
    /// The line, counted from 1; `None` when the mistake is the file itself (missing, unreadable).
    pub line: Option<u32>,
    /// The column, counted from 1, where the text is not even TOML.
    pub column: Option<u32>,
    /// The table, without brackets (`component.echo`); empty at the top of the file.
    pub table: Box<str>,
    /// The key in that table; empty when the table itself is meant.
    pub key: Box<str>,
    /// What is wrong, as a clause in lower case.
    pub message: Box<str>,
    /// What is allowed or what to do; empty when the message says it.
    pub help: Box<str>,
}

impl Error {
    /// An error about a whole file.
    pub fn about_file(file: impl Into<Box<str>>, message: impl Into<Box<str>>) -> Self {
        Self {
            file: file.into(),
            line: None,
            column: None,
            table: "".into(),
            key: "".into(),
            message: message.into(),
            help: "".into(),
        }
    }

    /// An error at a place in a file.
    pub(crate) fn at(
        file: &str,
        line: u32,
        table: &str,
        key: &str,
        message: impl Into<Box<str>>,
    ) -> Self {
        Self {
            line: Some(line),
            table: table.into(),
            key: key.into(),
            ..Self::about_file(file, message)
        }
    }

    /// The same error with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<Box<str>>) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        plain(f, &self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        f.write_str(": ")?;
        if !self.table.is_empty() {
            f.write_str("[")?;
            plain(f, &self.table)?;
            f.write_str("] ")?;
        }
        if !self.key.is_empty() {
            plain(f, &self.key)?;
            f.write_str(": ")?;
        }
        plain(f, &self.message)?;
        if !self.help.is_empty() {
            f.write_str("\n  ")?;
            plain(f, &self.help)?;
        }
        Ok(())
    }
}

/// Names come from files that anybody wrote: what would steer a terminal or break a log line is escaped.
fn plain(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write as _;
    text.chars().try_for_each(|c| match c.is_control() {
        true => write!(f, "{}", c.escape_default()),
        false => f.write_char(c),
    })
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn an_error_prints_where_and_what_and_then_what_to_do() {
        let error = Error::at("spin.toml", 14, "component.echo", "memroy", "unknown key")
            .with_help("allowed: memory");
        assert_eq!(
            error.to_string(),
            "spin.toml:14: [component.echo] memroy: unknown key\n  allowed: memory"
        );
        assert_eq!(
            Error::about_file("spin.toml", "is missing").to_string(),
            "spin.toml: is missing"
        );
    }

    #[test]
    fn an_error_cannot_steer_a_terminal() {
        let error = Error::at("a\u{1b}.toml", 1, "t\n", "k\r", "m\u{7}").with_help("h\u{9b}");
        let text = error.to_string();
        assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
        assert_eq!(text.lines().count(), 2, "{text:?}");
    }
}
