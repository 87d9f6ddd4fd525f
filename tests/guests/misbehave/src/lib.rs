//! Does on request what a component must not do. The payload's first word says what, the second how much.
//!
//! | payload | what it does |
//! |---|---|
//! | `echo TEXT` | nothing bad: answers TEXT on `answer/misbehave` |
//! | `loop` | never returns and never calls the host |
//! | `memory` | allocates until the allocator gives up, which aborts |
//! | `memory-politely` | grows its memory until refused, then answers with the pages it had |
//! | `stack` | calls itself for ever |
//! | `trap` | executes `unreachable` inside `the_guest_trips_over_its_own_feet` |
//! | `panic TEXT` | panics, which prints TEXT and aborts |
//! | `exit CODE` | ends itself through `wasi:cli/exit`, which tells only zero from the rest |
//! | `log-flood LINES` | prints that many lines (default: for ever) |
//! | `log-endless-line BYTES` | prints that many bytes without a newline (default: for ever) |
//! | `handles` | opens stores and keeps them, until refused; refuses the message with how many it got |
//! | `connections` | the same with connections to the broker |
//! | `wasi-handles` | the same with pollables of WASI, which can only trap |
//! | `huge-key BYTES` | passes a key of that many bytes to the host |
//! | `huge-value BYTES` | passes a value of that many bytes to the host |
//! | `refuse TEXT` | returns an error |
//! | `publish-flood COUNT` | publishes to `flood/out` at QoS 1 (default: for ever) |
//! | `sleep MILLISECONDS` | waits in a host call (default: for ever), then answers `slept` |
//! | `host-calls COUNT` | asks the host for the time that often (default: for ever) |
//! | `random-calls COUNT` | asks for 64 KiB of random bytes that often: dear calls, always ready |
//! | `allocations COUNT` | allocates and frees that many small pieces (default: for ever) |
//! | `kept` | answers with how many messages this instance had before: always 0 if instances are fresh |

mod bindings {
    wit_bindgen::generate!({
        path: "../../../runner/wit",
        world: "pirn:worlds/mqtt-app-sync",
        generate_all,
    });
}
mod hardware;
mod resources;

use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::{Error, Guest, Metadata, Payload};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static MESSAGES: AtomicU64 = AtomicU64::new(0);

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_message(message: Payload, _: Metadata) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&message);
        let (what, argument) = text.split_once(' ').unwrap_or((&text, ""));
        misbehave(what, argument).map_err(Error::Other)
    }
}

fn misbehave(what: &str, argument: &str) -> Result<(), String> {
    let amount = argument.parse().unwrap_or(u64::MAX);
    let before = MESSAGES.fetch_add(1, Ordering::Relaxed);
    match what {
        "echo" => answer(argument),
        "kept" => answer(&before.to_string()),
        "loop" => hardware::spin_for_ever(),
        "memory" => hardware::eat_memory(),
        "memory-politely" => answer(&hardware::grow_memory_until_refused().to_string()),
        "stack" => answer(&hardware::call_itself(0).to_string()),
        "trap" => hardware::the_guest_trips_over_its_own_feet(),
        "panic" => panic!("{argument}"),
        "exit" => std::process::exit(argument.parse().unwrap_or(1)),
        "log-flood" => log_flood(amount),
        "log-endless-line" => log_endless_line(amount),
        "handles" => resources::open_stores(),
        "connections" => resources::open_connections(),
        "wasi-handles" => resources::make_pollables(),
        "huge-key" => resources::pass_huge_key(amount),
        "huge-value" => resources::pass_huge_value(amount),
        "refuse" => Err(argument.to_owned()),
        "publish-flood" => publish_flood(amount),
        "host-calls" => resources::call_the_host(amount),
        "random-calls" => resources::ask_for_random_bytes(amount),
        "allocations" => answer(&hardware::allocate_small_pieces(amount).to_string()),
        "sleep" => {
            std::thread::sleep(Duration::from_millis(amount));
            answer("slept")
        }
        _ => Err(format!("misbehave does not know {what:?}")),
    }
}

fn log_flood(lines: u64) -> Result<(), String> {
    for n in 0..lines {
        println!("line {n} of a flood that nobody asked for");
    }
    answer("flooded")
}

fn log_endless_line(bytes: u64) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let part = [b'x'; 1000];
    for _ in 0..bytes.div_ceil(1000) {
        out.write_all(&part).and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    }
    answer("flooded")
}

fn publish_flood(count: u64) -> Result<(), String> {
    let connection = connect()?;
    for n in 0..count {
        publish(&connection, "flood/out", &n.to_string())?;
    }
    answer("flooded")
}

fn answer(text: &str) -> Result<(), String> {
    publish(&connect()?, "answer/misbehave", text)
}

fn connect() -> Result<Connection, String> {
    let broker = variables::get("broker").map_err(|error| format!("{error:?}"))?;
    Connection::open(&broker, "", "", 30).map_err(|error| format!("{error:?}"))
}

fn publish(connection: &Connection, topic: &str, text: &str) -> Result<(), String> {
    connection
        .publish(topic, text.as_bytes(), Qos::AtLeastOnce)
        .map_err(|error| format!("{error:?}"))
}
