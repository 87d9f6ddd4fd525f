//! The disk at work: one transaction after the other, each taking its time.

use super::*;

impl World {
    /// Asks the disk; the answer comes as a task.
    pub fn ask(&mut self, op: Op) -> u64 {
        let number = self.disk.ask(self.life, op);
        self.disk_works();
        number
    }

    pub(super) fn disk_works(&mut self) {
        if self.disk.busy || self.disk.queue.is_empty() {
            return;
        }
        self.disk.busy = true;
        let takes = match self.disk.slow {
            true => self.rng.between(200 * MILLI, 4 * SECOND),
            false => self.rng.between(100, 12 * MILLI),
        };
        self.at(self.now + takes, Happening::Disk(self.life));
    }

    pub(super) fn disk_finished(&mut self) {
        let gone = match self.disk.queue.front() {
            Some((_, _, Op::ForgetEvents(rows))) => {
                let kept = rows.iter().filter_map(|row| self.disk.tables.events.get(row));
                kept.map(|kept| (kept.event, kept.component)).collect()
            }
            _ => Vec::new(),
        };
        let Some((number, life, op, answer)) = self.disk.finish() else { return };
        self.say(|| format!("disk: {op:?} -> {answer:?}"));
        if let (Op::KeepEvents(list), Answer::Rows(_)) = (&op, &answer) {
            list.iter().for_each(|kept| self.books.event_row(kept.event, kept.component));
        }
        if matches!(answer, Answer::Done) {
            for (event, component) in gone {
                self.books.event_row_gone(event, component, &self.disk.tables);
            }
        }
        if self.disk.synced.is_some() && self.rng.percent(20) {
            self.disk.synced = Some(Box::new(self.disk.tables.clone()));
        }
        if self.alive && life == self.life {
            self.soon(Task::Answer(number, answer));
        }
        self.disk_works();
    }
}
