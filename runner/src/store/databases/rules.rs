//! What a guest's statements may do: everything within its own database file, nothing beside it.
//!
//! SQLite asks while it compiles a statement. What opens other files (`ATTACH`, and `VACUUM`, which attaches one),
//! loads code, or changes how the file is kept is refused; so are virtual tables and pragmas that are not known to
//! stay inside.

use rusqlite::ffi;
use rusqlite::hooks::{AuthAction, AuthContext};

/// Virtual tables that keep all they have in tables of the same database.
const MODULES: [&str; 3] = ["fts5", "fts4", "rtree"];

/// Functions that reach outside, wherever SQLite has them.
const FUNCTIONS: [&str; 6] =
    ["load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "fsdir"];

/// Pragmas that only look at the database.
const PRAGMAS_THAT_LOOK: [&str; 17] = [
    "application_id",
    "collation_list",
    "compile_options",
    "data_version",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "index_info",
    "index_list",
    "index_xinfo",
    "page_count",
    "page_size",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];

/// Pragmas that take what they look at as their value.
const PRAGMAS_WITH_A_NAME: [&str; 9] = [
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_xinfo",
];

/// Pragmas that can be asked without a value; with one they would change how the file is kept.
const PRAGMAS_TO_READ: [&str; 7] = [
    "auto_vacuum",
    "integrity_check",
    "journal_mode",
    "max_page_count",
    "quick_check",
    "synchronous",
    "temp_store",
];

/// Pragmas that change the database's own numbers.
const PRAGMAS_OF_THE_FILE: [&str; 3] = ["application_id", "optimize", "user_version"];

/// Pragmas that change the connection, which is then nobody else's.
const PRAGMAS_OF_THE_CONNECTION: [&str; 7] = [
    "case_sensitive_like",
    "count_changes",
    "defer_foreign_keys",
    "foreign_keys",
    "ignore_check_constraints",
    "recursive_triggers",
    "reverse_unordered_selects",
];

/// What is to be done about a statement.
pub(super) enum Ruling {
    /// It may.
    Granted,
    /// It may, and its connection is not given to another guest afterwards.
    GrantedToOne,
    /// It may not: this is not offered.
    Refused(String),
}

/// The ruling about one thing that a statement would do.
pub(super) fn ruling(about: &AuthContext<'_>) -> Ruling {
    match about.action {
        AuthAction::Attach { filename: "" } => refused("VACUUM, or an ATTACH without a name,"),
        AuthAction::Attach { .. } => refused("ATTACH, or VACUUM INTO,"),
        AuthAction::Detach { .. } => refused("DETACH"),
        AuthAction::Pragma { pragma_name, pragma_value } => pragma(pragma_name, pragma_value),
        AuthAction::Function { function_name } if is_one_of(&FUNCTIONS, function_name) => {
            refused(&format!("the function {function_name}"))
        }
        AuthAction::CreateVtable { module_name, .. } if !is_one_of(&MODULES, module_name) => {
            refused(&format!("the virtual table module {module_name}"))
        }
        AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. } => Ruling::GrantedToOne,
        // Of a file whose name is not known yet.
        AuthAction::Unknown { code: ffi::SQLITE_ATTACH, .. } => refused("ATTACH"),
        AuthAction::Unknown { code, .. } => refused(&format!("action {code}")),
        _ => Ruling::Granted,
    }
}

fn pragma(name: &str, value: Option<&str>) -> Ruling {
    let granted = match value {
        None => is_one_of(&PRAGMAS_THAT_LOOK, name) || is_one_of(&PRAGMAS_TO_READ, name),
        Some(_) => is_one_of(&PRAGMAS_WITH_A_NAME, name),
    };
    if granted || is_one_of(&PRAGMAS_OF_THE_FILE, name) {
        return Ruling::Granted;
    }
    match (is_one_of(&PRAGMAS_OF_THE_CONNECTION, name), value) {
        (true, _) => Ruling::GrantedToOne,
        (false, None) => refused(&format!("PRAGMA {name}")),
        (false, Some(_)) => refused(&format!("PRAGMA {name} with a value")),
    }
}

fn is_one_of(known: &[&str], name: &str) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn refused(what: &str) -> Ruling {
    Ruling::Refused(format!("{what} is not offered to components"))
}
