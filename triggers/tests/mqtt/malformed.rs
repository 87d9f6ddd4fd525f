//! Every kind of packet with every kind of flaw, by hand: each costs one connection at most, and what was
//! promised arrives on the next.

use super::support::{both, local, publish, subscribe};
use super::wire::{self, Packet};
use pirn_triggers::mqtt::{DeliveryError, Inbox, Options, Protocol, Qos, Session};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A packet with this first byte and body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first, u8::try_from(body.len()).unwrap()];
    packet.extend(body);
    packet
}

/// Flawed packets: about 500 for each version.
fn table(v5: bool) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    // Every type with every flags, empty, with an identifier, with one that is nought, with more.
    for first in 0..=255u8 {
        if first >> 4 != 3 {
            rows.push(packet(first, &[]));
            rows.push(packet(first, &[0, 0]));
        }
    }
    for first in [0x40, 0x50, 0x62, 0x70, 0x90, 0xb0] {
        for body in [&[][..], &[1], &[0, 0], &[0, 0, 0], &[0xff, 0xff, 0xff], &[0, 1, 0x80, 0xff]] {
            rows.push(packet(first, body));
        }
    }
    // PUBLISH: a QoS of 3, no topic, a topic cut off, no identifier, identifier 0, topics that are none.
    for flags in 0..16u8 {
        let first = 0x30 | flags;
        rows.push(packet(first, &[]));
        rows.push(packet(first, &[0]));
        rows.push(packet(first, &[0, 5, b'a']));
        rows.push(packet(first, &[0, 1, b'a']));
        rows.push(packet(first, &[0, 1, b'a', 0]));
        rows.push(packet(first, &[0, 1, b'a', 0, 0]));
        rows.push(packet(first, &[0, 0, 0, 9, 0]));
        rows.push(packet(first, &[0, 2, 0xc3, 0x28, 0, 9, 0, b'x']));
        rows.push(packet(first, &[0, 1, b'#', 0, 9, 0, b'x']));
        rows.push(packet(first, &[0, 1, 0, 0, 9, 0, b'x']));
        rows.push(packet(first, &[0xff, 0xff, b'a']));
        if v5 {
            // Properties: cut off, longer than the packet, a length that does not end.
            for properties in [&[5, 1][..], &[0xff, 0xff, 0xff, 0x7f], &[0xff; 5], &[2, 0x26, 0]] {
                rows.push(packet(first, &[&[0, 1, b'a', 0, 9], properties].concat()));
            }
        }
    }
    // Lengths: five bytes, four that never end, longer than what follows, huge.
    for first in [0x20, 0x30, 0x32, 0x40, 0x90, 0xd0, 0xe0] {
        rows.push(vec![first, 0xff, 0xff, 0xff, 0xff]);
        rows.push(vec![first, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        rows.push(vec![first, 0x80, 0x80, 0x80, 0x80, 0x00]);
        rows.push(vec![first, 0x7f, 0, 1]);
        rows.push(vec![first, 0xff, 0xff, 0xff, 0x7f, 0, 1, b'a']);
        rows.push(vec![first]);
    }
    // What only a client sends, and a second CONNACK.
    let connect = [0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'x'];
    rows.push(packet(0x10, &connect));
    rows.push(packet(0x82, &[0, 1, 0, 1, b'a', 1]));
    rows.push(packet(0xa2, &[0, 1, 0, 1, b'a']));
    rows.push(packet(0xc0, &[]));
    rows.push(wire::connack(v5, true, &[]));
    // CONNACK's properties, and answers with codes that nobody knows.
    rows.push(packet(0x20, &[0, 0, 9, 0x21, 0]));
    rows.push(packet(0x90, &[0, 9, 0, 3, 0x7f, 0xff]));
    rows.push(packet(0x90, &[0, 9]));
    rows.push(packet(0x40, &[0, 9, 0x77]));
    rows.push(packet(0x40, &[1, 0x40, 0x97]));
    rows.push(packet(0xe0, &[0xee, 0xff, 0xff]));
    rows
}

/// A connection that the client has opened, with its CONNECT read and answered.
async fn accept(listener: &TcpListener, v5: bool) -> TcpStream {
    let accepting = timeout(Duration::from_secs(600), listener.accept());
    let (mut stream, _) = accepting.await.expect("the session gave up").unwrap();
    let Packet::Connect { .. } = wire::read(&mut stream, v5).await.unwrap() else { panic!() };
    stream.write_all(&wire::connack(v5, true, &[])).await.unwrap();
    stream
}

async fn handle(mut inbox: Inbox) {
    while let Some(message) = inbox.next().await {
        message.delivery.settle();
    }
}

#[tokio::test(start_paused = true)]
async fn each_malformed_packet_costs_one_connection_at_most_and_nothing_promised() {
    both(async |protocol| {
        let v5 = protocol == Protocol::V5;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = Options::new(local(listener.local_addr().unwrap().port()), "device");
        options.protocol = protocol;
        subscribe(&mut options, &[("in/#", Qos::ExactlyOnce)]);
        options.kept = options.subscriptions.clone();
        let (session, inbox) = Session::start(options).unwrap();
        let handling = tokio::spawn(handle(inbox));
        let table = table(v5);
        assert!(table.len() >= 500, "{} rows", table.len());
        let mut receipts = Vec::new();
        for (number, row) in table.iter().enumerate() {
            let mut stream = accept(&listener, v5).await;
            let message = publish("out", &number.to_string(), Qos::AtLeastOnce);
            receipts.push(session.publish(message).await.unwrap());
            let _ = stream.write_all(row).await;
            // Whatever it makes of it: the connection ends here, seen from the broker.
            let mut sink = vec![0; 256 * 1024];
            let _ = timeout(Duration::from_millis(50), stream.read(&mut sink)).await;
            assert!(!handling.is_finished(), "{row:02x?}");
        }
        let mut stream = accept(&listener, v5).await;
        let answering = tokio::spawn(async move {
            while let Ok(packet) = wire::read(&mut stream, v5).await {
                let answer = match packet {
                    Packet::Publish(message) => wire::puback(message.id),
                    Packet::Subscribe { id, .. } => wire::suback(v5, id, &[2]),
                    Packet::Ping => wire::PINGRESP.to_vec(),
                    _ => continue,
                };
                let _ = stream.write_all(&answer).await;
            }
        });
        for (number, receipt) in receipts.into_iter().enumerate() {
            // Long: a clock that stands still for tests jumps to the next timer while bytes are on their way.
            let done = timeout(Duration::from_secs(3600), receipt).await;
            // One row is a sound PUBACK of MQTT 5 that refuses a message.
            let refused = v5 && matches!(done, Ok(Err(DeliveryError::Refused(_))));
            assert!(done == Ok(Ok(())) || refused, "message {number}: {done:?}");
        }
        session.stop(Duration::from_secs(1)).await;
        handling.await.unwrap();
        answering.abort();
    })
    .await;
}
