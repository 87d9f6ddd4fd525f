//! `pirn sqlite`, and `pirn up --sqlite`: the developer's hand in an app's databases, whether the app runs or not.
//!
//! Rows are printed as the `sqlite3` program does, a line each with `|` between values, so that scripts can read them.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use pirn_runner::plan::{App, AppFiles, Purpose, UnknownLines};
use pirn_runner::store::databases::{Console, Missing, SqlError, SqlValue};
use pirn_runner::store::folder;

use crate::cli::Sqlite;
use crate::failure::{Failure, Outcome};
use crate::ui;

/// Runs what was given, or what comes line by line.
pub(crate) fn run(options: &Sqlite) -> Outcome {
    let files = AppFiles::new(&options.app.from).with_process_environment();
    let files = AppFiles {
        state_dir: options.app.state_dir.clone(),
        runtime_config: options.runtime_config_file.clone(),
        unknown_lines: UnknownLines::Simulated,
        purpose: Purpose::Inspect,
        ..files
    };
    let app = App::load(&files).map_err(Failure::wrong)?;
    let path = file_of(&app, &options.label)?;
    if !path.exists() {
        let path = path.display();
        return Err(Failure::wrong(format!(
            "{path} is not there: the app makes it when it opens the database, `pirn up --sqlite` before"
        )));
    }
    let console = Console::open(&path, Missing::Refused).map_err(Failure::failed)?;
    let header = options.header || std::io::stdout().is_terminal();
    match &options.sql {
        Some(sql) => show(&console, &text_of(sql)?, header).map_err(Failure::failed),
        None => converse(&console, header),
    }
}

/// `--sqlite`, as Spin has it: before the app runs, on the database "default".
pub(crate) fn prepare(app: &App, statements: &[String]) -> Outcome {
    if statements.is_empty() {
        return Ok(());
    }
    let path = file_of(app, "default")?;
    if path.parent() == Some(&app.state_dir) {
        folder::make(&app.state_dir).map_err(Failure::failed)?;
    }
    let console = Console::open(&path, Missing::Made).map_err(Failure::failed)?;
    for statement in statements {
        let ran = console.run(&text_of(statement)?, |_| Ok(()), |_| Ok(()));
        ran.map_err(|error| Failure::wrong(format!("--sqlite {statement}: {error}")))?;
    }
    Ok(())
}

/// Where the database of this label is.
fn file_of(app: &App, label: &str) -> Result<PathBuf, Failure> {
    let mut all = app.components.iter().flat_map(|plan| &plan.capabilities.sqlite_databases);
    let found = all.clone().find(|(known, _)| *known == label);
    if let Some((_, path)) = found {
        return Ok(path.clone());
    }
    let known = match all.next() {
        None => "none of its components has a key sqlite_databases".to_owned(),
        Some(_) => {
            let plans = app.components.iter();
            let labels = plans.flat_map(|plan| plan.capabilities.sqlite_databases.keys());
            let labels: std::collections::BTreeSet<&String> = labels.collect();
            format!("its components have {labels:?}")
        }
    };
    Err(Failure::wrong(format!("the app has no database {label:?}: {known}")))
}

/// SQL as given, or that of the file whose name follows an `@`.
fn text_of(given: &str) -> Result<String, Failure> {
    let Some(file) = given.strip_prefix('@') else { return Ok(given.to_owned()) };
    let text = std::fs::read_to_string(Path::new(file));
    text.map_err(|error| Failure::wrong(format!("{file}: {error}")))
}

fn show(console: &Console, sql: &str, header: bool) -> Result<(), SqlError> {
    let is_terminal = std::io::stdout().is_terminal();
    let print = |line: &str| {
        let line = if is_terminal { ui::escaped(line) } else { line.to_owned() };
        ui::out(&line).map_err(|_| SqlError::Io("nobody reads the rows any more".into()))
    };
    let columns = |names: &[String]| match header {
        true => print(&names.join("|")),
        false => Ok(()),
    };
    console.run(sql, columns, |row| print(&row.iter().map(shown).collect::<Vec<_>>().join("|")))
}

/// A value as `sqlite3` prints it; bytes as they are written in SQL.
fn shown(value: &SqlValue) -> String {
    match value {
        SqlValue::Integer(integer) => integer.to_string(),
        SqlValue::Real(real) => format!("{real:?}"),
        SqlValue::Text(text) => text.clone(),
        SqlValue::Blob(blob) => {
            let hex: String = blob.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{hex}'")
        }
        SqlValue::Null => String::new(),
    }
}

/// Statements as they come, each up to the line that ends with a semicolon. At a terminal a wrong one is only said.
fn converse(console: &Console, header: bool) -> Outcome {
    let stdin = std::io::stdin();
    let is_terminal = stdin.is_terminal();
    let prompt = |text: &str| {
        if is_terminal {
            let _ = write!(std::io::stderr(), "{text} ");
        }
    };
    let mut statement = String::new();
    prompt("sql>");
    for line in stdin.lock().lines() {
        statement += &line.map_err(Failure::failed)?;
        statement += "\n";
        if !statement.trim_end().ends_with(';') {
            prompt("  ..");
            continue;
        }
        match show(console, &std::mem::take(&mut statement), header) {
            Err(error) if is_terminal => {
                let _ = writeln!(std::io::stderr(), "{error}");
            }
            ended => ended.map_err(Failure::failed)?,
        }
        prompt("sql>");
    }
    show(console, &statement, header).map_err(Failure::failed)
}
