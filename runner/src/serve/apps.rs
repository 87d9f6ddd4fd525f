//! What is asked of a process that serves several apps, and what it answers, on its control socket.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::control::{self, Answer, Client, Format, UNKNOWN_REQUEST};
use super::tenants::{Row, Tenants};
use crate::limits::control as limits;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nothing: show how all apps are.
    List,
    /// Take an app into the set, and start it.
    Add,
    /// Stop an app and take it out of the set.
    Remove,
    /// Start an app.
    Start,
    /// Stop an app, until it is started.
    Stop,
    /// Stop an app and start it anew.
    Restart,
    /// Put another version in an app's place.
    Replace,
    /// Nothing: show how the process is as a whole.
    Status,
}

/// One line to the socket.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Request<'a> {
    /// What to do.
    #[serde(rename = "app")]
    pub change: Change,
    /// For whom the answer is.
    pub format: Format,
    /// With the app of this name.
    #[serde(borrow)]
    pub name: Option<&'a str>,
    /// With the app in this folder.
    #[serde(borrow)]
    pub path: Option<&'a str>,
}

/// Answers for the apps.
pub struct Apps(pub Arc<Tenants>);

impl Answer for Apps {
    async fn answer(&self, line: &[u8], client: &mut Client) {
        if let Some(control::Request { of: Some(name), .. }) = control::request(line) {
            return match self.0.control(name) {
                Ok(control) => control.answer(line, client).await,
                Err(error) => drop(client.end(&error).await),
            };
        }
        let text = std::str::from_utf8(line).unwrap_or_default();
        let mut unescaped = vec![0; limits::REQUEST_BYTES_MAX as usize];
        let request = serde_json_core::from_str_escaped::<Request<'_>>(text, &mut unescaped);
        let Ok((request, _)) = request else { return drop(client.end(UNKNOWN_REQUEST).await) };
        let answered = match self.done(&request).await {
            Ok(lines) => match client.send(lines.as_bytes()).await {
                Ok(()) => client.end("").await,
                Err(error) => Err(error),
            },
            Err(error) => client.end(&error).await,
        };
        // Whoever asked has left; what was asked is done.
        drop(answered);
    }
}

impl Apps {
    async fn done(&self, request: &Request<'_>) -> Result<String, String> {
        let tenants = &self.0;
        let name = || request.name.ok_or("which app? its name is missing");
        let path = || request.path.map(Path::new).ok_or("which app? its folder is missing");
        match request.change {
            Change::Status => Ok(tenants.overview()?.shown(request.format)),
            Change::List => tenants.rows().map(|rows| shown(&rows, request.format)),
            Change::Add => {
                let name = tenants.add(path()?, request.name).await?;
                Ok(format!("{name} is there and runs\n"))
            }
            Change::Remove => {
                let name = name()?;
                tenants.remove(name).await?;
                let state = tenants.state_dir(name);
                Ok(format!("{name} is gone; what it kept is in {} still\n", state.display()))
            }
            Change::Start => tenants.start(name()?).await.map(|()| said(request, "runs")),
            Change::Stop => tenants.stop(name()?).await.map(|()| said(request, "is stopped")),
            Change::Restart => tenants.restart(name()?).await.map(|()| said(request, "runs anew")),
            Change::Replace => {
                tenants.replace(name()?, path()?).await?;
                Ok(said(request, "is replaced and runs"))
            }
        }
    }
}

fn said(request: &Request<'_>, what: &str) -> String {
    format!("{} {what}\n", request.name.unwrap_or_default())
}

/// All apps, as a table or a line of JSON each.
fn shown(rows: &[Row], format: Format) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(4);
    let line = |row: &Row| match format {
        Format::Table => {
            let about = row.about.replace('\n', "; ");
            format!("{:width$}  {:8} {about}", row.name, row.state).trim_end().to_owned() + "\n"
        }
        Format::Json => json(row),
    };
    let head = match format {
        Format::Table => format!("{:width$}  {:8} components, or what is wrong\n", "app", "state"),
        Format::Json => String::new(),
    };
    rows.iter().fold(head, |text, row| text + &line(row))
}

fn json(row: &Row) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        name: &'a str,
        state: &'a str,
        about: &'a str,
    }
    let line = Line { name: &row.name, state: row.state, about: &row.about };
    // Escapes make a character six at most.
    let mut buffer = vec![0; 128 + 6 * (row.name.len() + row.about.len())];
    let written = serde_json_core::to_slice(&line, &mut buffer).unwrap_or(0);
    buffer.truncate(written);
    String::from_utf8(buffer).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_are_shown_to_people_and_to_programs() {
        let row =
            |name: &str, state, about: &str| Row { name: name.into(), state, about: about.into() };
        let rows =
            [row("lamp", "running", "a (native, 9 KiB)"), row("thermostat", "wrong", "no\n\"x\"")];
        assert_eq!(
            shown(&rows, Format::Table),
            "app         state    components, or what is wrong\n\
             lamp        running  a (native, 9 KiB)\n\
             thermostat  wrong    no; \"x\"\n"
        );
        assert_eq!(
            shown(&rows[1..], Format::Json),
            "{\"name\":\"thermostat\",\"state\":\"wrong\",\"about\":\"no\\n\\\"x\\\"\"}\n"
        );
    }
}
