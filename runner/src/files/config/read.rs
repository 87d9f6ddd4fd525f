//! Walks a TOML document and remembers where each thing stands.
//!
//! [`Document`] is the file, [`Table`] one table of it whose keys were compared with the known ones,
//! [`Value`] one value. Nothing here panics or recurses: whatever the file holds, the answer is a value
//! or an [`Error`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Bytes, Error, Rate, nearest, parse_bytes, parse_duration, parse_rate};
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// A parsed file.
pub(crate) struct Document<'a> {
    file: &'a str,
    /// Where each line begins, so that no error or warning has to count them again: a file may have
    /// thousands of tables.
    line_starts: Vec<usize>,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Document<'a> {
    /// Parses `text`; `file` is the name that errors use.
    pub(crate) fn parse(file: &'a str, text: &'a str) -> Result<Self, Error> {
        if text.len() > CONFIG_FILE_BYTES_MAX {
            return Err(too_large(file));
        }
        let root = DeTable::parse(text).map_err(|error| syntax_error(file, text, &error))?;
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = newlines.map(|(at, _)| at + 1).collect();
        Ok(Self { file, line_starts, root })
    }

    fn line_at(&self, offset: usize) -> u32 {
        let before = self.line_starts.partition_point(|start| *start <= offset);
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The top of the file.
    pub(crate) fn root(&'a self) -> Table<'a> {
        Table { document: self, table: self.root.get_ref(), offset: 0, path: String::new() }
    }
}

/// TOML's own complaint, in our shape. Its message names tokens, so the column is worth printing.
fn syntax_error(file: &str, text: &str, error: &toml::de::Error) -> Error {
    let offset = error.span().map_or(0, |span| span.start);
    let line_start =
        text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let column = text.get(line_start..offset).map_or(0, |before| before.chars().count()) + 1;
    let message = format!("not valid TOML: {}", error.message().replace('\n', ", "));
    Error {
        line: Some(line_at(text, offset)),
        column: u32::try_from(column).ok(),
        ..Error::about_file(file, message)
    }
}

fn line_at(text: &str, offset: usize) -> u32 {
    line_of_byte(text.as_bytes(), offset)
}

fn line_of_byte(text: &[u8], offset: usize) -> u32 {
    let newlines = text.iter().take(offset).filter(|byte| **byte == b'\n').count();
    u32::try_from(newlines).unwrap_or(u32::MAX).saturating_add(1)
}

/// One table. Ask for keys with the typed getters; an absent key is `None`, a wrong type an error.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    document: &'a Document<'a>,
    table: &'a DeTable<'a>,
    /// Where errors about the table as a whole point to.
    offset: usize,
    path: String,
}

impl<'a> Table<'a> {
    /// Refuses any key that is not among `known`, with the nearest of them.
    pub(crate) fn only(self, known: &[&str]) -> Result<Self, Error> {
        let mut unknown: Vec<_> =
            self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())).collect();
        unknown.sort_by_key(|key| key.span().start);
        match unknown.first() {
            None => Ok(self),
            Some(key) => Err(self.unknown_key(key.get_ref(), known)),
        }
    }

    fn unknown_key(&self, key: &str, known: &[&str]) -> Error {
        let message = match nearest(key, known) {
            Some(name) => format!(r#"unknown key; did you mean "{name}"?"#),
            None => "unknown key".to_owned(),
        };
        let help = match known {
            [] => "no key is allowed here".to_owned(),
            _ => format!("allowed: {}", known.join(", ")),
        };
        self.error(key, message).with_help(help)
    }

    /// The line on which the table is first mentioned.
    pub(crate) fn line(&self) -> u32 {
        self.document.line_at(self.offset)
    }

    /// The name that the file goes by in errors.
    pub(crate) fn file(&self) -> &'a str {
        self.document.file
    }

    /// An error about `key`, at its line; about a key that is missing, at the table's line.
    pub(crate) fn error(&self, key: &str, message: impl Into<Box<str>>) -> Error {
        let offset = self.table.get_key_value(key).map_or(self.offset, |(key, _)| key.span().start);
        self.error_at(offset, key, message)
    }

    fn error_at(&self, offset: usize, key: &str, message: impl Into<Box<str>>) -> Error {
        Error {
            line: Some(self.document.line_at(offset)),
            table: self.path.as_str().into(),
            key: key.into(),
            ..Error::about_file(self.document.file, message)
        }
    }

    /// Every entry in the order of the file.
    pub(crate) fn entries(&self) -> Vec<Value<'a>> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| Value {
                document: self.document,
                value: value.get_ref(),
                offset: key.span().start,
                table: self.path.clone(),
                key: key.get_ref().to_string(),
            })
            .collect();
        entries.sort_by_key(|entry| entry.offset);
        entries
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &str) -> Option<Value<'a>> {
        let (key, value) = self.table.get_key_value(key)?;
        Some(Value {
            document: self.document,
            value: value.get_ref(),
            offset: key.span().start,
            table: self.path.clone(),
            key: key.get_ref().to_string(),
        })
    }

    pub(crate) fn require(&self, key: &str, what: &str) -> Result<Value<'a>, Error> {
        self.get(key).ok_or_else(|| self.error(key, format!("missing: {what}")))
    }

    fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value<'a>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.get(key).map(|value| read(&value)).transpose()
    }

    pub(crate) fn string(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.read(key, Value::string)
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.read(key, Value::flag)
    }

    pub(crate) fn strings(&self, key: &str) -> Result<Vec<String>, Error> {
        Ok(self.read(key, Value::strings)?.unwrap_or_default())
    }

    pub(crate) fn string_map(&self, key: &str) -> Result<BTreeMap<String, String>, Error> {
        self.map(key, |entry| Ok((entry.key.clone(), entry.string()?.to_owned())))
    }

    /// What the entries of a table mean; nothing if it is not there.
    pub(crate) fn map<V>(
        &self,
        key: &str,
        of: impl Fn(&Value<'_>) -> Result<(String, V), Error>,
    ) -> Result<BTreeMap<String, V>, Error> {
        // One by one: to collect them would sort them first, by code of its own for each type.
        let mut all = BTreeMap::new();
        for entry in self.table(key)?.iter().flat_map(Table::entries) {
            let (name, value) = of(&entry)?;
            all.insert(name, value);
        }
        Ok(all)
    }

    pub(crate) fn table(&self, key: &str) -> Result<Option<Table<'a>>, Error> {
        self.read(key, Value::table)
    }

    pub(crate) fn bytes(&self, key: &str) -> Result<Option<u64>, Error> {
        self.read(key, |value| value.quantity(parse_bytes))
    }

    pub(crate) fn duration(&self, key: &str) -> Result<Option<Duration>, Error> {
        self.read(key, |value| value.quantity(parse_duration))
    }

    pub(crate) fn rate(&self, key: &str) -> Result<Option<Rate>, Error> {
        self.read(key, |value| value.quantity(parse_rate))
    }

    /// A whole number between `least` and `most`.
    pub(crate) fn number(&self, key: &str, least: u32, most: u32) -> Result<Option<u32>, Error> {
        self.read(key, |value| value.number(least, most))
    }
}

/// One value and where it stands.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    document: &'a Document<'a>,
    value: &'a DeValue<'a>,
    offset: usize,
    table: String,
    /// The key as errors name it: `files`, or `files[1]` for an element.
    pub(crate) key: String,
}

impl<'a> Value<'a> {
    pub(crate) fn error(&self, message: impl Into<Box<str>>) -> Error {
        Error {
            line: Some(self.document.line_at(self.offset)),
            table: self.table.as_str().into(),
            key: self.key.as_str().into(),
            ..Error::about_file(self.document.file, message)
        }
    }

    pub(crate) fn line(&self) -> u32 {
        self.document.line_at(self.offset)
    }

    /// "found an integer", for every complaint about a type.
    pub(crate) fn expected(&self, what: &str) -> Error {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("expected {what}, found {found}"))
    }

    pub(crate) fn string(&self) -> Result<&'a str, Error> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    pub(crate) fn is_string(&self) -> bool {
        self.value.is_str()
    }

    pub(crate) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(crate) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub(crate) fn flag(&self) -> Result<bool, Error> {
        self.value.as_bool().ok_or_else(|| self.expected("true or false"))
    }

    /// An integer that fits, or `None` when it is something else.
    pub(crate) fn integer(&self) -> Option<i64> {
        let written = self.value.as_integer()?;
        i64::from_str_radix(written.as_str(), written.radix()).ok()
    }

    pub(crate) fn number(&self, least: u32, most: u32) -> Result<u32, Error> {
        if !self.value.is_integer() {
            return Err(self.expected("a whole number"));
        }
        let number = self
            .integer()
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| (least..=most).contains(n));
        number.ok_or_else(|| self.error(format!("must be a whole number from {least} to {most}")))
    }

    pub(crate) fn quantity<T>(
        &self,
        parse: fn(&str) -> Result<T, &'static str>,
    ) -> Result<T, Error> {
        let text = self.string()?;
        parse(text).map_err(|help| self.error(format!("cannot read {text:?}")).with_help(help))
    }

    pub(crate) fn table(&self) -> Result<Table<'a>, Error> {
        let table = self.value.as_table().ok_or_else(|| self.expected("a table"))?;
        let parent = self.table.trim_start_matches('[').trim_end_matches(']');
        let (key, is_element) = match self.key.split_once('[') {
            Some((list, _)) => (list, true),
            None => (self.key.as_str(), false),
        };
        let dotted = match parent {
            "" => key.to_owned(),
            _ => format!("{parent}.{key}"),
        };
        // Its line tells which element is meant, so the path is the one that stands in the file.
        let path = if is_element { format!("[{dotted}]") } else { dotted };
        Ok(Table { document: self.document, table, offset: self.offset, path })
    }

    /// The elements of a list.
    pub(crate) fn list(&self) -> Result<Vec<Value<'a>>, Error> {
        let list = self.value.as_array().ok_or_else(|| self.expected("a list"))?;
        let element = |(index, value): (usize, &'a Spanned<DeValue<'a>>)| Value {
            document: self.document,
            value: value.get_ref(),
            offset: value.span().start,
            table: self.table.clone(),
            key: format!("{}[{index}]", self.key),
        };
        Ok(list.iter().enumerate().map(element).collect())
    }

    pub(crate) fn strings(&self) -> Result<Vec<String>, Error> {
        self.list()?.iter().map(|value| value.string().map(str::to_owned)).collect()
    }
}

/// Reads a configuration file as text. No more than the cap is read, whatever the file claims to be.
pub(crate) fn read_file(path: &Path) -> Result<String, Error> {
    let file = || path.display().to_string();
    let about =
        |error: std::io::Error| Error::about_file(file(), format!("cannot be read: {error}"));
    let opened = File::open(path).map_err(about)?;
    if opened.metadata().map_err(about)?.is_dir() {
        return Err(Error::about_file(file(), "is a folder, not a file"));
    }
    let mut bytes = Vec::new();
    opened.take(CONFIG_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(about)?;
    if bytes.len() > CONFIG_FILE_BYTES_MAX {
        return Err(too_large(&file()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = line_of_byte(error.as_bytes(), error.utf8_error().valid_up_to());
        Error { line: Some(line), ..Error::about_file(file(), "is not UTF-8 text") }
    })
}

fn too_large(file: &str) -> Error {
    Error::about_file(
        file,
        format!(
            "is larger than {}, so it is no configuration",
            Bytes(CONFIG_FILE_BYTES_MAX as u64)
        ),
    )
}
