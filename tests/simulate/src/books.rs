//! The books: what was promised, and whether it holds. They know what the broker saw, what is on the disk and what
//! components were told; of how the runner works they know nothing.

use std::collections::BTreeMap;

use crate::disk::Tables;

/// A publish.
#[derive(Clone, Debug)]
struct Out {
    component: usize,
    topic: usize,
    arrived: bool,
    refused: bool,
    promised: bool,
    /// One that was accepted after it has arrived before it.
    overtaken: bool,
}

/// A run of a component.
#[derive(Clone, Debug, Default)]
struct Run {
    outs: Vec<u32>,
    done: bool,
}

/// What happened outside.
#[derive(Clone, Debug)]
struct Event {
    /// For these components.
    to: Vec<usize>,
    /// Nobody sends it again.
    local: bool,
    /// It promised to be handled at all.
    kept: bool,
    acked: bool,
    /// The runner took it over in this life.
    life: Option<u32>,
    /// It was on the disk once, for these components.
    rows: Vec<usize>,
    runs: Vec<(usize, Run)>,
}

/// The books.
#[derive(Debug, Default)]
pub struct Books {
    outs: Vec<Out>,
    events: Vec<Event>,
    /// Not arrived yet, in the order in which they were accepted, by component and topic.
    order: BTreeMap<(usize, usize), Vec<u32>>,
    /// Given up by policy, as the outbox counted it.
    pub given_up: u64,
    pub problem: Option<String>,
}

impl Books {
    fn fail(&mut self, why: String) {
        self.problem.get_or_insert(why);
    }

    /// Something happened; its number.
    pub fn event(&mut self, to: Vec<usize>, local: bool, kept: bool) -> usize {
        let (acked, life, rows, runs) = (false, None, Vec::new(), Vec::new());
        self.events.push(Event { to, local, kept, acked, life, rows, runs });
        self.events.len() - 1
    }

    /// The runner has taken a local event over.
    pub fn taken(&mut self, event: usize, life: u32) {
        self.events[event].life = Some(life);
    }

    /// A run begins; its number.
    pub fn run(&mut self, event: usize, component: usize) -> usize {
        self.events[event].runs.push((component, Run::default()));
        self.events[event].runs.len() - 1
    }

    /// It ended well.
    pub fn done(&mut self, event: usize, run: usize) {
        self.events[event].runs[run].1.done = true;
    }

    /// A component publishes: not accepted yet.
    pub fn offer(&mut self, component: usize, topic: usize) -> u32 {
        let (arrived, refused, promised, overtaken) = (false, false, false, false);
        self.outs.push(Out { component, topic, arrived, refused, promised, overtaken });
        self.outs.len() as u32 - 1
    }

    /// A publish was accepted, for a run.
    pub fn accepted(&mut self, out: u32, event: usize, run: usize) {
        let Out { component, topic, .. } = self.outs[out as usize];
        self.order.entry((component, topic)).or_default().push(out);
        self.events[event].runs[run].1.outs.push(out);
    }

    /// It was not accepted after all.
    pub fn not_accepted(&mut self, out: u32, event: usize, run: usize) {
        let Out { component, topic, .. } = self.outs[out as usize];
        if let Some(order) = self.order.get_mut(&(component, topic)) {
            order.retain(|one| *one != out);
        }
        self.events[event].runs[run].1.outs.retain(|one| *one != out);
    }

    /// A component was told that a publish is safe at once.
    pub fn promised(&mut self, out: u32, tables: &Tables) {
        match self.is_safe(out, tables) {
            true => self.promise(out),
            // It may have given way to others, before this was told or after.
            false if self.given_up > 0 => {}
            false => self.fail(format!(
                "a component was told that publish {out} is safe; it is neither with the broker nor on the disk"
            )),
        }
    }

    /// It came to the broker.
    pub fn arrived(&mut self, out: u32) {
        let Some(known) = self.outs.get_mut(out as usize) else {
            return self.fail(format!("publish {out} arrived, and nobody made it"));
        };
        if known.arrived {
            return;
        }
        known.arrived = true;
        // What gave way to others has a row until that is deleted; if the process dies before, it is sent after all.
        if known.overtaken && self.given_up == 0 {
            let text = format!(
                "publish {out} arrived for the first time after one that was accepted later"
            );
            return self.fail(text);
        }
        let key = (known.component, known.topic);
        self.pass(key, out);
    }

    /// The broker refused it for good.
    pub fn refused(&mut self, out: u32) {
        self.outs[out as usize].refused = true;
    }

    /// Everything that was accepted before `out` and is not there can never arrive without breaking the order.
    fn pass(&mut self, key: (usize, usize), out: u32) {
        let Some(order) = self.order.get_mut(&key) else { return };
        let Some(at) = order.iter().position(|one| *one == out) else { return };
        for before in order.drain(..=at) {
            let before = &mut self.outs[before as usize];
            before.overtaken = !before.arrived && !before.refused;
        }
    }

    /// The broker saw an event acknowledged.
    pub fn acked(&mut self, event: usize, tables: &Tables) {
        self.events[event].acked = true;
        for component in self.events[event].to.clone() {
            if tables.has_event(event, component) {
                continue;
            }
            if let Err(why) = self.settle(event, component, tables) {
                self.fail(format!(
                    "event {event} is acknowledged, and for component {component} {why}"
                ));
            }
        }
    }

    /// An event's row was written.
    pub fn event_row(&mut self, event: usize, component: usize) {
        self.events[event].rows.push(component);
    }

    /// An event's row was deleted.
    pub fn event_row_gone(&mut self, event: usize, component: usize, tables: &Tables) {
        if !self.events[event].acked || tables.has_event(event, component) {
            return;
        }
        if let Err(why) = self.settle(event, component, tables) {
            self.fail(format!(
                "event {event} is acknowledged and its row is deleted, and for component {component} {why}"
            ));
        }
    }

    /// Whether it may be settled; then what was published for it is promised.
    fn settle(&mut self, event: usize, component: usize, tables: &Tables) -> Result<(), String> {
        let mut settled = tables.has_letter(event, component);
        let runs = self.events[event].runs.iter();
        let done: Vec<Run> = runs
            .filter(|(of, run)| *of == component && run.done)
            .map(|(_, run)| run.clone())
            .collect();
        let ever = !done.is_empty();
        for run in done {
            if run.outs.iter().all(|out| self.is_safe(*out, tables)) {
                run.outs.iter().for_each(|out| self.promise(*out));
                settled = true;
            }
        }
        // What was published may have given way to others.
        settled |= ever && self.given_up > 0;
        match (settled, ever) {
            (true, _) => Ok(()),
            (false, true) => Err("what it published is not safe".into()),
            (false, false) => Err("it was neither handled nor kept aside".into()),
        }
    }

    fn promise(&mut self, out: u32) {
        let known = &mut self.outs[out as usize];
        known.promised = true;
    }

    fn is_safe(&self, out: u32, tables: &Tables) -> bool {
        let known = &self.outs[out as usize];
        known.arrived || known.refused || tables.has_out(out)
    }

    /// Whether a component has had an event: handled or kept aside.
    pub fn is_handled(&self, event: usize, component: usize, tables: &Tables) -> bool {
        let runs = &self.events[event].runs;
        runs.iter().any(|(of, run)| *of == component && run.done)
            || tables.has_letter(event, component)
    }

    /// At the end, when everything has drained.
    pub fn close(&mut self, life: u32, tables: &Tables) {
        let missing = |(_, out): &(usize, &Out)| out.promised && !out.arrived && !out.refused;
        let missing: Vec<usize> =
            self.outs.iter().enumerate().filter(missing).map(|(number, _)| number).collect();
        if missing.len() as u64 > self.given_up {
            let text = format!(
                "{} publishes were promised and never arrived, {} were given up by policy; the first are {:?}",
                missing.len(),
                self.given_up,
                &missing[..missing.len().min(8)]
            );
            self.fail(text);
        }
        for event in 0..self.events.len() {
            let Event { local, kept, acked, life: taken, .. } = self.events[event];
            let promised = acked || local && kept && taken == Some(life);
            for component in self.events[event].to.clone() {
                let promised = promised || self.events[event].rows.contains(&component);
                if promised && !self.is_handled(event, component, tables) {
                    self.fail(format!(
                        "event {event} was neither handled by component {component} nor kept aside"
                    ));
                }
            }
        }
    }
}
