//! What the hostile broker keeps over its connections: what it has got, and what it owes.

use super::wire::{Packet, Publish};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tokio::time::Instant;

/// What it has seen, and what it has to say.
#[derive(Debug, Default)]
pub struct Log {
    /// Messages of the client, each as often as it counts as received.
    pub received: Vec<Publish>,
    /// Every PUBACK and PUBREC of the client.
    pub acks: Vec<u16>,
    pub connects: Vec<(Instant, Packet)>,
    pub subscribes: usize,
    /// What it holds of the client's subscriptions, with their options.
    pub subscriptions: BTreeMap<String, u8>,
    /// Every filter that was unsubscribed.
    pub unsubscribes: Vec<String>,
    pub pings: usize,
    pub disconnects: usize,
    pub completions: usize,
    /// What the client did that it must not.
    pub violations: Vec<String>,
    /// To the client, not sent yet.
    pub queue: VecDeque<Publish>,
    /// To the client, not acknowledged. `true`: PUBREC has come.
    pub flying: BTreeMap<u16, (Publish, bool)>,
    /// The order in which they were sent.
    pub order: Vec<u16>,
    /// QoS 2 identifiers of the client that are not released.
    pub incoming: BTreeSet<u16>,
    pub next_id: u16,
    pub random: u64,
    pub known: bool,
}

impl Log {
    /// A connection begins: what is to be sent again.
    pub fn resume(&mut self, present: bool) -> Vec<Packet> {
        let order = std::mem::take(&mut self.order);
        if !present {
            // As if the publishers sent once more what this broker has forgotten.
            self.incoming.clear();
            for id in order.iter().rev() {
                if let Some((message, received)) = self.flying.remove(id)
                    && !received
                {
                    self.queue.push_front(Publish { dup: false, id: 0, ..message });
                }
            }
            return Vec::new();
        }
        self.order = order.into_iter().filter(|id| self.flying.contains_key(id)).collect();
        let again = |id: &u16| match &self.flying[id] {
            (_, true) => Packet::PubRel(*id),
            (message, false) => Packet::Publish(Publish { dup: true, ..message.clone() }),
        };
        self.order.iter().map(again).collect()
    }

    pub fn subscribe(&mut self, filters: Vec<(String, u8)>, codes: &[u8]) {
        self.subscribes += 1;
        let granted = filters.into_iter().zip(codes).filter(|(_, code)| **code <= 2);
        self.subscriptions.extend(granted.map(|(filter, _)| filter));
    }

    pub fn unsubscribe(&mut self, filters: Vec<String>) {
        for filter in &filters {
            self.subscriptions.remove(filter);
        }
        self.unsubscribes.extend(filters);
    }

    /// The next message for the client, if the window allows.
    pub fn release(&mut self, window: usize) -> Option<Publish> {
        if self.queue.front()?.qos > 0 && self.flying.len() >= window {
            return None;
        }
        let mut message = self.queue.pop_front()?;
        if message.qos > 0 {
            while self.next_id == 0 || self.flying.contains_key(&self.next_id) {
                self.next_id = self.next_id.wrapping_add(1);
            }
            message.id = self.next_id;
            self.next_id = self.next_id.wrapping_add(1);
            self.order.push(message.id);
            self.flying.insert(message.id, (message.clone(), false));
        }
        Some(message)
    }

    /// PUBACK or PUBREC; whether PUBREL is due.
    pub fn acknowledged(&mut self, id: u16, received: bool) -> bool {
        self.acks.push(id);
        match self.flying.get_mut(&id) {
            None => {
                self.violations.push(format!("an acknowledgement of {id}, which is not under way"));
                false
            }
            Some((message, _)) if (message.qos == 2) != received => {
                self.violations.push(format!("the wrong acknowledgement of {id}"));
                false
            }
            Some((_, state)) if received => {
                *state = true;
                true
            }
            Some(_) => {
                self.flying.remove(&id);
                false
            }
        }
    }

    pub fn record(&mut self, message: Publish) {
        if message.qos < 2 || self.incoming.insert(message.id) {
            self.received.push(message);
        }
    }
}
