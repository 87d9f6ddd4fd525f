//! A dead letter: enough of an event to try it again.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::limits::store as caps;

/// An event that could not be handled, kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The component that failed on it.
    pub component: String,
    /// What kind of event it was.
    pub kind: LetterKind,
    /// Where it came from: an MQTT topic, a line's name, a trigger's id.
    pub source: String,
    /// How surely it was delivered, 0 to 2.
    pub qos: u8,
    /// Whether the broker had kept it for whoever subscribes.
    pub retained: bool,
    /// The message, or its first bytes.
    pub payload: Vec<u8>,
    /// How long the message was.
    pub payload_bytes: u64,
    /// How the last try ended.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was put aside, in seconds since the epoch; 0 if nobody knows.
    pub time: u64,
}

/// What kind of event a letter was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterKind {
    /// A message.
    Mqtt,
    /// An edge on a line.
    Gpio,
    /// An interval that went by.
    Timer,
    /// A time of the day.
    Cron,
    /// No event at all: something that was published and that its broker will never take.
    Publish,
}

impl LetterKind {
    /// In a word, as it is kept and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Gpio => "gpio",
            Self::Timer => "timer",
            Self::Cron => "cron",
            Self::Publish => "publish",
        }
    }

    /// The kind of this word. One that a later version wrote reads as a message.
    pub(super) fn of(word: &str) -> Self {
        let all = [Self::Gpio, Self::Timer, Self::Cron, Self::Publish];
        all.into_iter().find(|kind| kind.word() == word).unwrap_or(Self::Mqtt)
    }
}

/// Whether a letter is to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nobody asked for it.
    No,
    /// Somebody did.
    Wanted,
    /// It is in work.
    Underway,
}

impl Retry {
    pub(super) fn of(number: i64) -> Self {
        match number {
            0 => Self::No,
            1 => Self::Wanted,
            _ => Self::Underway,
        }
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "",
            Self::Wanted => "to be tried",
            Self::Underway => "in work",
        }
    }
}

/// A letter with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number; never given to another.
    pub id: i64,
    /// Whether it is to be tried again.
    pub retry: Retry,
    /// How many bytes of its payload were kept.
    pub kept_bytes: u64,
    /// The letter.
    pub letter: DeadLetter,
}

impl DeadLetter {
    /// A message at QoS 1 that failed now. What else is known goes into the fields.
    pub fn new(
        component: impl Into<String>,
        source: impl Into<String>,
        payload: Vec<u8>,
        reason: impl Into<String>,
    ) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            component: component.into(),
            kind: LetterKind::Mqtt,
            source: source.into(),
            qos: 1,
            retained: false,
            payload_bytes: payload.len() as u64,
            payload,
            reason: reason.into(),
            attempts: 1,
            time: now.map(|time| time.as_secs()).unwrap_or(0),
        }
    }

    /// With no more of it than may be kept.
    pub(super) fn cut(mut self) -> Self {
        self.payload_bytes = self.payload_bytes.max(self.payload.len() as u64);
        self.payload.truncate(caps::DEAD_LETTER_PAYLOAD_BYTES_MAX);
        self.reason = shortened(self.reason);
        self
    }

    /// What it counts for.
    pub(super) fn size(&self) -> u64 {
        let names = self.component.len() + self.source.len() + self.reason.len();
        (names + self.payload.len() + caps::DEAD_LETTER_ROW_BYTES) as u64
    }
}

/// No more of a reason than may be kept: a guest may have said it.
pub(super) fn shortened(mut reason: String) -> String {
    let end = reason.floor_char_boundary(caps::REASON_BYTES_MAX);
    if end < reason.len() {
        reason.truncate(end);
        reason.push('…');
    }
    reason
}
