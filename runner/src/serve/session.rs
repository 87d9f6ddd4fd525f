//! What an app keeps of its session with its broker, so that the broker's is still its own after a restart: the client
//! id, and which subscriptions are there.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pirn_triggers::mqtt::{Qos, Subscription, validate_filter};
use tokio::sync::watch;

use crate::host::brokers::options::{first_of, random_name};
use crate::plan::App;
use crate::report::{Report, Reporter};
use crate::store::folder::write_atomically;

/// A longer one in the file was not written by us. Brokers take at least 23 bytes, most 65 535.
const CLIENT_ID_BYTES_MAX: usize = 256;

/// A client id that is the same after a restart and differs between devices, be they flashed from one image: made once
/// at random and kept in this folder. Where nothing can be kept,
/// the machine's id. One that was kept and cannot be read is an error: under another name the broker would keep the
/// messages of this one for nobody.
pub fn client_id(name: &str, folder: &Path) -> Result<String, String> {
    match kept(folder)? {
        Some(id) => Ok(id),
        None => made(name, folder),
    }
}

/// The client id that the app's session has, or had the last time; makes none.
pub fn known_client_id(app: &App) -> Result<Option<String>, String> {
    match app.broker.as_ref().and_then(|plan| plan.client_id.clone()) {
        Some(given) => Ok(Some(given)),
        None => kept(&app.state_dir),
    }
}

fn kept(state_dir: &Path) -> Result<Option<String>, String> {
    let path = state_dir.join(CLIENT_ID_FILE);
    let shown = path.display();
    match std::fs::read_to_string(&path) {
        Ok(text) if is_client_id(text.trim()) => Ok(Some(text.trim().to_owned())),
        Ok(_) => Err(format!("{shown} holds no client id{WHAT_TO_DO}")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{shown}: {error}{WHAT_TO_DO}")),
    }
}

fn made(app_name: &str, state_dir: &Path) -> Result<String, String> {
    let path = state_dir.join(CLIENT_ID_FILE);
    let fresh = format!("{app_name}-{}", random_name());
    match write_atomically(&path, fresh.as_bytes()) {
        Ok(()) => Ok(fresh),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied | ErrorKind::NotFound
            ) =>
        {
            Ok(format!("{app_name}-{}", first_of("/etc/machine-id", 12)))
        }
        Err(error) => Err(format!("{} cannot be written: {error}", path.display())),
    }
}

const CLIENT_ID_FILE: &str = "client-id";

const WHAT_TO_DO: &str = ": the broker keeps the session, and its messages, under the name that was in it; \
    write that name into the file (the broker's log or list of clients shows it), or remove the file to begin \
    a new session";

fn is_client_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= CLIENT_ID_BYTES_MAX && !text.contains(char::is_control)
}

/// Which subscriptions the broker holds for us, so that the next start unsubscribes what is gone and does not ask
/// anew for what is there: that would bring every retained message again. Runs for as long as the session.
pub async fn keep_subscriptions(
    mut granted: watch::Receiver<Arc<[Subscription]>>,
    state_dir: PathBuf,
    reporter: Arc<dyn Reporter>,
) {
    let path = state_dir.join(SUBSCRIPTIONS_FILE);
    let mut last = std::fs::read_to_string(&path).unwrap_or_default();
    while granted.changed().await.is_ok() {
        if granted.borrow_and_update().is_empty() {
            // A CONNECT is under way. It is mostly answered at once, and then nothing has changed.
            let _ = tokio::time::timeout(CONNECT_PATIENCE, granted.changed()).await;
        }
        let text = written(&granted.borrow_and_update());
        if text == last {
            continue;
        }
        last.clone_from(&text);
        let path = path.clone();
        let write = move || write_atomically(&path, text.as_bytes());
        // An fsync: not on the loop.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            last.clear();
            let sentence = format!(
                "{SUBSCRIPTIONS_FILE} in {}: {error}; after a restart retained messages may come again",
                state_dir.display()
            );
            reporter.report(&Report::Warning(&sentence));
        }
    }
}

/// What an earlier run wrote down; what cannot be read is subscribed to again.
pub fn kept_subscriptions(state_dir: &Path) -> Vec<Subscription> {
    let text = std::fs::read_to_string(state_dir.join(SUBSCRIPTIONS_FILE)).unwrap_or_default();
    let line = |line: &str| {
        let (qos, filter) = line.split_once(' ')?;
        let qos = match qos {
            "0" => Qos::AtMostOnce,
            "1" => Qos::AtLeastOnce,
            "2" => Qos::ExactlyOnce,
            _ => return None,
        };
        validate_filter(filter).ok()?;
        Some(Subscription { filter: filter.to_owned(), qos })
    };
    text.lines().filter_map(line).collect()
}

fn written(list: &[Subscription]) -> String {
    // A filter with a line break would read as two: it is asked for again each time.
    let plain = list.iter().filter(|subscription| !subscription.filter.contains(char::is_control));
    plain.map(|Subscription { filter, qos }| format!("{} {filter}\n", *qos as u8)).collect()
}

const SUBSCRIPTIONS_FILE: &str = "subscriptions";

/// How long a CONNECT may be unanswered before it is written down that nothing is known of the session.
const CONNECT_PATIENCE: Duration = Duration::from_millis(200);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(state_dir: &Path) -> Result<String, String> {
        kept(state_dir)?.map_or_else(|| made("app", state_dir), Ok)
    }

    #[test]
    fn subscriptions_are_read_as_they_were_written_and_nonsense_is_left_out() {
        let scratch = tempfile::tempdir().unwrap();
        let of = |filter: &str, qos| Subscription { filter: filter.into(), qos };
        let list = [
            of("a b/+/#", Qos::AtLeastOnce),
            of("c", Qos::AtMostOnce),
            of("x\ny", Qos::AtMostOnce),
        ];
        std::fs::write(scratch.path().join(SUBSCRIPTIONS_FILE), written(&list) + "7 q\n1 a#\n\n")
            .unwrap();
        assert_eq!(kept_subscriptions(scratch.path()), list[..2]);
    }

    #[test]
    fn a_client_id_is_made_once_and_kept_for_this_user_only() {
        use std::os::unix::fs::MetadataExt as _;
        let scratch = tempfile::tempdir().unwrap();
        let first = id(scratch.path()).unwrap();
        assert!(first.starts_with("app-") && first.len() == 12, "{first}");
        assert_eq!(id(scratch.path()).unwrap(), first);
        let about = std::fs::metadata(scratch.path().join("client-id")).unwrap();
        assert_eq!(about.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_client_id_that_cannot_be_read_is_said_and_never_replaced() {
        for content in [&b""[..], b"\n", b"a\0b", b"\xff\xfe", &[b'x'; CLIENT_ID_BYTES_MAX + 1]] {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join("client-id");
            std::fs::write(&path, content).unwrap();
            let error = id(scratch.path()).unwrap_err();
            assert!(error.contains("client-id") && error.contains("remove the file"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }
}
