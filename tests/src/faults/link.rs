//! One connection of the recording broker: a thread that reads and one that writes, so that a client which does not
//! read keeps nobody else waiting. What comes in is recorded, under the one lock, before anything goes out.

use std::io::{BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::broker::{Link, Received, Shared, State};
use super::manners::{Acks, GATHER, LATE};
use super::packet::{self, Packet, Payload};
use super::session::{Message, Session};

/// Bytes of a payload that are recorded: numbers stand at its front.
const TEXT_BYTES: usize = 64;

/// Serves a connection that was accepted in this life of the broker.
pub(super) fn start(shared: &Arc<Shared>, stream: TcpStream, life: u64) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_nodelay(true);
    let (Ok(reading), Ok(writing)) = (stream.try_clone(), stream.try_clone()) else { return };
    let number = {
        let mut state = shared.lock();
        if state.life != life {
            return;
        }
        state.connects += 1;
        let number = state.connects as u64;
        let link = Link {
            stream,
            client: None,
            out: Vec::new(),
            gathered: Vec::new(),
            gathered_at: None,
            unanswered: 0,
        };
        state.links.insert(number, link);
        number
    };
    let (for_reader, for_writer) = (Arc::clone(shared), Arc::clone(shared));
    std::thread::spawn(move || read(&for_reader, reading, number));
    std::thread::spawn(move || write(&for_writer, writing, number));
}

fn read(shared: &Shared, stream: TcpStream, number: u64) {
    let mut stream = BufReader::new(stream);
    loop {
        while shared.lock().manners.deaf {
            if !shared.lock().links.contains_key(&number) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let Ok(packet) = packet::read(&mut stream) else { break };
        let mut state = shared.lock();
        let goes_on = state.links.contains_key(&number) && state.take(number, packet);
        drop(state);
        shared.changed.notify_all();
        if !goes_on {
            break;
        }
    }
    shared.lock().end(number);
    shared.changed.notify_all();
}

fn write(shared: &Shared, mut stream: TcpStream, number: u64) {
    loop {
        let mut state = shared.lock();
        let pieces = loop {
            let Some(link) = state.links.get_mut(&number) else { return };
            if !link.out.is_empty() {
                break std::mem::take(&mut link.out);
            }
            let turn = Duration::from_millis(50);
            let woken = shared.changed.wait_timeout(state, turn);
            state = woken.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        };
        drop(state);
        for some in pieces.chunks(64) {
            let said = match some.iter().map(|piece| piece.len()).sum::<usize>() < 1 << 18 {
                true => stream.write_all(&some.concat()),
                false => some.iter().try_for_each(|piece| stream.write_all(piece)),
            };
            if said.is_err() {
                shared.lock().end(number);
                return;
            }
        }
    }
}

/// Sends acknowledgements that waited long enough for others.
pub(super) fn hand_out_gathered(shared: &Shared) {
    let mut state = shared.lock();
    let mut any = false;
    for link in state.links.values_mut() {
        if link.gathered_at.is_some_and(|since| since.elapsed() >= GATHER) {
            link.turn_round();
            any = true;
        }
    }
    drop(state);
    if any {
        shared.changed.notify_all();
    }
}

impl Link {
    fn say(&mut self, bytes: Vec<u8>) {
        self.out.push(bytes.into());
    }

    fn turn_round(&mut self) {
        self.gathered_at = None;
        let gathered = std::mem::take(&mut self.gathered);
        gathered.into_iter().rev().for_each(|ack| self.say(ack));
    }

    /// An acknowledgement of a publish; whether the connection is to stay.
    fn acknowledge(&mut self, manners: &mut Acks, kind: u8, id: u16) -> bool {
        let ack = packet::short(kind, id);
        match *manners {
            Acks::Prompt => self.say(ack),
            Acks::Twice => (0..2).for_each(|_| self.say(ack.clone())),
            Acks::Strange => {
                self.say(packet::short(kind, id ^ 0x4000));
                self.say(ack);
            }
            Acks::Reversed(many) => {
                self.gathered.push(ack);
                self.gathered_at.get_or_insert_with(Instant::now);
                if self.gathered.len() >= many {
                    self.turn_round();
                }
            }
            Acks::Late(many) => {
                self.unanswered += 1;
                match self.unanswered % many {
                    1 => {
                        self.gathered.push(ack);
                        self.gathered_at.get_or_insert_with(|| Instant::now() + LATE);
                    }
                    _ => self.say(ack),
                }
            }
            Acks::None => {}
            Acks::NoneThenCut(many) => {
                self.unanswered += 1;
                if self.unanswered >= many {
                    *manners = Acks::Prompt;
                    return false;
                }
            }
        }
        true
    }
}

impl State {
    fn end(&mut self, number: u64) {
        let Some(link) = self.links.remove(&number) else { return };
        let _ = link.stream.shutdown(Shutdown::Both);
        let client = link.client.unwrap_or_default();
        if self.sessions.get(&client).is_some_and(|session| session.clean) {
            self.forget(&client);
        }
    }

    /// Does what a packet asks for; whether the connection is to stay.
    fn take(&mut self, number: u64, packet: Packet) -> bool {
        match packet {
            Packet::Connect { level, client, clean } => self.connect(number, level, client, clean),
            Packet::Publish { qos, id, topic, payload, .. } => {
                self.record(number, qos, id, topic, &payload)
            }
            Packet::Subscribe(id, filters) => self.subscribe(number, id, &filters),
            Packet::Unsubscribe(id, filters) => {
                if let Some(session) = self.session(number) {
                    session.filters.retain(|(known, _)| !filters.contains(known));
                }
                self.say(number, packet::short(11, id))
            }
            Packet::Ping => self.say(number, vec![0xd0, 0]),
            Packet::Disconnect => false,
            Packet::PubRel(id) => {
                if let Some(session) = self.session(number) {
                    session.received.remove(&id);
                }
                self.say(number, packet::short(7, id))
            }
            Packet::PubAck(id) => self.with_session(number, |session| session.acknowledged(id)),
            Packet::PubComp(id) => self.with_session(number, |session| session.completed(id)),
            Packet::PubRec(id) => {
                self.with_session(number, |session| session.taken(id));
                self.say(number, packet::short(6, id))
            }
        }
    }

    fn session(&mut self, number: u64) -> Option<&mut Session> {
        let client = self.links.get(&number)?.client.as_ref()?;
        self.sessions.get_mut(client)
    }

    /// Acknowledgements make room in the window.
    fn with_session(&mut self, number: u64, change: impl FnOnce(&mut Session)) -> bool {
        let Some(session) = self.session(number) else { return false };
        change(session);
        self.flush();
        true
    }

    fn say(&mut self, number: u64, bytes: Vec<u8>) -> bool {
        self.links.get_mut(&number).map(|link| link.say(bytes)).is_some()
    }

    fn connect(&mut self, number: u64, level: u8, client: String, clean: bool) -> bool {
        if self.manners.silent {
            return true;
        }
        let code = if level == 4 { self.manners.connack } else { 1 };
        if code != 0 {
            return self.say(number, packet::connack(false, code));
        }
        let same = |link: &Link| link.client.as_deref() == Some(&client);
        let others: Vec<u64> =
            self.links.iter().filter(|(_, link)| same(link)).map(|(other, _)| *other).collect();
        others.into_iter().for_each(|other| self.end(other));
        if clean {
            self.forget(&client);
        }
        let present = self.sessions.contains_key(&client);
        let session = self.sessions.entry(client.clone()).or_insert_with(|| Session::new(clean));
        session.clean = clean;
        let again = session.again();
        self.say(number, packet::connack(present, 0));
        if let Some(link) = self.links.get_mut(&number) {
            link.client = Some(client);
            link.out.extend(again);
        }
        self.flush();
        true
    }

    fn subscribe(&mut self, number: u64, id: u16, filters: &[(String, u8)]) -> bool {
        let refused = self.manners.refused;
        let is_refused = |filter: &str| refused.is_some_and(|begin| filter.starts_with(begin));
        let granted = || filters.iter().filter(|(filter, _)| !is_refused(filter));
        let kept: Vec<Arc<Message>> =
            granted().flat_map(|(filter, _)| self.kept_for(filter)).collect();
        let code = |(filter, qos): &(String, u8)| if is_refused(filter) { 0x80 } else { *qos };
        let codes: Vec<u8> = filters.iter().map(code).collect();
        let Some(session) = self.session(number) else { return false };
        granted().for_each(|(filter, qos)| session.subscribe(filter, *qos));
        kept.iter().for_each(|message| session.push(message, 2));
        self.say(number, packet::suback(id, &codes));
        self.flush();
        true
    }

    /// Writes a publish down, then acknowledges it.
    fn record(&mut self, number: u64, qos: u8, id: u16, topic: String, payload: &[u8]) -> bool {
        if self.manners.discards {
            return self.links.contains_key(&number);
        }
        let known =
            qos == 2 && self.session(number).is_some_and(|session| !session.received.insert(id));
        if !known {
            let head = &payload[..payload.len().min(TEXT_BYTES)];
            let text = String::from_utf8_lossy(head).into_owned();
            self.record.push(Received { topic: topic.clone(), text, qos, at: Instant::now() });
            let serial = u64::MAX;
            let payload = Payload { head: payload.into(), zeros: 0 };
            let message = Message { serial, topic, payload, qos, retained: false };
            self.route(&Arc::new(message));
        }
        if qos == 0 {
            return true;
        }
        let kind = if qos == 1 { 4 } else { 5 };
        let (Some(link), manners) = (self.links.get_mut(&number), &mut self.manners.acks) else {
            return false;
        };
        link.acknowledge(manners, kind, id)
    }
}
