//! Redis, function by function.

use anyhow::{Context, Result, bail};
use spin_sdk::redis::{Connection, RedisParameter, RedisResult};

/// `ADDRESS FUNCTION ARGUMENT…`; an argument `int:5` of `execute` is a number.
pub(crate) fn obey(text: &str) -> Result<String> {
    let mut words = text.split(' ');
    let address = words.next().context("an address")?;
    let function = words.next().context("a function")?;
    let rest: Vec<String> = words.map(str::to_owned).collect();
    let connection = Connection::open(address)?;
    let first = || rest.first().cloned().context("an argument");
    let second = || rest.get(1).cloned().context("two arguments");
    Ok(match function {
        "open" => "ok".to_owned(),
        "publish" => {
            connection.publish(&first()?, &second()?.into_bytes())?;
            "ok".to_owned()
        }
        "set" => {
            connection.set(&first()?, &second()?.into_bytes())?;
            "ok".to_owned()
        }
        "get" => match connection.get(&first()?)? {
            Some(value) => format!("some {}", String::from_utf8_lossy(&value)),
            None => "none".to_owned(),
        },
        "incr" => connection.incr(&first()?)?.to_string(),
        "del" => connection.del(&rest)?.to_string(),
        "sadd" => connection.sadd(&first()?, &rest[1..])?.to_string(),
        "srem" => connection.srem(&first()?, &rest[1..])?.to_string(),
        "smembers" => {
            let mut members = connection.smembers(&first()?)?;
            members.sort();
            members.join(",")
        }
        "execute" => {
            let parameters: Vec<RedisParameter> = rest[1..].iter().map(parameter).collect();
            let results = connection.execute(&first()?, &parameters)?;
            results.iter().map(shown).collect::<Vec<_>>().join(",")
        }
        _ => bail!("unknown function {function:?}"),
    })
}

fn parameter(word: &String) -> RedisParameter {
    match word.strip_prefix("int:").and_then(|number| number.parse().ok()) {
        Some(number) => RedisParameter::Int64(number),
        None => RedisParameter::Binary(word.clone().into_bytes()),
    }
}

fn shown(result: &RedisResult) -> String {
    match result {
        RedisResult::Nil => "nil".to_owned(),
        RedisResult::Status(text) => format!("status {text}"),
        RedisResult::Int64(number) => format!("int {number}"),
        RedisResult::Binary(bytes) => format!("binary {}", String::from_utf8_lossy(bytes)),
    }
}
