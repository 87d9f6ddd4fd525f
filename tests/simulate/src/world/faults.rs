//! What goes wrong: faults that begin and end, and the process that dies and starts.

use super::*;

impl World {
    pub(super) fn fault_begins(&mut self, number: usize) {
        let (_, fault, until) = self.plan.faults[number];
        self.say(|| format!("fault begins: {fault:?}"));
        match fault {
            Fault::Cut => self.cut(),
            Fault::Stall => self.link.stalled_until = self.link.stalled_until.max(until),
            Fault::Unreachable => {
                self.link.reachable = false;
                self.cut();
            }
            Fault::BrokerDies => {
                let forgets = self.rng.percent(60);
                self.cut();
                self.broker.die(forgets);
            }
            Fault::Mute => self.broker.mute = true,
            Fault::DiskFails => {
                self.disk.failing = true;
                self.disk.unreadable = self.rng.percent(50);
            }
            Fault::DiskSlow => self.disk.slow = true,
            Fault::Kill => self.die(false),
            Fault::PowerCut => self.die(true),
        }
    }

    pub(super) fn fault_ends(&mut self, number: usize) {
        match self.plan.faults[number].1 {
            Fault::Unreachable => self.link.reachable = true,
            Fault::BrokerDies => self.broker.up = true,
            Fault::Mute => self.broker.mute = false,
            Fault::DiskFails => self.disk.failing = false,
            Fault::DiskSlow => self.disk.slow = false,
            Fault::Cut | Fault::Stall | Fault::Kill | Fault::PowerCut => {}
        }
    }

    /// The connection breaks; both ends notice, each in its time.
    pub(super) fn cut(&mut self) {
        if let Some(connection) = self.broker.connection {
            self.at(self.now + self.link.last as u64 % 3, Happening::BrokerLost(connection));
        }
        if self.alive && self.runner.connection.is_some() {
            self.soon(Task::Lost);
        }
    }

    /// The process dies, now.
    pub fn die(&mut self, power: bool) {
        if !self.alive {
            return;
        }
        let there = self.rng.percent(50);
        self.say(|| {
            format!("the process dies; power cut: {power}; what is being written is there: {there}")
        });
        self.note_given_up();
        if self.runner.unanswered {
            // The file of what the broker holds cannot know that a CONNECT of this process may have made a new session.
            // That is a hole; here it is as if nothing had been written down.
            self.granted.clear();
        }
        self.alive = false;
        self.life += 1;
        self.disk.die(there);
        if power {
            self.disk.lose_power();
            self.marks.clear();
        }
        self.kernel.clear();
        self.kernel_dropped = 0;
        if let Some(connection) = self.broker.connection.filter(|_| !power) {
            let at = self.wire(false);
            self.at(at, Happening::BrokerLost(connection));
        }
        self.start_within(5 * SECOND);
    }

    pub(super) fn start(&mut self) {
        self.starts = false;
        if !self.alive {
            self.alive = true;
            self.runner = Runner::new(&self.plan, &self.granted);
            self.say(|| "the process starts".into());
            self.begin();
        }
    }
}
