//! Takes messages of a Redis channel, and publishes each on `answers`, with `async: ` in front; `refuse` is refused.
//! `each FUNCTION` is answered with what the functions of the async commands return.
//! What SDK 6 makes: the async world.

use anyhow::{Result, bail};
use spin_sdk::redis::{Connection, RedisParameter, RedisResult};
use spin_sdk::{redis_subscriber, variables};

#[redis_subscriber]
async fn on_message(message: Vec<u8>) -> Result<()> {
    let text = String::from_utf8_lossy(&message).into_owned();
    if text == "refuse" {
        bail!("{text}");
    }
    let server = Connection::open(&variables::get("server").await?).await?;
    let answer = match text.as_str() {
        "each" => each(&server).await?,
        _ => text,
    };
    server.publish("answers", format!("async: {answer}").into_bytes()).await?;
    Ok(())
}

/// Every function once.
async fn each(server: &Connection) -> Result<String> {
    server.set("async-key", b"1").await?;
    let counted = server.incr("async-key").await?;
    let got = server.get("async-key").await?.unwrap_or_default();
    let added = server.sadd("async-set", ["a", "b"]).await?;
    let mut members = server.smembers("async-set").await?;
    members.sort();
    let removed = server.srem("async-set", ["a"]).await?;
    let gone = server.del(["async-key", "async-set", "none"]).await?;
    let echoed = server.execute("ECHO", [RedisParameter::Binary(b"said".to_vec())]).await?;
    let echoed = matches!(&echoed[..], [RedisResult::Binary(bytes)] if bytes == b"said");
    let got = String::from_utf8_lossy(&got).into_owned();
    Ok(format!("{counted} {got} {added} {} {removed} {gone} {echoed}", members.join(",")))
}
