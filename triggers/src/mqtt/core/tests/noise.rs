//! Streams of packets with their bytes damaged, from a seed, through reader and core: no panic, no memory
//! beyond what is accepted, and everything promised arrives once a sound broker answers.
//!
//! `NOISE_STREAMS=1000000` for a long run, `NOISE_SEED` for another beginning; a failure names its seed.

use super::*;
use crate::mqtt::codec::{self, Reader};
use crate::mqtt::options::Persistence;
use bytes::BytesMut;

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

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    match body.len() {
        short @ 0..128 => packet.push(short as u8),
        long => packet.extend([(long % 128) as u8 | 0x80, (long / 128) as u8]),
    }
    packet.extend(body);
    packet
}

/// A sound packet of any kind that a broker may send.
fn packet(random: &mut Random, v5: bool) -> Vec<u8> {
    let [high, low] = (1 + random.below(12) as u16).to_be_bytes();
    let none = if v5 { &[0][..] } else { &[] };
    match random.below(12) {
        0 => framed(0x40, &[high, low]),
        1 => framed(0x50, &[high, low]),
        2 => framed(0x62, &[high, low]),
        3 => framed(0x70, &[high, low]),
        4 => framed(0x90, &[&[high, low], none, &[2]].concat()),
        5 => framed(0xb0, &[&[high, low], none, none].concat()),
        6 => vec![0xd0, 0],
        7 => framed(0x40, &[high, low, 0x87]),
        _ => {
            let (flags, payload) = (random.below(6) as u8 * 2, vec![b'x'; random.below(2000)]);
            let flags = if flags & 6 == 6 { flags & 9 } else { flags } | random.below(2) as u8;
            let id: &[u8] = if flags & 6 == 0 { &[] } else { &[high, low] };
            framed(0x30 | flags, &[&[0, 4], &b"in/a"[..], id, none, &payload].concat())
        }
    }
}

fn damaged(random: &mut Random, mut packet: Vec<u8>) -> Vec<u8> {
    for _ in 0..random.below(4) {
        let at = random.below(packet.len());
        packet[at] = random.next() as u8;
    }
    if random.chance(4) {
        packet.truncate(1 + random.below(packet.len()));
    }
    packet
}

fn connack(v5: bool, random: &mut Random) -> Vec<u8> {
    let present = random.below(2) as u8;
    match v5 {
        true => vec![0x20, 6, present, 0, 3, 0x21, 0, 1 + random.below(9) as u8],
        false => vec![0x20, 2, present, 0],
    }
}

fn stream(random: &mut Random, v5: bool) -> Vec<u8> {
    let mut bytes = connack(v5, random);
    if random.chance(8) {
        bytes = damaged(random, bytes);
    }
    for _ in 0..1 + random.below(12) {
        let packet = packet(random, v5);
        bytes.extend(if random.chance(3) { damaged(random, packet) } else { packet });
    }
    bytes
}

/// One session through several damaged connections, then a sound one.
struct Run {
    core: Core,
    options: Options,
    random: Random,
    now: Instant,
    keys: Vec<u64>,
    receipts: Vec<oneshot::Receiver<Result<(), DeliveryError>>>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let v5 = random.chance(2);
        let mut options = options(if v5 { Protocol::V5 } else { Protocol::V311 });
        options.payload_bytes_max = 1000;
        if random.chance(4) {
            options.persistence = Persistence::Clean;
        }
        let (core, now) = (Core::new(&options), Instant::now());
        Self { core, options, random, now, keys: Vec::new(), receipts: Vec::new() }
    }

    /// What a program does meanwhile.
    fn program(&mut self) {
        match self.random.below(6) {
            0 => {
                let (done, receipt) = oneshot::channel();
                let qos = [Qos::AtLeastOnce, Qos::ExactlyOnce][self.random.below(2)];
                let number = self.receipts.len().to_string();
                self.core
                    .publish(message(&number, qos), Some(Done::Receipt(done)), self.now)
                    .unwrap();
                self.receipts.push(receipt);
            }
            1 | 2 => self.keys.extend(self.core.take(self.now).map(|queued| queued.key)),
            3 if !self.keys.is_empty() => {
                let at = self.random.below(self.keys.len());
                self.core.settle(self.keys.swap_remove(at));
            }
            4 if self.random.chance(8) => self.keys.clear(),
            _ => self.now += Duration::from_millis(self.random.next() % 20_000),
        }
    }

    /// Everything that is to be sent goes through the codec.
    fn send(&mut self) -> Vec<Outgoing> {
        let sent = sent(&mut self.core, self.now);
        let mut out = BytesMut::new();
        for packet in &sent {
            codec::write(packet, &self.options, &mut out).unwrap();
        }
        sent
    }

    fn damaged_connection(&mut self) -> Result<(), Fault> {
        let bytes = stream(&mut self.random, self.options.protocol == Protocol::V5);
        let mut reader = Reader::new(&self.options);
        self.core.opened(self.now);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.program();
            self.send();
            let (piece, more) = rest.split_at(1 + self.random.below(rest.len()));
            rest = more;
            reader.room().extend_from_slice(piece);
            while self.core.reading()
                && let Some(packet) = reader.next()?
            {
                self.core.on_packet(packet, self.now)?;
            }
            self.core.on_time(self.now)?;
            assert!(reader.capacity() < 256 * 1024, "{} bytes held", reader.capacity());
        }
        Ok(())
    }

    /// A broker that answers as it should, until there is nothing left to say.
    fn sound_connection(&mut self) {
        self.core.opened(self.now);
        for _ in 0..10_000 {
            let said = self.send();
            if said.is_empty() {
                return;
            }
            for packet in said {
                let answer = match packet {
                    Outgoing::Connect => Incoming::Accepted(Accepted::plain(true)),
                    Outgoing::Publish { id, publish, .. } => {
                        let kind = match publish.qos {
                            Qos::ExactlyOnce => AckKind::Received,
                            _ => AckKind::Ack,
                        };
                        Incoming::Ack { kind, id, refused: None }
                    }
                    Outgoing::Ack { kind: AckKind::Release, id } => {
                        Incoming::Ack { kind: AckKind::Complete, id, refused: None }
                    }
                    Outgoing::Subscribe { id, filters, .. } => {
                        Incoming::Subscribed { id, codes: vec![2; filters.len()] }
                    }
                    Outgoing::Unsubscribe { id, .. } => Incoming::Unsubscribed { id },
                    _ => continue,
                };
                self.core.on_packet(answer, self.now).unwrap();
            }
        }
        panic!("it never comes to an end");
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn noise_costs_connections_only_and_what_was_promised_arrives() {
    let (first, streams) = (number("NOISE_SEED", 1), number("NOISE_STREAMS", 20_000));
    let (mut faults, mut done) = (0, 0);
    let connections = 8;
    for seed in first..first + streams / connections {
        let mut run = Run::new(seed);
        for _ in 0..connections {
            faults += u64::from(run.damaged_connection().is_err());
            run.core.lost();
        }
        run.sound_connection();
        for receipt in &mut run.receipts {
            let result = receipt.try_recv().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let refused = run.options.protocol == Protocol::V5
                && matches!(result, Err(DeliveryError::Refused(_)));
            assert!(result.is_ok() || refused, "seed {seed}: {result:?}");
            done += 1;
        }
    }
    assert!(faults * 4 > streams, "too kind: {faults} faults in {streams} streams");
    assert!(done * 4 > streams, "too quiet: {done} messages in {streams} streams");
}
