//! Takes messages of a Redis channel, and publishes each on `answers`, with `sync: ` in front; `refuse` is refused.
//! What SDK 5 makes: the sync world.

use anyhow::{Result, bail};
use spin_sdk::redis::Connection;
use spin_sdk::{redis_component, variables};

#[redis_component]
fn on_message(message: Vec<u8>) -> Result<()> {
    let text = String::from_utf8_lossy(&message);
    if text == "refuse" {
        bail!("{text}");
    }
    let server = Connection::open(&variables::get("server")?)?;
    server.publish("answers", &format!("sync: {text}").into_bytes())?;
    Ok(())
}
