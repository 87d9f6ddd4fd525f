//! Names that are looked up, and those that are not.

use super::*;
use std::sync::Arc;

use crate::files::manifest::PrivateNetworks;
use crate::host::wasi::sockets::lookup::{permitted, resolve};
use crate::host::wasi::sockets::network::IpAddress;
use crate::limits::wasi::{LOOKUP_ADDRESSES_MAX, LOOKUP_TIMEOUT, LOOKUPS_MAX};

async fn look_up(host: &Host, name: &str) -> Result<Vec<IpAddress>, ErrorCode> {
    let addresses = resolve(host, (network(host), name.into())).unwrap().0?;
    let mut found = Vec::new();
    loop {
        host.with(&addresses, |a| a.pollable()).unwrap().wait().await;
        match host.with(&addresses, |a| a.next()).unwrap()? {
            Some(address) => found.push(address),
            None => return Ok(found),
        }
    }
}

#[tokio::test]
async fn a_name_and_an_address_are_found() {
    let host = granted(&["tcp://*:80"]);
    let loopback = IpAddress::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    assert_eq!(look_up(&host, "127.0.0.1").await, Ok(vec![loopback]));
    assert!(look_up(&host, "localhost").await.unwrap().contains(&loopback));
    let unknown = look_up(&host, "no-such-name.invalid").await;
    assert_eq!(unknown, Err(ErrorCode::NameUnresolvable));
    assert_eq!(look_up(&host, "no name").await, Err(ErrorCode::InvalidArgument));
}

#[tokio::test]
async fn without_any_grant_nothing_is_looked_up() {
    assert_eq!(look_up(&host(), "localhost").await, Err(ErrorCode::AccessDenied));
    assert_eq!(look_up(&host(), "127.0.0.1").await, Err(ErrorCode::AccessDenied));
}

#[tokio::test(start_paused = true)]
async fn lookups_at_the_same_time_are_capped_and_waiting_for_one_ends() {
    let host = granted(&["tcp://*:80"]);
    let slots = Arc::clone(&host.wasi_grant().slots.lookups);
    assert_eq!(slots.available_permits(), LOOKUPS_MAX);
    let _others = slots.acquire_many(LOOKUPS_MAX as u32).await.unwrap();
    let start = tokio::time::Instant::now();
    let waited = look_up(&host, "localhost").await;
    assert_eq!(waited, Err(ErrorCode::TemporaryResolverFailure));
    assert!(start.elapsed() >= LOOKUP_TIMEOUT);
    // An address needs no thread.
    assert!(look_up(&host, "127.0.0.1").await.is_ok());
}

#[test]
fn a_name_has_no_more_addresses_than_the_cap_each_once() {
    let host = granted(&["tcp://*:80"]);
    let many = |n| (0..n).map(|last| IpAddr::from([10, 0, 0, last])).collect::<Vec<_>>();
    let found = permitted(&host.grants().hosts, many(LOOKUP_ADDRESSES_MAX as u8 + 1)).unwrap();
    assert_eq!(found.len(), LOOKUP_ADDRESSES_MAX);
    let twice = [many(3), many(3)].concat();
    assert_eq!(permitted(&host.grants().hosts, twice).unwrap().len(), 3);
}

#[tokio::test]
async fn addresses_that_the_operator_blocked_are_left_out() {
    let patterns = vec![HostPattern::parse("tcp://*:*").unwrap()];
    let blocked = BlockedNetworks { networks: Vec::new(), private: PrivateNetworks::Blocked };
    let (host, _) = host_with(Grant::default(), Hosts::new(patterns, None, blocked));
    assert_eq!(look_up(&host, "localhost").await, Err(ErrorCode::NameUnresolvable));
}

#[tokio::test]
async fn a_name_that_no_grant_names_is_not_looked_up() {
    let host = granted(&["http://api.example.com", "tcp://127.0.0.1:80", "https://*.invalid"]);
    for name in ["localhost", "data-that-leaks.evil.example", "api.example.com.evil.example"] {
        assert_eq!(look_up(&host, name).await, Err(ErrorCode::AccessDenied), "{name}");
    }
    // Asked for, and not there.
    assert_eq!(look_up(&host, "x.invalid").await, Err(ErrorCode::NameUnresolvable));
    assert!(look_up(&host, "127.0.0.1").await.is_ok());
}
