//! Sockets as a guest uses them, against real peers on loopback.

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use wasmtime::component::Resource;

use super::network::{Family, Network, SocketAddress};
use super::*;
use crate::host::wasi::Grant;
use crate::host::wasi::testing::{host, host_with};
use crate::limits::wasi::SOCKETS_MAX;
use crate::manifest::{BlockedNetworks, HostPattern, Hosts};

pub(super) fn again<T: 'static>(handle: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(handle.rep())
}

pub(super) fn network(host: &Host) -> Resource<Network> {
    host.push(Network).unwrap()
}

/// A host to which these entries of `allowed_outbound_hosts` are granted.
pub(super) fn granted(entries: &[&str]) -> Host {
    let patterns = entries.iter().map(|entry| HostPattern::parse(entry).unwrap()).collect();
    host_with(Grant::default(), Hosts::new(patterns, None, BlockedNetworks::default())).0
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

mod connecting {
    use super::*;
    use crate::host::wasi::sockets::tcp::{create, finish_connect, start_connect};
    use crate::host::wasi::streams::{InputStream, OutputStream};
    use crate::limits::wasi::{READ_BYTES_MAX, SEND_BYTES_MAX};

    type Streams = (Resource<InputStream>, Resource<OutputStream>);

    /// What a guest does to connect.
    async fn connect(host: &Host, address: SocketAddr) -> Result<Streams, ErrorCode> {
        let socket = create(host, (Family::of(&address),)).unwrap().0?;
        let start = (again(&socket), network(host), SocketAddress::from(address));
        start_connect(host, start).unwrap().0?;
        loop {
            match finish_connect(host, (again(&socket),)).unwrap().0 {
                Err(ErrorCode::WouldBlock) => {
                    host.with(&socket, |s| s.pollable()).unwrap().wait().await;
                }
                other => return other,
            }
        }
    }

    #[tokio::test]
    async fn a_granted_peer_is_reached_and_answers() {
        let (listener, address) = listener().await;
        let host = granted(&[&format!("tcp://{address}")]);
        let peer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(b"world").await.unwrap();
            bytes
        };
        let guest = async {
            let (input, output) = connect(&host, address).await.unwrap();
            host.with(&output, |o| o.write(b"hello").unwrap()).unwrap();
            host.with(&input, |i| i.pollable()).unwrap().wait().await;
            host.with(&input, |i| i.read(100).unwrap()).unwrap()
        };
        let (heard, answer) = tokio::join!(peer, guest);
        assert_eq!((&heard, &answer[..]), (b"hello", &b"world"[..]));
    }

    #[tokio::test]
    async fn an_address_that_is_not_granted_is_denied_before_anything_is_sent() {
        let (listener, address) = listener().await;
        let other_port = format!("tcp://127.0.0.1:{}", address.port() ^ 1);
        let domain = format!("tcp://localhost:{}", address.port());
        let datagrams = format!("udp://{address}");
        for entries in [vec![], vec![&*other_port], vec![&domain], vec![&datagrams]] {
            let host = granted(&entries);
            let refused = connect(&host, address).await.err();
            assert_eq!(refused, Some(ErrorCode::AccessDenied), "{entries:?}");
        }
        drop(listener);
    }

    #[tokio::test]
    async fn a_peer_that_is_not_there_is_a_refused_connection() {
        let (listener, address) = listener().await;
        drop(listener);
        let host = granted(&[&format!("tcp://{address}")]);
        let refused = connect(&host, address).await.err();
        assert_eq!(refused, Some(ErrorCode::ConnectionRefused));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_answers_is_given_up() {
        // The backlog of a listener that nobody serves is full after a few connections.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let _listener = socket.listen(1).unwrap();
        let host = granted(&[&format!("tcp://{address}")]);
        let mut open = Vec::new();
        let error = loop {
            match connect(&host, address).await {
                Ok(streams) => open.push(streams),
                Err(error) => break error,
            }
        };
        assert_eq!(error, ErrorCode::Timeout);
    }

    #[tokio::test]
    async fn what_the_kernel_does_not_take_at_once_is_sent_even_after_the_guest() {
        let (listener, address) = listener().await;
        let host = granted(&[&format!("tcp://{address}")]);
        let (mut stream, streams) = {
            let (accepted, streams) = tokio::join!(listener.accept(), connect(&host, address));
            (accepted.unwrap().0, streams.unwrap())
        };
        // The peer reads nothing until the kernel's buffers are full.
        let (_, output) = streams;
        let mut written = 0;
        let full = vec![b'x'; SEND_BYTES_MAX];
        while host.with(&output, |o| o.room().unwrap()).unwrap() > 0 {
            host.with(&output, |o| o.write(&full).unwrap()).unwrap();
            written += full.len();
        }
        drop(host);
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard.len(), written);
    }

    #[tokio::test]
    async fn one_read_gives_no_more_than_is_asked_for() {
        let (listener, address) = listener().await;
        let host = granted(&[&format!("tcp://{address}")]);
        let (accepted, streams) = tokio::join!(listener.accept(), connect(&host, address));
        let (mut stream, (input, _output)) = (accepted.unwrap().0, streams.unwrap());
        stream.write_all(b"hello").await.unwrap();
        drop(stream);
        let mut heard = Vec::new();
        loop {
            host.with(&input, |i| i.pollable()).unwrap().wait().await;
            match host.with(&input, |i| i.read(2.min(READ_BYTES_MAX))).unwrap() {
                Ok(bytes) => {
                    assert!(bytes.len() <= 2);
                    heard.extend(bytes);
                }
                Err(ended) => {
                    assert!(matches!(ended, crate::host::wasi::streams::Ended::Closed));
                    break;
                }
            }
        }
        assert_eq!(heard, b"hello");
    }

    #[tokio::test]
    async fn open_sockets_are_capped_for_the_whole_component() {
        let host = host();
        let one = || create(&host, (Family::V4,)).unwrap().0;
        let mut sockets: Vec<_> = (0..SOCKETS_MAX).map(|_| one().unwrap()).collect();
        assert_eq!(one().err(), Some(ErrorCode::NewSocketLimit));
        host.take(sockets.pop().unwrap()).unwrap();
        assert!(one().is_ok());
    }

    #[tokio::test]
    async fn a_socket_goes_through_its_states_in_order() {
        let (_listener, address) = listener().await;
        let host = granted(&[&format!("tcp://{address}")]);
        let socket = create(&host, (Family::V4,)).unwrap().0.unwrap();
        let finish = || finish_connect(&host, (again(&socket),)).unwrap().0.err();
        let start = || {
            let to = SocketAddress::from(address);
            start_connect(&host, (again(&socket), network(&host), to)).unwrap().0
        };
        assert_eq!(finish(), Some(ErrorCode::NotInProgress));
        assert_eq!(start(), Ok(()));
        assert_eq!(start(), Err(ErrorCode::ConcurrencyConflict));
        host.with(&socket, |s| s.pollable()).unwrap().wait().await;
        assert_eq!(finish(), None);
        assert_eq!(finish(), Some(ErrorCode::NotInProgress));
        assert_eq!(start(), Err(ErrorCode::InvalidState));
    }
}

mod datagrams {
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

    fn send(
        host: &Host,
        outgoing: &Resource<Outgoing>,
        datagrams: &[OutgoingDatagram],
    ) -> Result<u64, ErrorCode> {
        let permits = |address| host.permits(Protocol::Udp, address);
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
            assert_eq!(send(&host, &outgoing, &[datagram(b"ask", Some(address))]), Ok(1));
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
        let denied = send(&host, &outgoing, &[datagram(b"x", Some(other))]);
        assert_eq!(denied, Err(ErrorCode::AccessDenied));
        let nowhere = send(&host, &outgoing, &[datagram(b"x", None)]);
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
        assert_eq!(send(&host, &outgoing, &many), Ok(DATAGRAMS_PER_CALL_MAX as u64));
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
}

mod lookups {
    use super::*;
    use crate::host::wasi::sockets::lookup::resolve;
    use crate::host::wasi::sockets::network::IpAddress;
    use crate::manifest::PrivateNetworks;

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

    #[tokio::test]
    async fn addresses_that_the_operator_blocked_are_left_out() {
        let patterns = vec![HostPattern::parse("tcp://*:*").unwrap()];
        let blocked =
            BlockedNetworks { networks: Vec::new(), private: PrivateNetworks::Blocked };
        let (host, _) = host_with(Grant::default(), Hosts::new(patterns, None, blocked));
        assert_eq!(look_up(&host, "localhost").await, Err(ErrorCode::NameUnresolvable));
    }
}
