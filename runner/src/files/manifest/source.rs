//! `source`: where a component's bytes come from. What is downloaded is named by its digest.

use super::Source;
use crate::files::config::{Error, Table, Value};

pub(super) fn source(value: &Value<'_>) -> Result<Source, Error> {
    if value.is_string() {
        return Ok(Source::Path(path(value)?));
    }
    if !value.is_table() {
        return Err(value.expected("a path or a table"));
    }
    let table = value.table()?;
    match (table.has("url"), table.has("package")) {
        (true, _) => {
            let table = table.only(&["url", "digest"])?;
            let (url, sha256) = download(&table)?;
            Ok(Source::Url { url, sha256 })
        }
        (false, true) => registry(table.only(&["registry", "package", "version"])?),
        (false, false) => {
            let table = table.only(&["url", "digest", "registry", "package", "version"])?;
            let help = r#"write a path, { url = "…", digest = "sha256:…" } or { package = "…", version = "…" }"#;
            Err(table.error("", "names neither a url nor a package").with_help(help))
        }
    }
}

/// A path to a component.
pub(super) fn path(value: &Value<'_>) -> Result<String, Error> {
    match value.string()? {
        "" => Err(value.error("a path cannot be empty")),
        url if url.contains("://") => Err(value
            .error("a download needs its digest")
            .with_help(format!("write {{ url = {url:?}, digest = \"sha256:…\" }}"))),
        path => Ok(path.to_owned()),
    }
}

/// `url` and `digest`, both or nothing.
pub(super) fn download(table: &Table<'_>) -> Result<(String, String), Error> {
    let url = table.require("url", "the download's address")?;
    let secure = ["https://", "http://"]
        .iter()
        .any(|scheme| url.string().is_ok_and(|url| url.starts_with(scheme)));
    if !secure {
        url.string()?;
        return Err(url.error("a url starts with https:// or http://"));
    }
    let digest = table.require("digest", "the download's digest")?;
    Ok((url.string()?.to_owned(), sha256(&digest)?))
}

fn sha256(value: &Value<'_>) -> Result<String, Error> {
    let hex = value.string()?.strip_prefix("sha256:");
    let valid = hex.filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    valid
        .map(str::to_ascii_lowercase)
        .ok_or_else(|| value.error("a digest is \"sha256:\" and 64 hexadecimal digits"))
}

fn registry(table: Table<'_>) -> Result<Source, Error> {
    let version = table.require("version", "the package's exact version")?;
    if !is_exact_version(version.string()?) {
        return Err(version.error("must be an exact version, like \"1.2.3\""));
    }
    Ok(Source::Registry {
        registry: table.get("registry").map(|value| word(&value)).transpose()?,
        package: package(&table.require("package", "the package's name")?)?,
        version: version.string()?.to_owned(),
    })
}

/// `namespace:name`.
pub(super) fn package(value: &Value<'_>) -> Result<String, Error> {
    let text = value.string()?;
    let part = |part: &str| super::id::is_kebab(part);
    match text.split_once(':').is_some_and(|(namespace, name)| part(namespace) && part(name)) {
        true => Ok(text.to_owned()),
        false => Err(value.error(format!("{text:?} is no package; write namespace:name"))),
    }
}

/// Something that is not empty and has no blanks in it.
pub(super) fn word(value: &Value<'_>) -> Result<String, Error> {
    let text = value.string()?;
    match !text.is_empty() && !text.contains(char::is_whitespace) {
        true => Ok(text.to_owned()),
        false => Err(value.error("cannot be empty or have blanks")),
    }
}

/// Semantic versioning, three numbers and what may follow them.
fn is_exact_version(text: &str) -> bool {
    let (text, build) =
        text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (numbers, pre) =
        text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
    let number = |n: &str| {
        !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) && (n == "0" || !n.starts_with('0'))
    };
    let tag = |tag: &str| {
        let plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        tag.split('.').all(plain)
    };
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && pre.is_none_or(tag)
        && build.is_none_or(tag)
}

#[cfg(test)]
mod tests {
    use super::is_exact_version;

    #[test]
    fn exact_versions_have_three_numbers() {
        for version in ["0.1.0", "1.2.3", "1.2.3-rc.1", "1.2.3+build.5", "1.2.3-a-b+c"] {
            assert!(is_exact_version(version), "{version}");
        }
        for version in [
            "", "1", "1.2", "1.2.3.4", "^1.2.3", "=1.2.3", "1.2.x", "01.2.3", "1.2.3-", "1.2.3+",
            "1..3", " 1.2.3",
        ] {
            assert!(!is_exact_version(version), "{version}");
        }
    }
}
