//! Caps of the lanes: what waits for components, and for how long.

use std::time::Duration;

/// A run that is this long is none that others wait for: its app may hold three quarters of the places. An event is done
/// in a millisecond, or in the ten or hundred that a database or a broker takes.
pub const SLOW_FROM: Duration = Duration::from_millis(300);

/// Bytes of events that wait for all components together, in memory. Beyond it nothing more is taken from the
/// broker's session, whose own inbox is bounded too. It is within what every board file sets aside for the host.
pub const WAITING_BYTES_MAX: usize = 2 << 20;
/// What an event takes beside its source and payload: its place, its counters, its allocations.
pub const EVENT_OVERHEAD_BYTES: usize = 256;
/// QoS 0 events and ticks that wait for one component; beyond it they are dropped and counted.
pub const FLEETING_MAX: usize = 64;
/// Edges that wait for one component before the kernel has to keep the line's next ones: it counts what it then
/// has to drop.
pub const EDGES_WAITING_MAX: usize = 256;
/// A lane whose first event waited for so long, and in which too little ended meanwhile, is stuck: what waits in it
/// is written down, so that it does not fill the broker's window. Long enough for a component that is slow once,
/// short enough for its neighbours.
pub const PARK_AFTER: Duration = Duration::from_secs(2);
/// Events that must have ended in that time: a window of 20 messages is then renewed every two seconds.
pub const PARK_UNLESS_ENDED: u32 = 20;
/// A lane is stuck too if, at its present pace, more than so many of these periods of work wait in it.
pub const PARK_PERIODS_BEHIND: usize = 3;
/// A crowd of so many that waits all the time for [`PARK_AFTER`], beside other components, is written down too: it may
/// fill most of the smallest window that brokers have (10), and what the broker has behind it comes no sooner.
pub const CROWD: usize = 8;
/// Unless so many ended in that time: a component that is this quick is at work on a backlog that will be gone soon, and
/// writing that down would wear the card for nothing.
pub const CROWD_UNLESS_ENDED: u32 = 1_000;
/// Events written down in one transaction.
pub const PARKED_PER_WRITE_MAX: usize = 256;
/// Events that may be written down for one component. Each takes 24 bytes of memory.
pub const PARKED_MAX: usize = 1 << 16;
/// Their bytes.
pub const PARKED_BYTES_MAX: usize = 16 << 20;
/// Of those, how many stay in memory too, so that they need not be read again.
pub const PARKED_EVENTS_KEPT: usize = 16;
/// The rest after a first failure; it doubles with each further one.
pub const REST_FIRST: Duration = Duration::from_millis(100);
/// The longest rest of a component that keeps failing.
pub const REST_MAX: Duration = Duration::from_secs(30);
/// Time takes one strike away for each of these.
pub const STRIKE_FADES_AFTER: Duration = Duration::from_secs(30);
/// First pause before a dead letter that could not be stored is tried again; doubled each time.
pub const BURY_AGAIN_FIRST: Duration = Duration::from_millis(500);
/// The longest such pause: a card that was full is noticed within this.
pub const BURY_AGAIN_MAX: Duration = Duration::from_secs(30);
/// Dead letters that are taken at once to be tried again: their payloads are in memory then.
pub const LETTERS_TAKEN_MAX: u32 = 16;
/// How long `pirnd invoke` waits for a broker to acknowledge what its component published.
pub const INVOKE_GRACE: Duration = Duration::from_secs(10);
/// How long a stopping runner lets invocations end.
pub const STOP_GRACE: Duration = Duration::from_millis(2_000);
/// How long it then takes to make safe what is not.
pub const SAFE_GRACE: Duration = Duration::from_secs(1);
/// How long a stopping runner waits for its broker to take acknowledgements and the DISCONNECT. All of them
/// fit the five seconds in which `SIGTERM` must be obeyed.
pub const FAREWELL_GRACE: Duration = Duration::from_millis(800);
/// Invocations whose attempts are remembered if the process dies under them: more than any board runs at once.
pub const RUNNING_MAX: usize = 64;

/// How long its files may take to close after that: a slow card's fsync.
pub const STORE_CLOSE_GRACE: Duration = Duration::from_millis(400);

const _: () = assert!(
    STOP_GRACE.as_millis()
        + SAFE_GRACE.as_millis()
        + FAREWELL_GRACE.as_millis()
        + STORE_CLOSE_GRACE.as_millis()
        + super::host::LOOKUP_FAREWELL.as_millis()
        + super::host::LOG_FAREWELL.as_millis()
        < 5_000
);
const _: () = assert!(RUNNING_MAX >= super::INSTANCES_MAX as usize);
