//! Connecting, and the two streams of a connection.

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
async fn a_name_that_means_a_blocked_address_by_now_does_not_lead_there() {
    // What a name is made to mean between look-up and connecting makes no difference: a guest connects to an
    // address, and that very address is asked about when it does.
    let (listener, address) = listener().await;
    let patterns = vec![HostPattern::parse("*://*:*").unwrap()];
    let private = crate::files::manifest::PrivateNetworks::Blocked;
    let blocked = BlockedNetworks { networks: Vec::new(), private };
    let (host, _) = host_with(Grant::default(), Hosts::new(patterns, None, blocked));
    assert_eq!(connect(&host, address).await.err(), Some(ErrorCode::AccessDenied));
    let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), address.port());
    assert_eq!(connect(&host, mapped).await.err(), Some(ErrorCode::InvalidArgument));
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
