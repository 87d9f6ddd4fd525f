//! The kernel's chips, over `gpiocdev`: the only file that names it.
//!
//! One request for each line, so that each has an event buffer, a debounce and a fate of its own.

use super::chips::{Batch, RawEdge};
use super::fault::Fault;
use super::line::{Active, Bias, EdgeKind, Edges, InputOptions, Level, LineId, OutputOptions};
use crate::limits::gpio::{DEBOUNCE_MAX, EDGES_FETCHED_MAX, EDGES_WAITING_MAX, NAMES_SHOWN_MAX};
use gpiocdev::chip::Chip;
use gpiocdev::line::{EdgeDetection, EventClock, Value};
use gpiocdev::request::Builder;
use gpiocdev::{Request, chip, line};
use std::io;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What the kernel shows others as the holder of our lines.
const CONSUMER: &str = "pirn";

/// An edge in the kernel's form, in words of 8 bytes (`struct gpio_v2_line_event`).
const EDGE_WORDS: usize = 6;

/// Error numbers, the same on every CPU that we build for.
mod errno {
    pub(super) const EIO: i32 = 5;
    pub(super) const ENXIO: i32 = 6;
    pub(super) const EACCES: i32 = 13;
    pub(super) const EPERM: i32 = 1;
    pub(super) const EBUSY: i32 = 16;
    pub(super) const ENODEV: i32 = 19;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const EOPNOTSUPP: i32 = 95;
    /// The kernel's own, which leaks from some drivers.
    pub(super) const ENOTSUPP: i32 = 524;
}

/// Every chip with the label, or why there is none.
pub(super) fn chips_of(label: &str) -> Result<Vec<Chip>, Fault> {
    let (mut found, mut labels, mut denied) = (Vec::new(), Vec::new(), Vec::new());
    for path in chip::chips().map_err(|error| fault(&error))? {
        match Chip::from_path(&path).and_then(|chip| Ok((chip.info()?.label, chip))) {
            Ok((theirs, chip)) if theirs == label => found.push(chip),
            Ok((theirs, _)) => labels.push(theirs),
            Err(error) if is_denied(&error) => denied.push(path.display().to_string()),
            // Unplugged between listing and opening.
            Err(_) => {}
        }
    }
    match (found.is_empty(), denied.is_empty()) {
        (false, _) => Ok(found),
        (true, false) => Err(Fault::NoPermission { path: denied.join(", ") }),
        (true, true) => Err(Fault::NoChip { label: label.to_owned(), labels }),
    }
}

/// The chip and the line's information.
fn find(id: &LineId) -> Result<(Chip, line::Info), Fault> {
    let chips = chips_of(&id.chip_label)?;
    let mut lines = Vec::new();
    for (index, chip) in chips.iter().enumerate() {
        let infos = chip.line_info_iter().map_err(|error| fault(&error))?;
        lines.extend(infos.filter_map(Result::ok).map(|info| (index, info)));
    }
    let named = |(_, info): &&(usize, line::Info)| id.kernel_names.contains(&info.name);
    let placed = |(_, info): &&(usize, line::Info)| {
        Some(info.offset) == id.offset && (id.kernel_names.is_empty() || info.name.is_empty())
    };
    let found = lines.iter().find(named).or_else(|| lines.iter().find(placed)).cloned();
    let Some((index, info)) = found else { return Err(no_line(id, &lines)) };
    chips.into_iter().nth(index).map(|chip| (chip, info)).ok_or(Fault::Gone)
}

fn no_line(id: &LineId, lines: &[(usize, line::Info)]) -> Fault {
    let names = lines.iter().map(|(_, info)| &info.name).filter(|name| !name.is_empty());
    Fault::NoLine {
        label: id.chip_label.clone(),
        wanted: id.to_string(),
        lines: u32::try_from(lines.len()).unwrap_or(u32::MAX),
        names: names.take(NAMES_SHOWN_MAX).cloned().collect(),
    }
}

/// Requests one line. `extras` is what the chip may not be able to do.
fn request(id: &LineId, builder: &mut Builder, extras: &str) -> Result<Request, Fault> {
    let (chip, info) = find(id)?;
    builder.with_consumer(CONSUMER).on_chip(chip.path()).with_line(info.offset);
    builder.request().map_err(|error| match os(&error) {
        Some(errno::EBUSY) => Fault::Busy { by: info.consumer },
        Some(errno::EINVAL | errno::ENXIO | errno::EOPNOTSUPP | errno::ENOTSUPP)
            if !extras.is_empty() =>
        {
            Fault::Unsupported { what: extras.to_owned() }
        }
        Some(errno::EACCES | errno::EPERM) => {
            Fault::NoPermission { path: chip.path().display().to_string() }
        }
        _ => fault(&error),
    })
}

/// Has the runtime wake us when the line has something to say.
#[allow(unsafe_code, reason = "tokio cannot see who owns the descriptor; see SAFETY")]
fn watched(request: Request) -> Result<AsyncFd<Request>, Fault> {
    // SAFETY: the request owns its file, never closes or replaces it before it is dropped, and
    // always gives that file's descriptor.
    unsafe { AsyncFd::register_with_interest(request, Interest::READABLE) }
        .map_err(|error| Fault::Kernel(error.to_string()))
}

fn active(builder: &mut Builder, active: Active) {
    match active {
        Active::High => builder.as_active_high(),
        Active::Low => builder.as_active_low(),
    };
}

fn value(level: Level) -> Value {
    match level {
        Level::Low => Value::Inactive,
        Level::High => Value::Active,
    }
}

pub(super) struct InputLine(AsyncFd<Request>);

impl InputLine {
    pub(super) fn open(options: &InputOptions) -> Result<Self, Fault> {
        let mut builder = Request::builder();
        builder.as_input();
        active(&mut builder, options.active);
        if let Some(edges) = edge_detection(options.edges) {
            builder.with_edge_detection(edges).with_event_clock(EventClock::Monotonic);
            builder.with_kernel_event_buffer_size(EDGES_WAITING_MAX as u32);
        }
        if let Some(bias) = bias(options.bias) {
            builder.with_bias(bias);
        }
        if let Some(debounce) = debounce(options.debounce)? {
            builder.with_debounce_period(debounce);
        }
        request(&options.line, &mut builder, &extras(options)).and_then(watched).map(Self)
    }

    pub(super) async fn fetch(&self, batch: &mut Batch) -> Result<(), Fault> {
        loop {
            let mut guard =
                self.0.readable().await.map_err(|error| Fault::Kernel(error.to_string()))?;
            if self.0.get_ref().has_edge_event().map_err(|error| fault(&error))? {
                return self.read(batch);
            }
            guard.clear_ready();
        }
    }

    /// Only after the kernel said that there is something: the read would block the whole thread.
    fn read(&self, batch: &mut Batch) -> Result<(), Fault> {
        let request = self.0.get_ref();
        let mut words = [0_u64; EDGE_WORDS * EDGES_FETCHED_MAX];
        let room = EDGE_WORDS * (batch.capacity() - batch.len());
        let read = request
            .read_edge_events_into_slice(&mut words[..room])
            .map_err(|error| fault(&error))?;
        for words in words[..read].chunks_exact(EDGE_WORDS) {
            let event = request.edge_event_from_slice(words).map_err(|error| fault(&error))?;
            let edge = match event.kind {
                line::EdgeKind::Rising => EdgeKind::Rising,
                line::EdgeKind::Falling => EdgeKind::Falling,
            };
            let (timestamp_ns, sequence) = (event.timestamp_ns, event.line_seqno);
            // There is room: no more was asked for.
            let _ = batch.push_back(RawEdge { edge, timestamp_ns, sequence });
        }
        Ok(())
    }

    pub(super) fn level(&self) -> Result<Level, Fault> {
        match self.0.get_ref().lone_value().map_err(|error| fault(&error))? {
            Value::Active => Ok(Level::High),
            Value::Inactive => Ok(Level::Low),
        }
    }
}

fn edge_detection(edges: Edges) -> Option<EdgeDetection> {
    match edges {
        Edges::Rising => Some(EdgeDetection::RisingEdge),
        Edges::Falling => Some(EdgeDetection::FallingEdge),
        Edges::Both => Some(EdgeDetection::BothEdges),
        Edges::None => None,
    }
}

fn bias(bias: Bias) -> Option<line::Bias> {
    match bias {
        Bias::AsIs => None,
        Bias::PullUp => Some(line::Bias::PullUp),
        Bias::PullDown => Some(line::Bias::PullDown),
        Bias::Disabled => Some(line::Bias::Disabled),
    }
}

fn debounce(asked: Option<Duration>) -> Result<Option<Duration>, Fault> {
    match asked {
        Some(asked) if asked > DEBOUNCE_MAX => {
            Err(Fault::DebounceTooLong { asked, longest: DEBOUNCE_MAX })
        }
        asked => Ok(asked.filter(|asked| !asked.is_zero())),
    }
}

fn extras(options: &InputOptions) -> String {
    let edges = (options.edges != Edges::None).then_some("edges");
    let bias = (options.bias != Bias::AsIs).then_some("a pull resistor setting");
    let debounce = options.debounce.map(|_| "debounce");
    edges.into_iter().chain(bias).chain(debounce).collect::<Vec<_>>().join(", ")
}

fn output(options: &OutputOptions, level: Level) -> Result<Request, Fault> {
    let mut builder = Request::builder();
    builder.as_output(value(level));
    active(&mut builder, options.active);
    request(&options.line, &mut builder, "")
}

/// Requests an output and lets it go. Needs no runtime.
pub(super) fn set_once(options: &OutputOptions, level: Level) -> Result<(), Fault> {
    output(options, level).map(drop)
}

pub(super) struct OutputLine(Request);

impl OutputLine {
    pub(super) fn open(options: &OutputOptions, level: Level) -> Result<Self, Fault> {
        output(options, level).map(Self)
    }

    pub(super) fn set(&self, level: Level) -> Result<(), Fault> {
        self.0.set_lone_value(value(level)).map_err(|error| fault(&error))
    }

    /// Reading is the least that the kernel refuses when the chip is gone.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.0.lone_value().map(drop).map_err(|error| fault(&error))
    }
}

fn os(error: &gpiocdev::Error) -> Option<i32> {
    match error {
        gpiocdev::Error::Os(number) => Some(number.0),
        gpiocdev::Error::Uapi(_, error) => match error {
            gpiocdev_uapi::Error::Os(number) => Some(number.0),
            gpiocdev_uapi::Error::UnderRead(_) => None,
        },
        _ => None,
    }
}

fn is_denied(error: &gpiocdev::Error) -> bool {
    matches!(os(error), Some(errno::EACCES | errno::EPERM))
}

fn fault(error: &gpiocdev::Error) -> Fault {
    match os(error) {
        Some(errno::ENODEV | errno::EIO | errno::ENXIO) => Fault::Gone,
        Some(number) => Fault::Kernel(io::Error::from_raw_os_error(number).to_string()),
        None => Fault::Kernel(error.to_string()),
    }
}
