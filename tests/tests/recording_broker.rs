//! The fault battery's own instruments, held against a client that is not ours: a broker that forgets what it
//! recorded, or books that see no loss, would let everything pass.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use pirn_tests::PATIENCE;
use pirn_tests::faults::books::{Books, accepted};
use pirn_tests::faults::broker::Broker;
use pirn_tests::faults::manners::Acks;
use pirn_tests::faults::packet::{self, Payload};
use pirn_tests::faults::proxy::Proxy;
use pirn_tests::peer::Peer;

fn books(broker: &Broker) -> Books {
    let look = broker.look();
    Books::close(&accepted(&look), &look, &look, &[], &[])
}

#[test]
fn the_books_find_what_a_client_acknowledges_and_drops() {
    let broker = Broker::start();
    let peer = Peer::subscribed(broker.port(), "in/#");
    for number in 0..30_u32 {
        broker.publish("in/a/pass", &number.to_string(), 1);
    }
    for number in 0..30_u32 {
        assert_eq!(peer.next(), ("in/a/pass".to_owned(), number.to_string()));
        // One of them leaves no trace.
        if number != 7 {
            peer.publish("out/a", number.to_string());
        }
    }
    assert!(broker.wait(PATIENCE, |look| look.pending_count() == 0 && look.record().len() == 29));
    let books = books(&broker);
    assert_eq!(books.problems(), ["1 acknowledged and gone: a 7"]);
    assert_eq!((books.accepted, books.delivered, books.duplicates), (30, 29, 0));
}

#[test]
fn the_books_find_what_comes_out_of_order_and_what_comes_twice() {
    let broker = Broker::start();
    let peer = Peer::subscribed(broker.port(), "elsewhere");
    for number in [1, 3, 2, 3_u32] {
        peer.publish("out/a", number.to_string());
    }
    assert!(broker.wait(PATIENCE, |look| look.record().len() == 4));
    let books = books(&broker);
    assert_eq!(books.problems(), ["1 out of order: a 2"]);
    assert_eq!(books.duplicates, 1);
}

#[test]
fn what_was_recorded_is_there_after_the_broker_s_end_and_what_was_not_acknowledged_is_sent_again() {
    let broker = Broker::start();
    let mut options = rumqttc::MqttOptions::new("kept", "127.0.0.1", broker.port());
    options.set_clean_session(false).set_manual_acks(true);
    let (client, mut connection) = rumqttc::Client::new(options, 100);
    client.subscribe("in/#", rumqttc::QoS::AtLeastOnce).unwrap();
    client.publish("out/a", rumqttc::QoS::AtLeastOnce, false, "1").unwrap();
    let (mut resumed, mut killed, mut again) = (false, false, Vec::new());
    for event in connection.iter().take(200) {
        match event {
            Ok(rumqttc::Event::Incoming(rumqttc::Packet::ConnAck(ack))) => {
                resumed = ack.session_present;
            }
            Ok(rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_))) if !killed => {
                broker.publish("in/a/pass", "1", 1);
            }
            Ok(rumqttc::Event::Incoming(rumqttc::Packet::Publish(_))) if !killed => {
                killed = true;
                broker.kill();
                broker.restart();
            }
            Ok(rumqttc::Event::Incoming(rumqttc::Packet::Publish(publish))) => {
                again.push((publish.dup, publish.payload));
                break;
            }
            Ok(_) | Err(_) => {}
        }
    }
    assert!(killed && resumed);
    assert_eq!(again.len(), 1);
    assert!(again[0].0, "it is sent again as what it is: a duplicate");
    assert_eq!(broker.look().record().len(), 1);
    assert_eq!(broker.look().pending_count(), 1);
}

/// What the broker says to three publishes at QoS 1, packet by packet.
fn acks_of_three(acks: Acks, packets: usize) -> Vec<u16> {
    let broker = Broker::start();
    broker.behave(|manners| manners.acks = acks);
    let mut stream = TcpStream::connect(("127.0.0.1", broker.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&packet::connect("raw")).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    let publish = |id: u16| {
        let payload = Payload { head: id.to_string().as_bytes().into(), zeros: 0 };
        packet::publication("out/a", &payload, 1, id, 0).concat()
    };
    stream.write_all(&[1, 2, 3].map(publish).concat()).unwrap();
    let mut said = vec![0; 4 * packets];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(broker.look().record().len(), 3, "it is written down before it is acknowledged");
    said.chunks(4).map(|ack| u16::from_be_bytes([ack[2], ack[3]])).collect()
}

#[test]
fn acknowledgements_are_bent_as_was_asked() {
    assert_eq!(acks_of_three(Acks::Prompt, 3), [1, 2, 3]);
    assert_eq!(acks_of_three(Acks::Reversed(3), 3), [3, 2, 1]);
    assert_eq!(acks_of_three(Acks::Late(9), 3), [2, 3, 1]);
    assert_eq!(acks_of_three(Acks::Twice, 6), [1, 1, 2, 2, 3, 3]);
    assert_eq!(acks_of_three(Acks::Strange, 6), [0x4001, 1, 0x4002, 2, 0x4003, 3]);
}

#[test]
fn a_cut_wire_ends_a_client_s_connection_at_the_broker() {
    let broker = Broker::start();
    let proxy = Proxy::before(broker.port());
    let _peer = Peer::subscribed(proxy.port(), "in/#");
    assert!(broker.wait(PATIENCE, |look| look.is_subscribed()));
    proxy.cut();
    assert!(broker.wait(PATIENCE, |look| !look.is_subscribed()));
    assert!(!broker.wait(Duration::from_millis(50), |look| look.is_subscribed()));
}
