//! The cases by name, and what they share. A case makes one kind of fault, as often as it was asked to, and closes
//! the books.

mod acks;
mod broker;
mod chaos;
mod disk;
mod edges;
mod files;
mod guests;
mod large;
mod link;
mod names;
mod neighbours;
mod process;
mod syscalls;
mod tls;

use std::any::Any;

use pirn_tests::faults::scene::Scene;

use crate::table::Tally;

/// What a case is given.
pub(crate) struct Context {
    /// As often as the promise says.
    pub(crate) long: bool,
    pub(crate) seed: u64,
    pub(crate) minutes: Option<u64>,
}

impl Context {
    /// How often: quickly, or as the promise says.
    pub(crate) fn times(&self, quick: u64, long: u64) -> u64 {
        if self.long { long } else { quick }
    }
}

/// The sums, or why there are none.
pub(crate) type Outcome = Result<Tally, Unfinished>;

/// Why a case has no sums.
pub(crate) enum Unfinished {
    /// What it is made with is not here; says what to install or to allow. Nothing else skips a case.
    Missing(String),
    /// It could not go on.
    Broken(String),
}

impl From<String> for Unfinished {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

/// What a panic says.
pub(crate) fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_default()
}

/// A named case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    /// Measures, so that nothing must run beside it.
    pub(crate) alone: bool,
    pub(crate) run: fn(&Context) -> Outcome,
}

macro_rules! cases {
    ($($module:ident { $($name:ident $says:literal $($alone:literal)?,)* })*) => {
        /// All of them.
        pub(crate) const CASES: &[Case] = &[$($(Case {
            name: stringify!($name),
            says: $says,
            alone: false $(|| $alone)?,
            run: $module::$name,
        },)*)*];
    };
}

cases! {
    // It lasts longest, so it begins first.
    chaos {
        chaos "all of it mixed, by seed",
    }
    broker {
        broker_killed "the broker ends with -9 while messages and acknowledgements are under way",
        broker_killed_at_qos_2 "the same with exactly-once messages",
        broker_takes_no_publishes "what guests publish is not taken for a while, then the runner ends with -9",
        session_lost "the broker forgets the session",
        retained_messages "thousands of retained messages, and a reconnect after them",
        qos_0_flood "a flood that nobody promised anything, beside messages at QoS 1",
        client_id_taken_over "somebody else connects with the runner's client id",
        subscription_refused "one of two subscriptions is refused, and granted at the next connection",
        login_refused_then_granted "CONNACK says 5 for a while",
        second_broker_dies "the broker that a guest publishes to, which is not the app's, ends with -9",
    }
    acks {
        acks_reordered "PUBACKs come in the other order",
        acks_twice "each PUBACK comes twice",
        acks_of_unknown "PUBACKs come for packets that never were",
        acks_none_then_cut "no PUBACK comes, then the connection is cut",
    }
    link {
        half_open "the wire carries nothing any more and stays open",
        half_open_full "the same towards the broker only, until the send buffers are full",
        wire_cut "the wire is cut after any number of bytes",
        wire_slow "the wire is slow and narrow",
        malformed_packets "the broker says what is no MQTT",
        ten_fold_overload "messages come ten times faster than they can be handled, then stop",
    }
    names {
        names_fail_hang_and_rebind "the name server fails, says nothing, leads to a blocked address",
    }
    large {
        payload_over_limits "65 KiB, 1.2 MB, 20 MB and 256 MB, each with 30 messages behind it",
        announced_256_mb "256 MB are announced and do not come",
    }
    guests {
        guest_loops "a neighbour loops for ever" true,
        guest_eats_memory "a neighbour allocates for ever" true,
        guest_overflows_stack "a neighbour calls itself for ever" true,
        guest_leaks_handles "a neighbour hoards handles" true,
        guest_calls_host "a neighbour makes a million host calls" true,
        guest_waits "a neighbour waits in a host call" true,
        guest_floods_log "a neighbour prints for ever" true,
    }
    neighbours {
        failing_beside_healthy "thousands of messages that one component refuses, beside another's",
        poison_message "a message that ends the whole process, again and again",
        ticks_while_broker_away "a timer's publishes while the broker is away, then kill -9",
        artifact_rewritten "a .cwasm is written over in place while it runs",
    }
    edges {
        edges_while_broker_away "a button is pressed while the broker is away, then kill -9",
    }
    process {
        runner_killed "pirnd ends with -9 at random, while it publishes and sets key-values",
        sigterm_in_invocation "SIGTERM while a component runs",
        sigterm_in_flight "SIGTERM while messages are under way: nothing that is done is done again",
        sigterm_in_connect "SIGTERM while a broker does not answer",
        memory_pressure "a memory limit in which the runner just fits",
        descriptors_exhausted "no descriptor is left when the connection breaks",
    }
    syscalls {
        runner_ended_at_syscalls "pirnd ends with -9 at system calls of a short run",
        fsync_fails_once "one fsync fails",
        fsync_takes_two_seconds "each fsync takes two seconds",
    }
    disk {
        disk_full "the state folder's file system is full, then has room",
        disk_read_only "the state folder's file system is read-only, then is not",
    }
    files {
        database_truncated "half of the database is gone at start",
        database_zeroed "the database is zeros at start",
        database_bit_flipped "bits of the database are flipped at start",
        client_id_emptied "the file with the client id is empty at start",
    }
    tls {
        certificates_not_believed "certificates of another authority and from the future, then a good one",
    }
}

/// Closes a scene's books into a tally: drained, nothing lost, nothing stuck, and in order.
pub(crate) fn close(scene: &Scene, tally: &mut Tally) {
    if let Some(books) = tally.must(scene.drain()) {
        tally.add(&books);
        tally.problems.extend(books.problems());
        tally.problems.extend(scene.own_books());
    }
    last_words(scene, tally);
}

/// What the runner said last, if something is wrong.
fn last_words(scene: &Scene, tally: &mut Tally) {
    if tally.problems.is_empty() {
        return;
    }
    let printed = scene.printed();
    let lines: Vec<&str> = printed.lines().filter(|line| !line.is_empty()).collect();
    for line in &lines[lines.len().saturating_sub(3)..] {
        tally.note(format!("pirnd: {}", line.chars().take(200).collect::<String>()));
    }
}
