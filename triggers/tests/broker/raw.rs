//! Bare sockets: what well-behaved clients never send, and the caps.

use std::time::Duration;

use pirn_triggers::mqtt::broker::limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, Running};

const CONNECT: &[u8] = b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x00\x00\x02me";
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];

async fn read_exactly<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("in time").unwrap();
    bytes
}

async fn connect(broker: &Running, packet: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(broker.addr).await.unwrap();
    stream.write_all(packet).await.unwrap();
    stream
}

async fn connected(broker: &Running) -> TcpStream {
    let mut stream = connect(broker, CONNECT).await;
    assert_eq!(read_exactly(&mut stream).await, CONNACK);
    stream
}

/// Reads until the other side closes; what came before.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is a close too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("closed in time");
    bytes
}

#[tokio::test]
async fn who_does_not_begin_with_connect_is_hung_up_on() {
    let broker = Running::start().await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\xC0\x00", b"\x10\x02\x00\x00"] {
        assert_eq!(rest(connect(&broker, bytes).await).await, b"", "{bytes:?}");
    }
}

#[tokio::test]
async fn an_unknown_protocol_level_is_refused_with_the_code_for_it() {
    let broker = Running::start().await;
    let old = connect(&broker, b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x00\x00\x02me").await;
    assert_eq!(rest(old).await, [0x20, 2, 0, 1]);
    let new = connect(&broker, b"\x10\x0F\x00\x04MQTT\x06\x02\x00\x00\x00\x00\x02me").await;
    assert_eq!(rest(new).await, [0x20, 3, 0, 0x84, 0]);
}

#[tokio::test]
async fn an_empty_client_id_needs_a_clean_session() {
    let broker = Running::start().await;
    let persistent = connect(&broker, b"\x10\x0C\x00\x04MQTT\x04\x00\x00\x00\x00\x00").await;
    assert_eq!(rest(persistent).await, [0x20, 2, 0, 2]);
    let mut clean = connect(&broker, b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x00\x00\x00").await;
    assert_eq!(read_exactly(&mut clean).await, CONNACK);
}

#[tokio::test]
async fn silence_beyond_the_keep_alive_ends_the_connection() {
    let broker = Running::start().await;
    let mut stream = connect(&broker, b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x01\x00\x02me").await;
    assert_eq!(read_exactly(&mut stream).await, CONNACK);
    assert_eq!(rest(stream).await, b"");
    broker.told(&["Disconnected", "me", "KeepAlive"]).await;
}

#[tokio::test]
async fn a_packet_over_the_cap_ends_its_connection_and_no_other() {
    let broker = Running::start().await;
    let mut greedy = connected(&broker).await;
    greedy.write_all(b"\x30\xFF\xFF\xFF\x7F").await.unwrap();
    assert_eq!(rest(greedy).await, b"");
    broker.told(&["Disconnected", "me", "Misbehaved"]).await;
    connected(&broker).await;
}

#[tokio::test]
async fn a_repeated_qos_2_publish_is_handed_on_once() {
    let broker = Running::start().await;
    let mut stream = connected(&broker).await;
    stream.write_all(b"\x82\x06\x00\x01\x00\x01a\x00").await.unwrap();
    assert_eq!(read_exactly(&mut stream).await, [0x90, 3, 0, 1, 0]);
    let publish = b"\x34\x06\x00\x01a\x00\x09!";
    stream.write_all(publish).await.unwrap();
    stream.write_all(&[&[0x3C], &publish[1..]].concat()).await.unwrap();
    stream.write_all(b"\x62\x02\x00\x09\xC0\x00").await.unwrap();
    let (pubrec, message) = (&b"\x50\x02\x00\x09"[..], &b"\x30\x04\x00\x01a!"[..]);
    let got: [u8; 20] = read_exactly(&mut stream).await;
    let count = |part: &[u8]| got.windows(part.len()).filter(|window| *window == part).count();
    assert_eq!((count(pubrec), count(message)), (2, 1), "{got:02X?}");
    assert_eq!(count(b"\x70\x02\x00\x09\xD0\x00"), 1, "{got:02X?}");
}

#[tokio::test]
async fn a_malformed_filter_is_refused_and_the_others_are_granted() {
    let broker = Running::start().await;
    let mut stream = connected(&broker).await;
    stream.write_all(b"\x82\x0B\x00\x01\x00\x02a#\x00\x00\x01a\x02").await.unwrap();
    assert_eq!(read_exactly(&mut stream).await, [0x90, 4, 0, 1, 0x80, 2]);
}

#[tokio::test]
async fn a_full_queue_drops_the_newest_and_says_so() {
    let broker = Running::start().await;
    let mut sleeper = connect(&broker, b"\x10\x0E\x00\x04MQTT\x04\x00\x00\x00\x00\x02zz").await;
    assert_eq!(read_exactly(&mut sleeper).await, CONNACK);
    sleeper.write_all(b"\x82\x06\x00\x01\x00\x01a\x01").await.unwrap();
    assert_eq!(read_exactly(&mut sleeper).await, [0x90, 3, 0, 1, 1]);
    drop(sleeper);
    broker.told(&["Disconnected", "zz"]).await;
    let mut publisher = connected(&broker).await;
    for _ in 0..=limits::QUEUE_MESSAGES_MAX {
        publisher.write_all(b"\x32\x06\x00\x01a\x00\x01!").await.unwrap();
        assert_eq!(read_exactly(&mut publisher).await, [0x40, 2, 0, 1]);
    }
    broker.told(&["Dropped", "zz", "QueueFull"]).await;
}

#[tokio::test]
async fn connections_and_sessions_are_counted() {
    let broker = Running::start().await;
    let mut crowd = Vec::new();
    for number in 0..limits::CONNECTIONS_MAX {
        let packet = format!("\x10\x0E\x00\x04MQTT\x04\x00\x00\x00\x00\x02{number:02}");
        let mut stream = connect(&broker, packet.as_bytes()).await;
        assert_eq!(read_exactly(&mut stream).await, CONNACK);
        crowd.push(stream);
    }
    assert_eq!(rest(connect(&broker, CONNECT).await).await, b"");
    broker.told(&["TurnedAway"]).await;

    drop(crowd.pop());
    broker.told(&["Disconnected"]).await;
    let refused = connect(&broker, CONNECT).await;
    assert_eq!(rest(refused).await, [0x20, 2, 0, 3], "the session of the one who left is kept");
}

/// Publishes 64 KiB to topic `a`, again and again.
async fn flood(stream: &mut TcpStream) {
    let packet = [&b"\x30\x83\x80\x04\x00\x01a"[..], &[b'x'; 65_536]].concat();
    while stream.write_all(&packet).await.is_ok() {}
}

async fn is_served(broker: &Running) {
    let pinging = b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x00\x00\x02ok\xC0\x00";
    let mut stream = connect(broker, pinging).await;
    assert_eq!(read_exactly(&mut stream).await, [0x20, 2, 0, 0, 0xD0, 0]);
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_messages_and_nobody_else_does() {
    let broker = Running::start().await;
    let mut deaf = connect(&broker, b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x00\x00\x02df").await;
    deaf.write_all(b"\x82\x06\x00\x01\x00\x01a\x00").await.unwrap();
    broker.told(&["Subscribed"]).await;
    let mut loud = connected(&broker).await;
    let neighbour = async {
        broker.told(&["Dropped", "df", "QueueFull"]).await;
        is_served(&broker).await;
    };
    tokio::select! {
        () = flood(&mut loud) => panic!("the publisher must stay connected"),
        () = neighbour => {}
    }
}

#[tokio::test]
async fn a_client_that_floods_itself_without_reading_stops_only_itself() {
    let broker = Running::start().await;
    let mut deaf = connected(&broker).await;
    deaf.write_all(b"\x82\x06\x00\x01\x00\x01a\x00").await.unwrap();
    let stuck = timeout(Duration::from_secs(1), flood(&mut deaf)).await;
    assert!(stuck.is_err(), "it must stay connected");
    is_served(&broker).await;
    assert!(!broker.events.lock().unwrap().iter().any(|e| e.contains("Dropped")));
}
