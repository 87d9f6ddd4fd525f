//! A broker that keeps every rule it must and helps with nothing: it cuts connections at any moment,
//! acknowledges late and in any order, forgets sessions, and notes what the client does wrong.
//!
//! It records a message before it acknowledges it, so that "lost" has a meaning.

use super::hostile_log::Log;
use super::support::{local, subscribe};
use super::wire::{self, Packet, Publish};
use pirn_triggers::limits::mqtt::WINDOW;
use pirn_triggers::mqtt::{Options, Protocol, Qos};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// How it behaves. Chances are per thousand, drawn at each packet.
#[derive(Debug, Clone)]
pub struct Manner {
    pub seed: u64,
    /// Cuts before it has noted a packet, after, or after it has answered.
    pub cut: u64,
    /// Forgets the session when the client connects.
    pub forget: u64,
    /// Keeps an acknowledgement back, to send it later and out of order.
    pub late: u64,
    /// Filters that it refuses, with this code.
    pub refuse: Option<(String, u8)>,
    /// Messages that it has under way to the client at once.
    pub window: usize,
    /// Properties of its CONNACK (MQTT 5).
    pub properties: Vec<u8>,
    /// Refuses every publish with this code (MQTT 5).
    pub refuse_publish: Option<u8>,
    /// Closes each connection right after CONNACK.
    pub slam: bool,
    /// After SUBACK neither reads nor answers.
    pub freeze: bool,
    /// Does not release QoS 2 messages that the client has received.
    pub hold_releases: bool,
    /// How it acknowledges messages of QoS 1.
    pub acks: Acks,
    /// Its CONNACK, if it is to be another than the right one.
    pub greeting: Option<Vec<u8>>,
}

/// How a broker may acknowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    Prompt,
    /// Several together, the last first.
    Backwards,
    /// One at a time, the newest first: the oldest waits until nothing else is left.
    NewestFirst,
    Twice,
    /// With each a few for identifiers that the client has not used.
    WithStrays,
    Never,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            seed: 1,
            cut: 0,
            forget: 0,
            late: 0,
            refuse: None,
            window: 20,
            properties: Vec::new(),
            refuse_publish: None,
            slam: false,
            freeze: false,
            hold_releases: false,
            acks: Acks::Prompt,
            greeting: None,
        }
    }
}

/// The broker. Ends with the test's runtime.
#[derive(Clone)]
pub struct Hostile {
    pub port: u16,
    log: Arc<Mutex<Log>>,
    manner: Arc<Mutex<Manner>>,
    v5: bool,
    poke: Arc<Notify>,
    cut: Arc<Notify>,
}

impl Hostile {
    pub async fn start(protocol: Protocol, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let log = Log { random: manner.seed, ..Log::default() };
        let broker = Self {
            port: listener.local_addr().unwrap().port(),
            log: Arc::new(Mutex::new(log)),
            manner: Arc::new(Mutex::new(manner)),
            v5: protocol == Protocol::V5,
            poke: Arc::new(Notify::new()),
            cut: Arc::new(Notify::new()),
        };
        let accepting = broker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = accepting.serve(stream).await;
            }
        });
        broker
    }

    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    pub fn connects(&self) -> usize {
        self.log().connects.len()
    }

    /// The client has broken no rule.
    pub fn assert_content(&self) {
        assert_eq!(self.log().violations, Vec::<String>::new());
    }

    pub fn manner(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.manner.lock().unwrap());
    }

    /// Cuts the connection now.
    pub fn cut(&self) {
        self.cut.notify_one();
    }

    /// Has a message for the client.
    pub fn send(&self, topic: &str, payload: impl Into<Vec<u8>>, qos: u8) {
        let (topic, payload) = (topic.to_owned(), payload.into());
        let message = Publish { topic, payload, qos, retain: false, dup: false, id: 0 };
        self.log().queue.push_back(message);
        self.poke.notify_one();
    }

    /// Messages for the client that it has not acknowledged.
    pub fn owed(&self) -> usize {
        let log = self.log();
        log.queue.len() + log.flying.len()
    }

    /// Payloads received, as text.
    pub fn payloads(&self) -> Vec<String> {
        let text = |m: &Publish| String::from_utf8_lossy(&m.payload).into_owned();
        self.log().received.iter().map(text).collect()
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("it never came to this: {what}");
    }

    fn chance(&self, per_mille: impl Fn(&Manner) -> u64) -> bool {
        let chance = per_mille(&self.manner.lock().unwrap());
        self.draw() % 1000 < chance
    }

    fn draw(&self) -> u64 {
        let mut log = self.log();
        log.random = log.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = log.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One connection. `Err` and `Ok` both mean that it is over.
    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let (packets, mut inbox) = mpsc::channel(1);
        let v5 = self.v5;
        let reading = tokio::spawn(async move {
            let mut reader = BufReader::new(reader);
            while let Ok(packet) = wire::read(&mut reader, v5).await {
                if packets.send(packet).await.is_err() {
                    break;
                }
            }
        });
        let mut connection = Connection {
            broker: self,
            writer,
            late: Vec::new(),
            backwards: Vec::new(),
            subscribed: false,
            ids: BTreeSet::new(),
        };
        let result = connection.run(&mut inbox).await;
        reading.abort();
        result
    }
}

struct Connection<'a> {
    broker: &'a Hostile,
    writer: OwnedWriteHalf,
    late: Vec<Vec<u8>>,
    backwards: Vec<Vec<u8>>,
    subscribed: bool,
    /// Identifiers of the client that are in use on this connection.
    ids: BTreeSet<u16>,
}

type Cut = std::io::Error;

fn cut() -> Cut {
    Cut::other("cut")
}

impl Connection<'_> {
    async fn run(&mut self, inbox: &mut mpsc::Receiver<Packet>) -> Result<(), Cut> {
        let first = inbox.recv().await.ok_or_else(cut)?;
        self.accept(first).await?;
        loop {
            self.deliver().await?;
            tokio::select! {
                packet = inbox.recv() => {
                    let packet = packet.ok_or_else(cut)?;
                    self.dice()?;
                    self.handle(packet).await?;
                    self.dice()?;
                }
                () = self.broker.poke.notified() => {}
                () = self.broker.cut.notified() => return Err(cut()),
                () = tokio::time::sleep(Duration::from_millis(5)), if !self.backwards.is_empty() => {
                    let all = self.broker.manner.lock().unwrap().acks == Acks::Backwards;
                    let kept = if all { 0 } else { self.backwards.len() - 1 };
                    let mut together = self.backwards.split_off(kept);
                    together.reverse();
                    self.writer.write_all(&together.concat()).await?;
                }
                () = tokio::time::sleep(Duration::from_millis(20)), if !self.late.is_empty() => {
                    let at = self.broker.draw() as usize % self.late.len();
                    let late = self.late.swap_remove(at);
                    self.writer.write_all(&late).await?;
                }
            }
            let frozen = self.subscribed && self.broker.manner.lock().unwrap().freeze;
            if frozen {
                self.broker.cut.notified().await;
                return Err(cut());
            }
        }
    }

    fn dice(&self) -> Result<(), Cut> {
        match self.broker.chance(|m| m.cut) {
            true => Err(cut()),
            false => Ok(()),
        }
    }

    async fn accept(&mut self, packet: Packet) -> Result<(), Cut> {
        let Packet::Connect { clean, v5, .. } = packet else { panic!("{packet:?} before CONNECT") };
        assert_eq!(v5, self.broker.v5);
        let forget = clean || self.broker.chance(|m| m.forget);
        let (present, again) = {
            let mut log = self.broker.log();
            log.connects.push((Instant::now(), packet));
            let present = log.known && !forget;
            log.known = true;
            if !present {
                log.subscriptions.clear();
            }
            self.subscribed = !log.subscriptions.is_empty();
            (present, log.resume(present))
        };
        let Manner { properties, slam, greeting, .. } = self.broker.manner.lock().unwrap().clone();
        let bad = greeting.is_some();
        let greeting = greeting.unwrap_or_else(|| wire::connack(v5, present, &properties));
        self.writer.write_all(&greeting).await?;
        if slam || bad {
            return Err(cut());
        }
        for packet in again {
            let bytes = match packet {
                Packet::Publish(message) => wire::publish(v5, &message),
                Packet::PubRel(id) => wire::pubrel(id),
                _ => continue,
            };
            self.writer.write_all(&bytes).await?;
        }
        Ok(())
    }

    /// Sends what the window allows.
    async fn deliver(&mut self) -> Result<(), Cut> {
        let window = self.broker.manner.lock().unwrap().window;
        while self.subscribed {
            let Some(message) = self.broker.log().release(window) else {
                break;
            };
            self.writer.write_all(&wire::publish(self.broker.v5, &message)).await?;
            self.dice()?;
        }
        Ok(())
    }

    async fn handle(&mut self, packet: Packet) -> Result<(), Cut> {
        let v5 = self.broker.v5;
        match packet {
            Packet::Publish(message) => return self.publish(message).await,
            Packet::Subscribe { id, filters } => {
                let refuse = self.broker.manner.lock().unwrap().refuse.clone();
                let code = |(filter, options): &(String, u8)| match &refuse {
                    Some((refused, code)) if refused == filter => *code,
                    _ => *options & 3,
                };
                let codes: Vec<u8> = filters.iter().map(code).collect();
                self.broker.log().subscribe(filters, &codes);
                self.subscribed = true;
                self.writer.write_all(&wire::suback(v5, id, &codes)).await?;
            }
            Packet::Unsubscribe { id, filters } => {
                self.broker.log().unsubscribe(filters);
                self.writer.write_all(&wire::unsuback(v5, id)).await?;
            }
            Packet::PubRel(id) => {
                self.broker.log().incoming.remove(&id);
                self.ids.remove(&id);
                self.dice()?;
                self.answer(wire::pubcomp(id)).await?;
            }
            Packet::PubAck(id) | Packet::PubRec(id) => {
                let release =
                    self.broker.log().acknowledged(id, matches!(packet, Packet::PubRec(_)));
                self.dice()?;
                if release && !self.broker.manner.lock().unwrap().hold_releases {
                    self.writer.write_all(&wire::pubrel(id)).await?;
                }
            }
            Packet::PubComp(id) => {
                let mut log = self.broker.log();
                log.completions += 1;
                log.flying.remove(&id);
            }
            Packet::Ping => {
                self.broker.log().pings += 1;
                self.writer.write_all(wire::PINGRESP).await?;
            }
            Packet::Disconnect => {
                self.broker.log().disconnects += 1;
                return Err(cut());
            }
            Packet::Connect { .. } => self.violation("a second CONNECT"),
        }
        Ok(())
    }

    async fn publish(&mut self, message: Publish) -> Result<(), Cut> {
        if !self.subscribed {
            self.violation("PUBLISH before SUBSCRIBE");
        }
        let Publish { id, qos, .. } = message;
        if qos > 0 && !self.ids.insert(id) {
            self.violation("a packet identifier in use twice");
        }
        if self.ids.len() > WINDOW {
            self.violation("more messages under way than the window");
        }
        let refuse = self.broker.manner.lock().unwrap().refuse_publish;
        if let (Some(code), 1..) = (refuse, qos) {
            self.ids.remove(&id);
            let head = if qos == 1 { 0x40 } else { 0x50 };
            return self.answer(wire::refusal(head, id, code)).await;
        }
        self.broker.log().record(message);
        self.dice()?;
        match qos {
            0 => Ok(()),
            1 => {
                self.ids.remove(&id);
                self.acknowledge(id).await
            }
            _ => self.answer(wire::pubrec(id)).await,
        }
    }

    async fn acknowledge(&mut self, id: u16) -> Result<(), Cut> {
        let acks = self.broker.manner.lock().unwrap().acks;
        match acks {
            Acks::Prompt => self.answer(wire::puback(id)).await,
            Acks::Never => Ok(()),
            Acks::Backwards | Acks::NewestFirst => {
                self.backwards.push(wire::puback(id));
                Ok(())
            }
            Acks::Twice => {
                self.writer.write_all(&[wire::puback(id), wire::puback(id)].concat()).await
            }
            Acks::WithStrays => {
                let ids = [id, id ^ 0x4000, id ^ 0x2000];
                self.writer.write_all(&ids.map(wire::puback).concat()).await
            }
        }
    }

    async fn answer(&mut self, packet: Vec<u8>) -> Result<(), Cut> {
        match self.broker.chance(|m| m.late) {
            true => self.late.push(packet),
            false => self.writer.write_all(&packet).await?,
        }
        Ok(())
    }

    fn violation(&self, what: &str) {
        self.broker.log().violations.push(what.into());
    }
}

/// A session's options for such a broker.
pub fn options(broker: &Hostile, protocol: Protocol) -> Options {
    let mut options = Options::new(local(broker.port), "device");
    options.protocol = protocol;
    subscribe(&mut options, &[("in/#", Qos::ExactlyOnce)]);
    options
}
