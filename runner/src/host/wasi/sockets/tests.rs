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
    use std::io::ErrorKind;

    use crate::host::wasi::streams::{Ended, InputStream, OutputStream};
    use crate::limits::wasi::{SEND_BYTES_MAX, SEND_TIMEOUT, SOCKET_BUFFER_BYTES_MAX};

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

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_for_too_long_breaks_the_connection() {
        let (listener, address) = listener().await;
        let host = granted(&[&format!("tcp://{address}")]);
        let (accepted, streams) = tokio::join!(listener.accept(), connect(&host, address));
        let (_silent, (_input, output)) = (accepted.unwrap(), streams.unwrap());
        let full = vec![b'x'; SEND_BYTES_MAX];
        while host.with(&output, |o| o.room().unwrap()).unwrap() > 0 {
            host.with(&output, |o| o.write(&full).unwrap()).unwrap();
        }
        let start = tokio::time::Instant::now();
        host.with(&output, |o| o.pollable()).unwrap().wait().await;
        assert!(start.elapsed() >= SEND_TIMEOUT);
        let broken = host.with(&output, |o| o.room()).unwrap();
        assert!(matches!(broken, Err(Ended::Failed(e)) if e.error.kind() == ErrorKind::TimedOut));
    }

    #[tokio::test]
    async fn a_guest_cannot_make_the_kernels_buffers_larger_than_the_cap() {
        let host = host();
        let socket = create(&host, (Family::V4,)).unwrap().0.unwrap();
        host.with(&socket, |s| {
            let fd = s.fd().unwrap();
            assert_eq!(options::set_send_buffer(fd, 0), Err(ErrorCode::InvalidArgument));
            options::set_send_buffer(fd, u64::MAX).unwrap();
            options::set_receive_buffer(fd, u64::MAX).unwrap();
            // Linux doubles what it is asked for, for its own bookkeeping.
            let max = 2 * SOCKET_BUFFER_BYTES_MAX as u64;
            assert_eq!(options::send_buffer(fd), Ok(max));
            assert_eq!(options::receive_buffer(fd), Ok(max));
        })
        .unwrap();
    }

    #[tokio::test]
    async fn options_are_kept_and_cut_to_what_the_kernel_takes() {
        let host = host();
        let socket = create(&host, (Family::V4,)).unwrap().0.unwrap();
        host.with(&socket, |s| {
            let fd = s.fd().unwrap();
            options::set_keep_alive(fd, true).unwrap();
            assert_eq!(options::keep_alive(fd), Ok(true));
            options::set_keep_alive_idle(fd, 1).unwrap();
            assert_eq!(options::keep_alive_idle(fd), Ok(1_000_000_000));
            options::set_keep_alive_interval(fd, u64::MAX).unwrap();
            assert_eq!(options::keep_alive_interval(fd), Ok(32_767_000_000_000));
            options::set_keep_alive_count(fd, u32::MAX).unwrap();
            assert_eq!(options::keep_alive_count(fd), Ok(127));
            options::set_hop_limit(fd, Family::V4, 3).unwrap();
            assert_eq!(options::hop_limit(fd, Family::V4), Ok(3));
            assert_eq!(options::set_hop_limit(fd, Family::V4, 0), Err(ErrorCode::InvalidArgument));
        })
        .unwrap();
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
            match host.with(&input, |i| i.read(2)).unwrap() {
                Ok(bytes) => {
                    assert!(bytes.len() <= 2);
                    heard.extend(bytes);
                }
                Err(ended) => {
                    assert!(matches!(ended, Ended::Closed));
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
    use std::sync::Arc;

    use crate::host::wasi::sockets::lookup::{permitted, resolve};
    use crate::host::wasi::sockets::network::IpAddress;
    use crate::limits::wasi::{LOOKUP_ADDRESSES_MAX, LOOKUP_TIMEOUT, LOOKUPS_MAX};
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
}
