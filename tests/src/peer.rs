//! An MQTT client that is not ours in any part but its packets: what the outside world does.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rumqttc::{Client, Event, MqttOptions, NetworkOptions, Packet, QoS};

use crate::PATIENCE;

/// A connected client.
pub struct Peer {
    client: Client,
    messages: Receiver<(String, String)>,
}

impl Peer {
    /// Connects and subscribes; returns when the broker has granted the subscription.
    ///
    /// # Panics
    /// If the broker does not answer.
    #[must_use]
    pub fn subscribed(port: u16, filter: &str) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let id = format!("peer-{}-{number}", std::process::id());
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(30));
        options.set_max_packet_size(1 << 24, 1 << 24);
        let (client, mut connection) = Client::new(options, 10_000);
        // What is measured is not how long a kernel holds back small packets.
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        connection.eventloop.set_network_options(network);
        let (sender, messages) = channel();
        let (granted, grant) = channel();
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::Publish(p))) => {
                        let payload = String::from_utf8_lossy(&p.payload).into_owned();
                        if sender.send((p.topic, payload)).is_err() {
                            return;
                        }
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(granted.send(())),
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        client.subscribe(filter, QoS::AtLeastOnce).expect("the client's queue has room");
        grant.recv_timeout(PATIENCE).expect("the broker grants the subscription");
        Self { client, messages }
    }

    /// Publishes at QoS 1.
    ///
    /// # Panics
    /// If the client is gone.
    pub fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        let sent = self.client.publish(topic, QoS::AtLeastOnce, false, payload);
        sent.expect("the client takes it");
    }

    /// Publishes at QoS 0.
    ///
    /// # Panics
    /// If the client is gone.
    pub fn publish_at_most_once(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        let sent = self.client.publish(topic, QoS::AtMostOnce, false, payload);
        sent.expect("the client takes it");
    }

    /// The next message: topic and payload as text.
    ///
    /// # Panics
    /// If none comes within [`PATIENCE`].
    #[must_use]
    pub fn next(&self) -> (String, String) {
        match self.messages.recv_timeout(PATIENCE) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("no message within {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the broker is gone"),
        }
    }

    /// A message if one comes within this time.
    #[must_use]
    pub fn next_within(&self, wait: Duration) -> Option<(String, String)> {
        self.messages.recv_timeout(wait).ok()
    }

    /// Messages until one that `last` recognises, that one included.
    ///
    /// # Panics
    /// If it does not come within [`PATIENCE`].
    pub fn until(&self, last: impl Fn(&str, &str) -> bool) -> Vec<(String, String)> {
        let begun = Instant::now();
        let mut seen = Vec::new();
        while begun.elapsed() < PATIENCE {
            let message = self.next();
            let is_last = last(&message.0, &message.1);
            seen.push(message);
            if is_last {
                return seen;
            }
        }
        panic!("the last message did not come; the others: {seen:?}");
    }
}
