//! The MQTT session against a peer that sends damaged packets: no panic (in a release it would end
//! the whole runner), no endless loop, and the session goes on with the next connection.

use super::support::{both, local, subscribe};
use super::wire::{self, Publish};
use pirn_triggers::mqtt::{Options, Protocol, Qos, Session};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// A sound packet of any kind that a broker may send.
fn packet(random: &mut Random, v5: bool) -> Vec<u8> {
    let id = random.below(70) as u16;
    let message = Publish {
        topic: "in/a".into(),
        payload: vec![b'x'; random.below(200)],
        qos: random.below(3) as u8,
        retain: random.below(2) == 1,
        dup: random.below(2) == 1,
        id,
    };
    match random.below(10) {
        0 => wire::connack(v5, true, &[0x21, 0, 9, 0x13, 0, 30, 0x27, 0, 1, 0, 0]),
        1 => wire::suback(v5, id, &[0, 1, 2, 0x80]),
        2 => wire::puback(id),
        3 => wire::pubrec(id),
        4 => wire::pubrel(id),
        5 => wire::pubcomp(id),
        6 => wire::PINGRESP.to_vec(),
        7 => wire::refusal(0x40, id, 0x87),
        _ => wire::publish(v5, &message),
    }
}

/// Damages a few bytes, or the length.
fn damage(random: &mut Random, mut packet: Vec<u8>) -> Vec<u8> {
    for _ in 0..random.below(4) {
        let at = random.below(packet.len());
        packet[at] = random.next() as u8;
    }
    if random.below(4) == 0 {
        packet.truncate(1 + random.below(packet.len()));
    }
    packet
}

#[tokio::test(start_paused = true)]
async fn damaged_packets_cost_the_connection_at_most() {
    both(async |protocol| {
        let v5 = protocol == Protocol::V5;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = Options::new(local(listener.local_addr().unwrap().port()), "device");
        options.protocol = protocol;
        subscribe(&mut options, &[("in/#", Qos::ExactlyOnce)]);
        let (session, mut inbox) = Session::start(options).unwrap();
        let taking = tokio::spawn(async move {
            while let Some(message) = inbox.next().await {
                message.delivery.settle();
            }
        });
        let seed = std::env::var("GARBAGE_SEED").map_or(7, |seed| seed.parse().unwrap());
        let mut random = Random(seed);
        let runs = std::env::var("GARBAGE_RUNS").map_or(400, |runs| runs.parse().unwrap());
        for _ in 0..runs {
            let accepting = tokio::time::timeout(Duration::from_secs(600), listener.accept());
            let (mut stream, _) = accepting.await.expect("the session gave up").unwrap();
            let mut sink = vec![0; 64 * 1024];
            let _ = stream.read(&mut sink).await;
            let mut bytes = wire::connack(v5, random.below(2) == 1, &[]);
            if random.below(8) == 0 {
                bytes = damage(&mut random, bytes);
            }
            for _ in 0..1 + random.below(12) {
                let packet = packet(&mut random, v5);
                bytes.extend(match random.below(3) {
                    0 => damage(&mut random, packet),
                    _ => packet,
                });
            }
            let _ = stream.write_all(&bytes).await;
            let _ = stream.read(&mut sink).await;
            assert!(!taking.is_finished());
        }
        session.stop(Duration::from_secs(1)).await;
        taking.await.unwrap();
    })
    .await;
}
