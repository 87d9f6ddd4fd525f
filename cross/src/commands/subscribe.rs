//! `pirn subscribe`: prints what a broker delivers.

use std::time::Duration;

use pirn_triggers::mqtt::Message;
use tokio::time::timeout;

use crate::cli::Subscribe;
use crate::client::{Client, warn_of_trouble};
use crate::failure::{Failure, Outcome};
use crate::limits;
use crate::ui::{self, NobodyReads, Volume};

/// Until the count, the time, or somebody is done.
pub(crate) fn run(options: &Subscribe) -> Outcome {
    super::wait_for(async {
        let wait = Duration::from_secs(limits::BROKER_WAIT_SECS);
        let client = Client::connect(&options.broker, Some(&options.filter), wait).await?;
        watch(client, options).await
    })
}

async fn watch(mut client: Client, options: &Subscribe) -> Outcome {
    let limit = options.wait.map_or(Duration::MAX, Duration::from_secs);
    let outcome = tokio::select! {
        outcome = timeout(limit, print_all(&mut client, options.count)) => {
            outcome.unwrap_or_else(|_| time_is_up(options))
        }
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    client.end().await;
    outcome
}

/// Prints messages until `count` of them came. Dropped half-way, a message that was not printed is
/// not acknowledged; the session is clean, so it is gone all the same.
async fn print_all(client: &mut Client, count: Option<u64>) -> Outcome {
    let mut states = client.session.state();
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        tokio::select! {
            message = client.inbox.next() => {
                let message = message.ok_or_else(|| Failure::failed("the session ended"))?;
                if print(&message).is_err() {
                    return Ok(());
                }
                message.delivery.settle();
                left -= 1;
            }
            Ok(()) = states.changed() => {
                warn_of_trouble(&states.borrow_and_update(), Volume::Normal);
            }
        }
    }
    Ok(())
}

fn time_is_up(options: &Subscribe) -> Outcome {
    match options.count {
        None => Ok(()),
        Some(count) => {
            let wait = options.wait.unwrap_or_default();
            Err(Failure::failed(format!("fewer than {count} messages came within {wait} s")))
        }
    }
}

/// One line: topic, payload.
pub(crate) fn print(message: &Message) -> Result<(), NobodyReads> {
    let (topic, payload) = (ui::topic(&message.topic), ui::shown(&message.payload));
    ui::out(&format!("{topic}  {payload}"))
}
