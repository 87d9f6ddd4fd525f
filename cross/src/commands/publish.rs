//! `pirn publish`: one message to a broker, and if asked for, the answer to it.

use std::fs;
use std::time::Duration;

use pirn_triggers::mqtt::{Publish as Message, validate_topic};
use tokio::time::timeout;

use crate::cli::Publish;
use crate::client::{self, Client};
use crate::commands::subscribe;
use crate::failure::{Failure, Outcome};

/// Done when the broker has taken the message, and the reply came.
pub(crate) fn run(options: &Publish) -> Outcome {
    let topic = &options.topic;
    validate_topic(topic)
        .map_err(|why| Failure::wrong(format!("{topic:?} is not a topic to publish to: {why}")))?;
    let message = Message {
        topic: options.topic.clone(),
        payload: payload(options)?.into(),
        qos: client::qos(options.broker.qos),
        retain: options.retain,
    };
    super::wait_for(publish(options, message))
}

fn payload(options: &Publish) -> Result<Vec<u8>, Failure> {
    match (&options.payload, &options.payload_file) {
        (_, Some(file)) => {
            fs::read(file).map_err(|error| Failure::wrong(format!("{}: {error}", file.display())))
        }
        (payload, None) => Ok(payload.clone().unwrap_or_default().into_bytes()),
    }
}

async fn publish(options: &Publish, message: Message) -> Outcome {
    let wait = Duration::from_secs(options.wait);
    let filter = options.reply.as_deref();
    let mut client = Client::connect(&options.broker, filter, wait).await?;
    let outcome = async {
        let receipt = client.session.publish(message).await.map_err(Failure::wrong)?;
        match timeout(wait, receipt).await {
            Err(_) => return Err(Failure::failed("the broker did not acknowledge the message")),
            Ok(outcome) => outcome.map_err(Failure::failed)?,
        }
        match &options.reply {
            None => Ok(()),
            Some(filter) => reply(&mut client, filter, wait).await,
        }
    };
    let outcome = outcome.await;
    client.end().await;
    outcome
}

/// Prints the first message that was published after we subscribed; what the broker had kept from
/// before is no answer.
async fn reply(client: &mut Client, filter: &str, wait: Duration) -> Outcome {
    let first_live = async {
        while let Some(message) = client.inbox.next().await {
            if !message.retain {
                // If nobody reads it, it came all the same.
                let _ = subscribe::print(&message);
                message.delivery.settle();
                return Ok(());
            }
            message.delivery.settle();
        }
        Err(Failure::failed("the session ended before a reply came"))
    };
    timeout(wait, first_live).await.unwrap_or_else(|_| {
        let secs = wait.as_secs();
        Err(Failure::failed(format!("no reply on {filter} within {secs} s")))
    })
}
