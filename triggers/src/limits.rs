//! Every cap of this crate, each with its reason. Nothing here grows without one.

/// What the MQTT session may hold.
pub mod mqtt {
    use std::time::Duration;

    /// Messages that wait to be taken from the [`Inbox`](crate::mqtt::Inbox). MQTT 3.1.1 has no
    /// receive maximum, and mosquitto 2.0.11 (Debian 12, Raspberry Pi OS) raises its window of 20 by
    /// one with every acknowledgement, so a burst of 20 000 comes with 10 000 under way. What the
    /// bytes below do not stop, this does: more waits with the broker (QoS 1 and 2) or is dropped
    /// and counted (QoS 0).
    pub const INBOX_MESSAGES_MAX: usize = 16 * 1024;

    /// Places kept when the inbox is empty again after a burst; the rest of its memory goes back.
    pub const INBOX_KEPT: usize = 64;

    /// QoS 0 may fill only this much of the inbox, so that a flood of telemetry, which nobody
    /// promised to keep, cannot stop the messages that are promised.
    pub const INBOX_QOS0_MAX: usize = 128;

    /// Bytes that wait in the inbox, beside the one message that always fits: topics, payloads and
    /// [`MESSAGE_OVERHEAD_BYTES`]. It costs that much of the process's budget in the worst case.
    pub const INBOX_BYTES_MAX: usize = 3 * 1024 * 1024;

    /// What a message takes beside its topic and payload: its place in the inbox, its line in the
    /// ledger, two allocations.
    pub const MESSAGE_OVERHEAD_BYTES: usize = 192;

    /// Of those bytes, what QoS 0 may fill.
    pub const INBOX_QOS0_BYTES_MAX: usize = 256 * 1024;

    /// How many QoS 1 and 2 messages an MQTT 5 broker may have under way to us at once (receive
    /// maximum); fewer if they could overfill the inbox by their bytes. Such a broker then never
    /// has to be stopped.
    pub const RECEIVE_MAX: u16 = 32;

    /// Inbound QoS 1 and 2 messages that are not settled yet, queued or with the program.
    pub const UNSETTLED_MAX: usize = INBOX_MESSAGES_MAX + 2 * OUTBOUND_MESSAGES_MAX;

    /// A QoS 1 or 2 message that finds the inbox full waits this long for room. Not longer: the
    /// acknowledgement that a handler waits for, to make room, comes over the same connection.
    pub const ROOM_TIMEOUT: Duration = Duration::from_millis(250);

    /// Outbound messages accepted but not acknowledged. `publish` waits when it is full. Not a few:
    /// when the inbox is full nothing is read, acknowledgements neither, and handlers must be able to
    /// go on publishing to make room in it.
    pub const OUTBOUND_MESSAGES_MAX: usize = 4 * 1024;

    /// Places kept when nothing waits to be sent any more; the rest of their memory goes back.
    pub const OUTBOUND_KEPT: usize = WINDOW;

    /// Bytes of the same; one message larger than this still passes, alone.
    pub const OUTBOUND_BYTES_MAX: usize = 512 * 1024;

    /// Outbound QoS 1 and 2 messages on the wire at once. As many come again when a broker has forgotten
    /// its session; fewer make a link with a long way slow (64 at 100 ms are 640 messages a second).
    pub const WINDOW: usize = 64;

    /// Of those, QoS 2. mosquitto drops without a word what is beyond 20, and MQTT 3.1.1 has no way to
    /// be told.
    pub const WINDOW_QOS2: usize = 16;

    /// Packet identifiers of QoS 2 publishes, from 1. Few, because a process that goes on with the session of
    /// another releases them all at first; many times the window, so that an acknowledgement that comes late
    /// or twice is not taken for one of a later message.
    pub const QOS2_IDENTIFIERS: u16 = 16 * WINDOW_QOS2 as u16;

    /// Answers to what came that may wait to be sent (PUBCOMP, PUBREL); then nothing is read. A broker that
    /// asks without end and takes no answers would fill the memory with them.
    pub const REPLIES_MAX: usize = 1024;

    /// What is read at once: a burst of small messages in one system call.
    pub const READ_BYTES: usize = 16 * 1024;

    /// What is encoded before it is written. A packet that is begun is encoded whole, so that a payload at
    /// the limit comes on top.
    pub const WRITE_BYTES: usize = 16 * 1024;

    /// A buffer that has grown beyond this for a large message gives its memory back.
    pub const BUFFER_KEPT_BYTES: usize = 64 * 1024;

    /// The largest packet that is read of anything but a message.
    pub const CONTROL_BYTES_MAX: usize = 128 * 1024;

    /// What is kept of a message that is too large: enough to see what it was.
    pub const OVERSIZE_KEPT_BYTES: usize = 1024;

    /// Payload accepted unless the options say otherwise, both ways.
    pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

    /// The largest payload that the options may allow: beyond it, a message belongs in a file.
    pub const PAYLOAD_BYTES_CEILING: usize = 16 * 1024 * 1024;

    /// What a message may have beside its payload: a topic of at most 65 535 bytes, and as much
    /// again for MQTT 5 properties. With more it counts as too large, whatever its payload.
    pub const PACKET_OVERHEAD_BYTES_MAX: usize = 128 * 1024;

    /// An MQTT 5 broker is told no smaller packet limit than this: what is larger than we take and
    /// smaller than this comes, so that it can be said what it was.
    pub const PACKET_BYTES_FLOOR: usize = 1024 * 1024;

    /// Subscriptions of one session, which all apps of a process share: 5 000 with a few filters each. One takes
    /// up to 250 bytes of memory, so that this is 5 MiB. As many more may wait to be unsubscribed.
    pub const SUBSCRIPTIONS_MAX: usize = 20_000;

    /// Filters of one SUBSCRIBE or UNSUBSCRIBE. What one app has goes out at once, and what thousands have
    /// in a few dozen round trips, while a broker is not kept from all else by a packet of thousands.
    pub const SUBSCRIBE_FILTERS_MAX: usize = 256;

    /// Bytes of these filters; a longer one goes out alone.
    pub const SUBSCRIBE_BYTES_MAX: usize = WRITE_BYTES;

    /// Levels of a filter that stand in the tree of [`Filters`](crate::mqtt::Filters), which is walked and freed
    /// by recursion. Those with more (mosquitto takes 200, AWS IoT 8) are compared one by one.
    pub const FILTER_LEVELS_MAX: usize = 64;

    /// Longest topic or filter (section 1.5.3 of MQTT 3.1.1: a 16 bit length).
    pub const TOPIC_BYTES_MAX: usize = 65_535;

    /// Longest credentials, client id and path-like strings in the options.
    pub const NAME_BYTES_MAX: usize = 65_535;

    /// TCP connect, and again for the TLS handshake, and again for the broker's CONNACK.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// The broker's end of the connection after our DISCONNECT. A broker that answers at all does so
    /// within a round trip.
    pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(250);

    /// Of the time that stopping may take, what is kept for leaving in order when not everything is
    /// acknowledged: the last packets out, and the broker's end of the connection.
    pub const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);

    /// The broker's answer to a SUBSCRIBE or an UNSUBSCRIBE: until it comes, nothing else is asked.
    pub const SUBACK_TIMEOUT: Duration = Duration::from_secs(30);

    /// First pause before a refused subscription is tried again; doubled up to the second.
    pub const RESUBSCRIBE_FIRST: Duration = Duration::from_secs(60);

    /// Longest pause before a refused subscription is tried again.
    pub const RESUBSCRIBE_MAX: Duration = Duration::from_secs(30 * 60);

    /// Shortest keep-alive: below it, a link that is merely slow is taken for dead.
    pub const KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);

    /// Longest keep-alive: the field has 16 bits.
    pub const KEEP_ALIVE_MAX: Duration = Duration::from_secs(u16::MAX as u64);

    /// Keep-alive unless the options say otherwise.
    pub const KEEP_ALIVE: Duration = Duration::from_secs(60);

    /// Longest kept text of an error, for the state and the log.
    pub const ERROR_BYTES_MAX: usize = 512;

    const _: () = assert!(INBOX_QOS0_MAX < INBOX_MESSAGES_MAX);
    const _: () = assert!(INBOX_QOS0_BYTES_MAX < INBOX_BYTES_MAX);
    const _: () = assert!(RECEIVE_MAX as usize + INBOX_QOS0_MAX <= INBOX_MESSAGES_MAX);
    const _: () = assert!((RECEIVE_MAX as usize) < UNSETTLED_MAX);
    const _: () = assert!(WINDOW < OUTBOUND_MESSAGES_MAX);
    const _: () = assert!(WINDOW_QOS2 < WINDOW);
    const _: () = assert!(SUBSCRIBE_FILTERS_MAX < SUBSCRIPTIONS_MAX);
    const _: () = assert!(PACKET_OVERHEAD_BYTES_MAX >= TOPIC_BYTES_MAX + OVERSIZE_KEPT_BYTES);
    const _: () = assert!(DRAIN_TIMEOUT.as_millis() < LEAVE_TIMEOUT.as_millis());
    const _: () = assert!(PAYLOAD_BYTES_MAX <= PAYLOAD_BYTES_CEILING);
}

/// What connections to other machines may hold and take.
pub mod net {
    use std::time::Duration;

    /// Addresses tried for one name in one attempt.
    pub const ADDRESSES_MAX: usize = 4;

    /// Addresses of one name that are looked at, of which some may not be permitted.
    pub const ADDRESSES_SEEN_MAX: usize = 64;

    /// Looking a name up. The C library's resolver gives up by itself after about this long.
    pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(15);

    /// TCP connect to one address, and again for the TLS handshake, unless the asker says otherwise.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// First pause between attempts, doubled each time, before jitter.
    pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);

    /// Longest pause between attempts, before jitter. A board is to be back half a minute after its
    /// broker is; and a thousand boards that try every 15 s on average are 67 connections a second, which
    /// the smallest broker takes.
    pub const BACKOFF_MAX: Duration = Duration::from_secs(30);

    /// A connection that lasted this long makes the next pause short again.
    pub const STABLE_AFTER: Duration = Duration::from_secs(60);

    /// Threads of one app that look names up or read certificates; a resolver that hangs holds one for as long.
    pub const THREADS_MAX: usize = 2;
}

/// What requests to other machines may hold and take.
pub mod asking {
    use std::time::Duration;

    /// Connections of one app that are kept for the next request. Each has its buffers and, with TLS, its session:
    /// some 40 KiB together.
    pub const IDLE_CONNECTIONS_MAX: usize = 4;

    /// How long one is kept. Servers close theirs after 5 to 75 seconds.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

    /// Requests of one app that are under way; another waits for its turn.
    pub const REQUESTS_MAX: usize = 16;

    /// Until a request's answer begins, unless the asker says otherwise; a guest's deadline is mostly shorter.
    pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(60);

    /// From one piece of an answer's body to the next, unless the asker says otherwise.
    pub const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(60);

    /// A connection's buffer each way: what has arrived and nobody has taken. An answer's head must fit in it.
    pub const BUFFER_BYTES: usize = 16 * 1024;

    /// Headers of an answer, as many as hyper reads without an allocation.
    pub const HEADERS_MAX: usize = 100;

    /// One piece of a request's body on its way to the socket.
    pub const PIECE_BYTES_MAX: usize = 16 * 1024;

    const _: () = assert!(IDLE_CONNECTIONS_MAX <= REQUESTS_MAX);
    const _: () = assert!(BUFFER_BYTES >= 8 * 1024, "HTTP libraries ask for this much");
}

/// What Redis servers may say, and what is kept for them.
pub mod redis {
    use std::time::Duration;

    /// A reply, with all that is in it: as much as a guest gets from anywhere else.
    pub const REPLY_BYTES_MAX: usize = 1 << 20;

    /// Elements of a reply, those of lists within lists too; each takes some 50 bytes beside its own.
    pub const REPLY_ELEMENTS_MAX: usize = 16 * 1024;

    /// Lists within lists. Commands that answer with more than three are few, and none needs eight.
    pub const REPLY_DEPTH_MAX: usize = 8;

    /// Connections of one app, those that wait for the next command included.
    pub const CONNECTIONS_MAX: usize = 8;

    /// Of those, how many may wait; each has its buffers in the kernel.
    pub const IDLE_CONNECTIONS_MAX: usize = 2;

    /// How long one waits for the next command.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

    /// From a command to its reply; a guest's deadline is mostly shorter.
    pub const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

    /// Longest kept text of a server's complaint.
    pub const ERROR_BYTES_MAX: usize = 512;

    /// A connection on which nothing comes is asked whether it is still there after this long, and given up after as
    /// long again.
    pub const PULSE: Duration = Duration::from_secs(30);

    /// Channels of one subscription.
    pub const CHANNELS_MAX: usize = 64;

    /// Messages that have come and are not taken; while there are so many, nothing is read, and the server keeps what it
    /// will (and then closes the connection: 32 MiB, unless it is told otherwise).
    pub const MESSAGES_WAITING_MAX: usize = 64;

    const _: () = assert!(IDLE_CONNECTIONS_MAX < CONNECTIONS_MAX);
}

/// What the GPIO lines may hold.
pub mod gpio {
    use std::time::Duration;

    /// Edges of one line that wait in the kernel while we are busy; then the oldest goes. The most
    /// that the kernel grants, because a component may take a second while an encoder ticks at
    /// 1 kHz. It costs 48 KiB of kernel memory for each line with edges, none of this process's.
    pub const EDGES_WAITING_MAX: usize = 1024;

    /// Edges fetched from the kernel at once: one system call instead of this many, 48 bytes each.
    pub const EDGES_FETCHED_MAX: usize = 16;

    /// Longest debounce: the kernel counts microseconds in 32 bits; beyond a minute it is a timer.
    pub const DEBOUNCE_MAX: Duration = Duration::from_secs(60);

    /// First pause before a line that cannot be had is tried again; doubled each time.
    pub const RETRY_FIRST: Duration = Duration::from_secs(1);

    /// Longest such pause. Plugging a chip back in is noticed within this.
    pub const RETRY_MAX: Duration = Duration::from_secs(30);

    /// How often a line is asked whether its chip is still there. Kernels before 6.6 wake nobody
    /// when a chip goes away (seen on 6.1). One system call for each line, one wake-up for all outputs.
    pub const CHECK_EVERY: Duration = Duration::from_secs(30);

    /// Highest limit of toggles a second: each costs 16 bytes, and the faster is a job for PWM.
    pub const TOGGLES_PER_SECOND_CEILING: u32 = 1000;

    /// Line names shown in an error.
    pub const NAMES_SHOWN_MAX: usize = 16;

    /// Changes of the simulated pins that a watcher may be behind; then it is told how many it lost.
    pub const PIN_CHANGES_WAITING_MAX: usize = 1024;

    const _: () = assert!(EDGES_FETCHED_MAX < EDGES_WAITING_MAX);
    const _: () = assert!(DEBOUNCE_MAX.as_micros() <= u32::MAX as u128);
}

/// What the timers and cron may hold and how often they may come.
pub mod time {
    use std::time::Duration;

    /// Rules of one schedule, which all apps of a process share. One takes about 120 bytes: at this number as
    /// much as a small guest.
    pub const RULES_MAX: usize = 16 * 1024;

    /// Shortest interval. tokio's timers are good to a millisecond, and an event that is handled takes
    /// about as long on a small board: below this a timer is a busy loop.
    pub const INTERVAL_MIN: Duration = Duration::from_millis(10);

    /// Longest interval, well within what the system's clock can add up.
    pub const INTERVAL_MAX: Duration = Duration::from_hours(10 * 366 * 24);

    /// Longest cron expression. The longest that is meant names all 60 seconds and minutes.
    pub const EXPRESSION_BYTES_MAX: usize = 512;

    /// Longest name of a time zone; the longest that there is has 32 bytes.
    pub const ZONE_NAME_BYTES_MAX: usize = 64;

    /// Most that is read of a zone's file. The largest that there are have 4 KB.
    pub const ZONE_BYTES_MAX: u64 = 64 * 1024;

    /// How often a clock that is not believable is looked at again, while there are cron rules. A
    /// clock that is set is noticed at once; this is for a kernel that only begins to call its clock
    /// synchronised.
    pub const CLOCK_CHECK: Duration = Duration::from_secs(30);

    /// Up to this much, a clock that was set was corrected, and no tick is lost. Beyond it, what lies
    /// between never was. A leap second and the first steps of an NTP client are below.
    pub const CLOCK_CORRECTION_MAX: Duration = Duration::from_secs(5);

    /// How long what ran before the clock was set is remembered, and how far back the clock may be
    /// set so that it still counts: so long, at most, does a wrong clock keep cron silent.
    pub const LIVED_MAX: Duration = Duration::from_hours(24);

    /// Stretches of time, each ended by the clock being set, that are remembered. The oldest goes.
    pub const STRETCHES_MAX: usize = 8;

    /// Occurrences of one rule counted as missed, one by one; a caller that was away for longer than
    /// this many is told this number.
    pub const MISSED_COUNT_MAX: u32 = 10_000;

    const _: () = assert!(INTERVAL_MIN.as_millis() > 0);
    const _: () = assert!(CLOCK_CORRECTION_MAX.as_secs() < LIVED_MAX.as_secs());
}

/// What HTTP may hold and how long it waits.
pub mod http {
    use std::time::Duration;

    /// Connections at the same time, if nobody says: ten browsers, or a proxy's pool. Who comes on top takes the place of
    /// the longest idle.
    pub const CONNECTIONS_DEFAULT: u32 = 64;
    /// The most that may be asked for: more than the ports that one peer has.
    pub const CONNECTIONS_MAX: u32 = 65_536;

    /// A request's first line and fields. Browsers with many cookies stay below 8 KiB; common servers take 8 to 16. Past it:
    /// 431.
    pub const HEAD_BYTES_MAX: usize = 16 << 10;
    /// Fields of a request. hyper keeps the list on its stack up to this. Past it: 431.
    pub const FIELDS_MAX: usize = 100;
    /// From a request's first byte to the end of its head; also until the first byte of a new connection. Past it: 408.
    pub const HEAD_TIME: Duration = Duration::from_secs(10);
    /// How long a connection may be idle between two requests: longer than most clients keep one.
    pub const IDLE_TIME: Duration = Duration::from_secs(75);
    /// When there is no room for one more connection: a client that was waited for so long has to leave.
    pub const PATIENCE_WHEN_FULL: Duration = Duration::from_secs(1);
    /// How long an idle connection keeps its buffers: a page with its pictures takes less.
    pub const QUIET_AFTER: Duration = Duration::from_secs(1);

    /// A request's body, if nobody says. Nothing of it is stored here; more than this is no upload but a mistake. Past it: 413.
    pub const BODY_BYTES_DEFAULT: u64 = 4 << 30;
    /// Who is waited for, to send or to take bytes, moves at least [`SLOW_BYTES`] in this time, waiting alone counted. A
    /// phone at the edge of its network does; past it: 408, or the connection is cut.
    pub const SLOW_TIME: Duration = Duration::from_secs(20);
    /// See [`SLOW_TIME`].
    pub const SLOW_BYTES: usize = 4 << 10;
    /// Of a body, what is read before its request is handed out: a form or a document is whole then, so that a slow sender
    /// of one holds nothing but its connection.
    pub const AHEAD_BYTES: usize = 16 << 10;
    /// Of an answer's body, what waits for the client: a page is whole in it, so that a slow reader of one holds nothing
    /// but its connection.
    pub const PIPE_BYTES: usize = 32 << 10;
    /// What a piece of it takes beside its bytes: a guest may write one byte at a time.
    pub const PIECE_BYTES: usize = 64;

    /// A connection that ends while its client still sends is read for so long, so that the answer is not lost with it.
    pub const LINGER_TIME: Duration = Duration::from_millis(500);
    /// And no more than this is read.
    pub const LINGER_BYTES: usize = 256 << 10;
    /// What a client that finds no room is told to wait for.
    pub const RETRY_AFTER_SECONDS: u32 = 1;
    /// Pause after a connection could not be accepted: the process has no descriptor left, and will have soon.
    pub const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
    /// Connections that the kernel keeps until they are accepted.
    pub const BACKLOG: u32 = 128;
    /// When a server closes: how long clients that have just come may take to ask, before what answers them stops.
    pub const DRAIN_TIME: Duration = Duration::from_millis(100);
    /// How long answers under way may take to end after that.
    pub const STOP_TIME: Duration = Duration::from_millis(300);

    /// Routes of one app; each request looks through those of its first letters.
    pub const ROUTES_MAX: usize = 1_024;
    /// A route.
    pub const ROUTE_BYTES_MAX: usize = 1_024;

    /// What one connection may take: hyper's two buffers, what is read ahead of a body, what waits of an answer. An idle one
    /// takes a tenth of it.
    pub const CONNECTION_BYTES: usize = 2 * HEAD_BYTES_MAX + AHEAD_BYTES + PIPE_BYTES;

    const _: () = assert!(SLOW_BYTES < AHEAD_BYTES && AHEAD_BYTES <= PIPE_BYTES);
    const _: () = assert!(QUIET_AFTER.as_millis() < IDLE_TIME.as_millis());
}
