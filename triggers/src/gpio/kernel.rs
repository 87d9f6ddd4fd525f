//! The kernel's chips, over `gpiocdev-uapi`: the only file that names it.
//!
//! That crate is the kernel's structures and calls, made safe. The larger `gpiocdev` above it is left
//! out: what it adds is requests of many lines, looked up by hash maps, and opening a chip by its
//! path once more for each request, when another may have that path. Here each line has a request, an
//! event buffer, a debounce and a fate of its own, and is requested from the chip that was searched.

use super::chips::{Batch, RawEdge};
use super::fault::Fault;
use super::line::{Active, Bias, EdgeKind, Edges, InputOptions, Level, LineId, OutputOptions};
use crate::limits::gpio::{DEBOUNCE_MAX, EDGES_FETCHED_MAX, EDGES_WAITING_MAX, NAMES_SHOWN_MAX};
use gpiocdev_uapi::v2::{self, LineFlags, LineInfo, LineRequest, LineValues};
use gpiocdev_uapi::{has_event, read_event};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What the kernel shows others as the holder of our lines.
const CONSUMER: &str = "pirn";

/// An edge in the kernel's form, in words of 8 bytes.
const EDGE_WORDS: usize = size_of::<v2::LineEdgeEvent>() / 8;

/// The only line of each request.
const THE_LINE: u64 = 1;

/// Error numbers, the same on every CPU that we build for.
mod errno {
    pub(super) const EPERM: i32 = 1;
    pub(super) const EIO: i32 = 5;
    pub(super) const ENXIO: i32 = 6;
    pub(super) const EACCES: i32 = 13;
    pub(super) const EBUSY: i32 = 16;
    pub(super) const ENODEV: i32 = 19;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const EOPNOTSUPP: i32 = 95;
    /// The kernel's own, which leaks from some drivers.
    pub(super) const ENOTSUPP: i32 = 524;
}

pub(super) struct Chip {
    file: File,
    path: PathBuf,
    label: String,
    lines: u32,
}

impl Chip {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        let info = v2::get_chip_info(&file).map_err(|error| as_io(&error))?;
        Ok(Self { file, path, label: String::from(&info.label), lines: info.num_lines })
    }

    fn lines(&self) -> impl Iterator<Item = LineInfo> {
        (0..self.lines).filter_map(|offset| v2::get_line_info(&self.file, offset).ok())
    }
}

/// Every chip with the label, or why there is none.
pub(super) fn chips_of(label: &str) -> Result<Vec<Chip>, Fault> {
    let (mut found, mut labels, mut denied) = (Vec::new(), Vec::new(), Vec::new());
    for path in chip_paths().map_err(|error| fault(&error))? {
        match Chip::open(path.clone()) {
            Ok(chip) if chip.label == label => found.push(chip),
            Ok(chip) => labels.push(chip.label),
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

fn chip_paths() -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir("/dev")?.filter_map(Result::ok);
    let chips =
        entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"gpiochip"));
    // A link to a chip is the same chip again.
    let devices = chips.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    let mut paths: Vec<_> = devices.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    Ok(paths)
}

/// The chip and the line's information: a name on any chip goes before a place.
fn find(id: &LineId) -> Result<(Chip, LineInfo), Fault> {
    let mut chips = chips_of(&id.chip_label)?;
    let named = |line: &LineInfo| id.kernel_names.contains(&String::from(&line.name));
    let placed = |line: &LineInfo| {
        Some(line.offset) == id.offset && (id.kernel_names.is_empty() || line.name.is_empty())
    };
    let on = |wanted: &dyn Fn(&LineInfo) -> bool| {
        let lines =
            chips.iter().enumerate().map(|(index, chip)| (index, chip.lines().find(wanted)));
        lines.into_iter().find_map(|(index, line)| Some((index, line?)))
    };
    match on(&named).or_else(|| on(&placed)) {
        Some((index, line)) => Ok((chips.swap_remove(index), line)),
        None => Err(no_line(id, &chips)),
    }
}

fn no_line(id: &LineId, chips: &[Chip]) -> Fault {
    let names = chips.iter().flat_map(Chip::lines).map(|line| String::from(&line.name));
    Fault::NoLine {
        label: id.chip_label.clone(),
        wanted: id.to_string(),
        lines: chips.iter().map(|chip| chip.lines).fold(0, u32::saturating_add),
        names: names.filter(|name| !name.is_empty()).take(NAMES_SHOWN_MAX).collect(),
    }
}

/// Requests one line. `extras` is what the chip may not be able to do.
fn request(id: &LineId, mut request: LineRequest, extras: &str) -> Result<File, Fault> {
    let (chip, line) = find(id)?;
    request.offsets.set(0, line.offset);
    request.num_lines = 1;
    request.consumer = CONSUMER.into();
    let granted = v2::get_line(&chip.file, request).map_err(|error| as_io(&error));
    granted.map_err(|error| match error.raw_os_error() {
        Some(errno::EBUSY) => Fault::Busy { by: String::from(&line.consumer) },
        Some(errno::EINVAL | errno::ENXIO | errno::EOPNOTSUPP | errno::ENOTSUPP)
            if !extras.is_empty() =>
        {
            Fault::Unsupported { what: extras.to_owned() }
        }
        _ if is_denied(&error) => Fault::NoPermission { path: chip.path.display().to_string() },
        _ => fault(&error),
    })
}

fn active(active: Active) -> LineFlags {
    match active {
        Active::High => LineFlags::empty(),
        Active::Low => LineFlags::ACTIVE_LOW,
    }
}

fn level(line: &File) -> Result<Level, Fault> {
    let mut values = LineValues { bits: 0, mask: THE_LINE };
    v2::get_line_values(line, &mut values).map_err(|error| fault(&as_io(&error)))?;
    Ok(if values.bits & THE_LINE == 0 { Level::Low } else { Level::High })
}

pub(super) struct InputLine(AsyncFd<File>);

impl InputLine {
    pub(super) fn open(options: &InputOptions) -> Result<Self, Fault> {
        let mut wanted = LineRequest::default();
        // Without a flag for the clock, timestamps are the monotonic clock's.
        wanted.config.flags =
            LineFlags::INPUT | active(options.active) | edges(options.edges) | bias(options.bias);
        if options.edges != Edges::None {
            wanted.event_buffer_size = EDGES_WAITING_MAX as u32;
        }
        if let Some(microseconds) = debounce(options.debounce)? {
            wanted.config.add_debounce(microseconds, THE_LINE);
        }
        request(&options.line, wanted, &extras(options)).and_then(watched).map(Self)
    }

    pub(super) async fn fetch(&self, batch: &mut Batch) -> Result<(), Fault> {
        loop {
            let mut guard = self.0.readable().await.map_err(|error| fault(&error))?;
            match has_event(self.0.get_ref()).map_err(|error| as_io(&error)) {
                Ok(true) => return self.read(batch),
                Ok(false) => guard.clear_ready(),
                // A signal came in between: ask again.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(fault(&error)),
            }
        }
    }

    /// Only after the kernel said that there is something: the read would block the whole thread.
    fn read(&self, batch: &mut Batch) -> Result<(), Fault> {
        let mut words = [0_u64; EDGE_WORDS * EDGES_FETCHED_MAX];
        let room = EDGE_WORDS * (batch.capacity() - batch.len());
        let read = read_event(self.0.get_ref(), &mut words[..room]);
        let read = read.map_err(|error| fault(&as_io(&error)))?;
        for words in words[..read].chunks_exact(EDGE_WORDS) {
            let event = v2::LineEdgeEvent::from_slice(words);
            let event = event.map_err(|error| fault(&as_io(&error)))?;
            let rising = event.kind == v2::LineEdgeEventKind::RisingEdge as u32;
            let edge = if rising { EdgeKind::Rising } else { EdgeKind::Falling };
            let (timestamp_ns, sequence) = (event.timestamp_ns, event.line_seqno);
            // There is room: no more was asked for.
            let _ = batch.push_back(RawEdge { edge, timestamp_ns, sequence });
        }
        Ok(())
    }

    pub(super) fn level(&self) -> Result<Level, Fault> {
        level(self.0.get_ref())
    }
}

/// Has the runtime wake us when the line has something to say.
#[allow(unsafe_code, reason = "tokio cannot see who owns the descriptor; see SAFETY")]
fn watched(line: File) -> Result<AsyncFd<File>, Fault> {
    // SAFETY: a file owns its descriptor, keeps it until it is dropped, and always gives the same
    // one; nothing takes it out again.
    unsafe { AsyncFd::register_with_interest(line, Interest::READABLE) }
        .map_err(|error| Fault::Kernel(error.to_string()))
}

fn edges(edges: Edges) -> LineFlags {
    match edges {
        Edges::Rising => LineFlags::EDGE_RISING,
        Edges::Falling => LineFlags::EDGE_FALLING,
        Edges::Both => LineFlags::EDGE_RISING | LineFlags::EDGE_FALLING,
        Edges::None => LineFlags::empty(),
    }
}

fn bias(bias: Bias) -> LineFlags {
    match bias {
        Bias::AsIs => LineFlags::empty(),
        Bias::PullUp => LineFlags::BIAS_PULL_UP,
        Bias::PullDown => LineFlags::BIAS_PULL_DOWN,
        Bias::Disabled => LineFlags::BIAS_DISABLED,
    }
}

/// In microseconds.
fn debounce(asked: Option<Duration>) -> Result<Option<u32>, Fault> {
    let Some(asked) = asked.filter(|asked| !asked.is_zero()) else { return Ok(None) };
    match u32::try_from(asked.as_micros()) {
        Ok(microseconds) if asked <= DEBOUNCE_MAX => Ok(Some(microseconds)),
        _ => Err(Fault::DebounceTooLong { asked, longest: DEBOUNCE_MAX }),
    }
}

fn extras(options: &InputOptions) -> String {
    let edges = (options.edges != Edges::None).then_some("edges");
    let bias = (options.bias != Bias::AsIs).then_some("a pull resistor setting");
    let debounce = options.debounce.map(|_| "debounce");
    edges.into_iter().chain(bias).chain(debounce).collect::<Vec<_>>().join(", ")
}

pub(super) struct OutputLine(File);

impl OutputLine {
    /// Needs no runtime.
    pub(super) fn open(options: &OutputOptions, level: Level) -> Result<Self, Fault> {
        let mut wanted = LineRequest::default();
        wanted.config.flags = LineFlags::OUTPUT | active(options.active);
        wanted.config.add_values(&values(level));
        request(&options.line, wanted, "").map(Self)
    }

    pub(super) fn set(&self, level: Level) -> Result<(), Fault> {
        v2::set_line_values(&self.0, &values(level)).map_err(|error| fault(&as_io(&error)))
    }

    /// Reading is the least that the kernel refuses when the chip is gone.
    pub(super) fn check(&self) -> Result<(), Fault> {
        level(&self.0).map(drop)
    }
}

fn values(level: Level) -> LineValues {
    LineValues { bits: u64::from(level == Level::High), mask: THE_LINE }
}

fn as_io(error: &gpiocdev_uapi::Error) -> io::Error {
    match error {
        gpiocdev_uapi::Error::Os(number) => io::Error::from_raw_os_error(number.0),
        gpiocdev_uapi::Error::UnderRead(error) => io::Error::other(error.to_string()),
    }
}

fn is_denied(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(errno::EACCES | errno::EPERM))
}

fn fault(error: &io::Error) -> Fault {
    match error.raw_os_error() {
        Some(errno::ENODEV | errno::EIO | errno::ENXIO) => Fault::Gone,
        _ => Fault::Kernel(error.to_string()),
    }
}
