//! Commands to Redis servers: `fermyon:spin/redis@2.0.0` and its async twin. A guest's connection is one with the server
//! that nobody else has, so that a transaction is its own; the app's connections that nobody has wait for the next guest.

use std::sync::Arc;

use bytes::Bytes;
use pirn_triggers::redis::{Address, Lease, RedisError, Reply};
use tokio::sync::Mutex;
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use crate::engine::door::{Answer, Twin};
use crate::engine::wire::wire;
use crate::host::{Door, Host, Interface};
use crate::report::Report;

wire! {
    /// `variant error`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    enum Error {
        #[component(name = "invalid-address")]
        InvalidAddress,
        #[component(name = "too-many-connections")]
        TooManyConnections,
        #[component(name = "type-error")]
        WrongType,
        #[component(name = "other")]
        Other(String),
    }
}

wire! {
    /// `variant redis-parameter`.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    enum Parameter {
        #[component(name = "int64")]
        Int64(i64),
        #[component(name = "binary")]
        Binary(Bytes),
    }
}

wire! {
    /// `variant redis-result`.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    enum Element {
        #[component(name = "nil")]
        Nil,
        #[component(name = "status")]
        Status(String),
        #[component(name = "int64")]
        Int64(i64),
        #[component(name = "binary")]
        Binary(Bytes),
    }
}

/// An open connection: its address was granted when it was opened. One command at a time.
struct Connection {
    lease: Arc<Mutex<Lease>>,
}

type Handle = Resource<Connection>;
type Of<T> = Answer<(Result<T, Error>,)>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    offer_both(&mut door.interface("fermyon:spin/redis@2.0.0")?, Twin::Sync)?;
    offer_both(&mut door.interface("spin:redis/redis@3.0.0")?, Twin::Async)
}

fn offer_both(interface: &mut Interface<'_>, twin: Twin) -> Answer<()> {
    interface.resource::<Connection>("connection")?;
    interface.waiting(twin, "[static]connection.open", open)?;
    interface.waiting(twin, "[method]connection.publish", publish)?;
    interface.waiting(twin, "[method]connection.get", get)?;
    interface.waiting(twin, "[method]connection.set", set)?;
    interface.waiting(twin, "[method]connection.incr", incr)?;
    interface.waiting(twin, "[method]connection.del", del)?;
    interface.waiting(twin, "[method]connection.sadd", sadd)?;
    interface.waiting(twin, "[method]connection.smembers", smembers)?;
    interface.waiting(twin, "[method]connection.srem", srem)?;
    interface.waiting(twin, "[method]connection.execute", execute)
}

async fn open(host: Host, (address,): (String,)) -> Of<Handle> {
    let lease = match lease(&host, &address).await {
        Ok(lease) => lease,
        Err(error) => return Ok((Err(error),)),
    };
    let connection = Connection { lease: Arc::new(Mutex::new(lease)) };
    Ok((host.try_push(connection).ok_or(Error::TooManyConnections),))
}

async fn lease(host: &Host, address: &str) -> Result<Lease, Error> {
    let address = Address::parse(address).map_err(|_| Error::InvalidAddress)?;
    let grants = host.grants();
    let target = &address.target;
    if !grants.hosts.permits(address.scheme(), &target.host, Some(target.port)) {
        // The guest's type has no words for it; the log has.
        let component = &grants.component;
        let sentence =
            format!("{component}: {address} is not permitted: see allowed_outbound_hosts");
        grants.reporter.report(&Report::Note(&sentence));
        return Err(Error::InvalidAddress);
    }
    let filter = grants.address_filter();
    Ok(grants.outbound.redis.lease(address, Some(&filter)).await?)
}

async fn publish(host: Host, (handle, channel, payload): (Handle, String, Bytes)) -> Of<()> {
    let reply = command(&host, &handle, &[b"PUBLISH", channel.as_bytes(), &payload]).await?;
    Ok((reply.map(drop),))
}

async fn get(host: Host, (handle, key): (Handle, String)) -> Of<Option<Bytes>> {
    let reply = command(&host, &handle, &[b"GET", key.as_bytes()]).await?;
    Ok((reply.and_then(|reply| match reply {
        Reply::Nil => Ok(None),
        Reply::Bytes(bytes) => Ok(Some(bytes)),
        // What a transaction answers to whatever is put into it.
        Reply::Status(word) => Ok(Some(word.into())),
        _ => Err(Error::WrongType),
    }),))
}

async fn set(host: Host, (handle, key, value): (Handle, String, Bytes)) -> Of<()> {
    let reply = command(&host, &handle, &[b"SET", key.as_bytes(), &value]).await?;
    Ok((reply.map(drop),))
}

async fn incr(host: Host, (handle, key): (Handle, String)) -> Of<i64> {
    let reply = command(&host, &handle, &[b"INCR", key.as_bytes()]).await?;
    Ok((reply.and_then(number),))
}

async fn del(host: Host, (handle, keys): (Handle, Vec<String>)) -> Of<u32> {
    counted(&host, &handle, b"DEL", None, &keys).await
}

async fn sadd(host: Host, (handle, key, values): (Handle, String, Vec<String>)) -> Of<u32> {
    counted(&host, &handle, b"SADD", Some(&key), &values).await
}

async fn srem(host: Host, (handle, key, values): (Handle, String, Vec<String>)) -> Of<u32> {
    counted(&host, &handle, b"SREM", Some(&key), &values).await
}

/// A command about many things that answers with how many it was true of. Of nothing it is true at once.
async fn counted(
    host: &Host,
    handle: &Handle,
    name: &[u8],
    key: Option<&String>,
    all: &[String],
) -> Of<u32> {
    if all.is_empty() {
        return Ok((Ok(0),));
    }
    let words = key.into_iter().chain(all).map(|word| word.as_bytes());
    let parts: Vec<&[u8]> = [name].into_iter().chain(words).collect();
    let reply = command(host, handle, &parts).await?;
    let count = reply.and_then(number);
    Ok((count.and_then(|count| u32::try_from(count).map_err(|_| Error::WrongType)),))
}

async fn smembers(host: Host, (handle, key): (Handle, String)) -> Of<Vec<String>> {
    let reply = command(&host, &handle, &[b"SMEMBERS", key.as_bytes()]).await?;
    let text = |member| match member {
        Reply::Bytes(bytes) => String::from_utf8(bytes.into()).map_err(|_| Error::WrongType),
        _ => Err(Error::WrongType),
    };
    Ok((reply.and_then(|reply| match reply {
        Reply::List(members) => members.into_iter().map(text).collect(),
        _ => Err(Error::WrongType),
    }),))
}

async fn execute(
    host: Host,
    (handle, name, arguments): (Handle, String, Vec<Parameter>),
) -> Of<Vec<Element>> {
    let written = |argument| match argument {
        Parameter::Int64(number) => Bytes::from(number.to_string()),
        Parameter::Binary(bytes) => bytes,
    };
    let arguments: Vec<Bytes> = arguments.into_iter().map(written).collect();
    let words = arguments.iter().map(|argument| &argument[..]);
    let parts: Vec<&[u8]> = [name.as_bytes()].into_iter().chain(words).collect();
    let reply = command(&host, &handle, &parts).await?;
    Ok((reply.and_then(|reply| {
        let mut elements = Vec::new();
        flatten(reply, &mut elements)?;
        Ok(elements)
    }),))
}

/// Lists within lists come as one list, as in Spin. They are not deep: the protocol's reader sees to that.
fn flatten(reply: Reply, into: &mut Vec<Element>) -> Result<(), Error> {
    into.push(match reply {
        Reply::List(list) => return list.into_iter().try_for_each(|one| flatten(one, into)),
        Reply::Nil => Element::Nil,
        Reply::Status(word) => Element::Status(word),
        Reply::Int(number) => Element::Int64(number),
        Reply::Bytes(bytes) => Element::Binary(bytes),
        // One command of a transaction failed.
        Reply::Error(complaint) => return Err(of_complaint(complaint)),
    });
    Ok(())
}

async fn command(host: &Host, handle: &Handle, parts: &[&[u8]]) -> Answer<Result<Reply, Error>> {
    let lease = host.with(handle, |connection| Arc::clone(&connection.lease))?;
    let reply = lease.lock().await.command(parts).await;
    Ok(reply.map_err(Error::from))
}

fn number(reply: Reply) -> Result<i64, Error> {
    match reply {
        Reply::Int(number) => Ok(number),
        _ => Err(Error::WrongType),
    }
}

/// A value of another type than was asked for, or anything else.
fn of_complaint(complaint: String) -> Error {
    let of_type = complaint.starts_with("WRONGTYPE") || complaint.contains("is not an integer");
    if of_type { Error::WrongType } else { Error::Other(complaint) }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        match error {
            RedisError::TooMany => Self::TooManyConnections,
            RedisError::Server(complaint) => of_complaint(complaint),
            other => Self::Other(other.to_string()),
        }
    }
}
