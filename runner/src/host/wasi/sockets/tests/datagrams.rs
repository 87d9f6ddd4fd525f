//! Datagrams out and in, and what is refused.

use super::*;
use crate::host::wasi::sockets::udp::{Incoming, Outgoing, OutgoingDatagram, create, streams};
use crate::limits::wasi::{DATAGRAM_BYTES_PER_CALL, DATAGRAMS_PER_CALL_MAX};

async fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A bound socket's streams, to one peer or to any, and its own address.
fn open(
    host: &Host,
    remote: Option<SocketAddr>,
) -> Result<(Resource<Incoming>, Resource<Outgoing>, SocketAddr), ErrorCode> {
    let socket = create(host, (Family::V4,)).unwrap().0.unwrap();
    let any = SocketAddress::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    host.with(&socket, |s| s.start_bind(any)).unwrap()?;
    host.with(&socket, |s| s.finish_bind()).unwrap()?;
    let to = remote.map(SocketAddress::from);
    let (incoming, outgoing) = streams(host, (again(&socket), to)).unwrap().0?;
    let local = host.with(&socket, |s| s.local_address()).unwrap()?;
    let local = (Ipv4Addr::LOCALHOST, SocketAddr::from(local).port()).into();
    Ok((incoming, outgoing, local))
}

fn datagram(data: &[u8], to: Option<SocketAddr>) -> OutgoingDatagram {
    OutgoingDatagram { data: data.to_vec(), remote_address: to.map(SocketAddress::from) }
}

async fn send(
    host: &Host,
    outgoing: &Resource<Outgoing>,
    datagrams: &[OutgoingDatagram],
) -> Result<u64, ErrorCode> {
    let permits = |address| host.permits(Protocol::Udp, address);
    host.with(outgoing, |o| o.pollable()).unwrap().wait().await;
    host.with(outgoing, |o| o.send(datagrams, permits)).unwrap()
}

async fn receive(host: &Host, incoming: &Resource<Incoming>, max: u64) -> Vec<Vec<u8>> {
    let permits = |address| host.permits(Protocol::Udp, address);
    host.with(incoming, |i| i.pollable()).unwrap().wait().await;
    let received = host.with(incoming, |i| i.receive(max, permits)).unwrap().unwrap();
    received.into_iter().map(|datagram| datagram.data).collect()
}

#[tokio::test]
async fn a_granted_peer_is_asked_and_answers() {
    let (peer, address) = peer().await;
    let host = granted(&[&format!("udp://{address}")]);
    for remote in [None, Some(address)] {
        let (incoming, outgoing, local) = open(&host, remote).unwrap();
        assert_eq!(send(&host, &outgoing, &[datagram(b"ask", Some(address))]).await, Ok(1));
        let mut buffer = [0; 10];
        let (count, from) = peer.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..count], from), (&b"ask"[..], local));
        peer.send_to(b"answer", local).await.unwrap();
        assert_eq!(receive(&host, &incoming, 10).await, [b"answer"]);
    }
}

#[tokio::test]
async fn what_is_not_granted_is_neither_sent_nor_received() {
    let (friend, address) = peer().await;
    let (stranger, other) = peer().await;
    let host = granted(&[&format!("udp://{address}")]);
    let refused = open(&host, Some(other)).err();
    assert_eq!(refused, Some(ErrorCode::AccessDenied));
    let (incoming, outgoing, local) = open(&host, None).unwrap();
    let denied = send(&host, &outgoing, &[datagram(b"x", Some(other))]).await;
    assert_eq!(denied, Err(ErrorCode::AccessDenied));
    let nowhere = send(&host, &outgoing, &[datagram(b"x", None)]).await;
    assert_eq!(nowhere, Err(ErrorCode::InvalidArgument));
    stranger.send_to(b"from a stranger", local).await.unwrap();
    friend.send_to(b"from a friend", local).await.unwrap();
    assert_eq!(receive(&host, &incoming, 10).await, [b"from a friend"]);
}

#[tokio::test]
async fn binding_to_an_address_or_a_port_is_denied() {
    let host = granted(&["udp://*:*"]);
    for (local, expected) in [
        ("0.0.0.0:53", Err(ErrorCode::AccessDenied)),
        ("127.0.0.1:0", Err(ErrorCode::AccessDenied)),
        ("[::]:0", Err(ErrorCode::InvalidArgument)),
        ("0.0.0.0:0", Ok(())),
    ] {
        let socket = create(&host, (Family::V4,)).unwrap().0.unwrap();
        let local = SocketAddress::from(local.parse::<SocketAddr>().unwrap());
        let bound = host.with(&socket, |s| s.start_bind(local)).unwrap();
        assert_eq!(bound, expected, "{local:?}");
    }
}

#[tokio::test]
async fn datagrams_in_one_call_are_capped_in_number_and_in_bytes() {
    let (peer, address) = peer().await;
    let host = granted(&[&format!("udp://{address}")]);
    let (incoming, outgoing, local) = open(&host, None).unwrap();
    let many = vec![datagram(b"x", Some(address)); DATAGRAMS_PER_CALL_MAX + 1];
    assert_eq!(send(&host, &outgoing, &many).await, Ok(DATAGRAMS_PER_CALL_MAX as u64));
    for _ in 0..DATAGRAMS_PER_CALL_MAX + 1 {
        peer.send_to(b"y", local).await.unwrap();
    }
    let first = receive(&host, &incoming, u64::MAX).await;
    assert_eq!(first.len(), DATAGRAMS_PER_CALL_MAX);
    assert_eq!(receive(&host, &incoming, u64::MAX).await.len(), 1);
    let half = vec![0; DATAGRAM_BYTES_PER_CALL / 2];
    for _ in 0..3 {
        peer.send_to(&half, local).await.unwrap();
    }
    assert_eq!(receive(&host, &incoming, u64::MAX).await.len(), 2);
}
