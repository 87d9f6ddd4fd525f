//! What a thermostat knows, without any interface to the world: this part is tested on the desk.

/// Whether a room is heated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heating {
    On,
    Off,
}

impl Heating {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            b"on" => Some(Self::On),
            b"off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// How warm it shall be, and how far off it may be before anything is switched. Both in °C.
pub struct Settings {
    pub set_point: f64,
    pub hysteresis: f64,
}

/// What sensors report: anything else is a fault of the sensor, or no temperature at all.
const PLAUSIBLE_C: std::ops::RangeInclusive<f64> = -90.0..=150.0;

/// How much of a bad payload an error shows.
const SHOWN_CHARS_MAX: usize = 40;

/// Within the hysteresis everything stays as it was; a room never seen before starts cold.
pub fn decide(temperature: f64, before: Option<Heating>, settings: &Settings) -> Heating {
    if temperature <= settings.set_point - settings.hysteresis {
        Heating::On
    } else if temperature >= settings.set_point + settings.hysteresis {
        Heating::Off
    } else {
        before.unwrap_or(Heating::Off)
    }
}

/// The room in `home/<room>/temperature`.
pub fn room_of(topic: &str) -> Result<&str, String> {
    let mut levels = topic.split('/');
    match (levels.next(), levels.next(), levels.next(), levels.next()) {
        (Some("home"), Some(room), Some("temperature"), None) if !room.is_empty() => Ok(room),
        _ => Err(format!("topic {topic:?} is not home/<room>/temperature")),
    }
}

/// The temperature in a payload.
pub fn temperature_of(payload: &[u8]) -> Result<f64, String> {
    std::str::from_utf8(payload)
        .ok()
        .and_then(number_of)
        .filter(|number| PLAUSIBLE_C.contains(number))
        .ok_or_else(|| {
            let shown: String =
                String::from_utf8_lossy(payload).chars().take(SHOWN_CHARS_MAX).collect();
            format!("payload {shown:?} is not a temperature: expected a number in °C such as 19.5")
        })
}

/// A finite number, with blanks around it forgiven.
pub fn number_of(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// What the room's thermostat thinks, for people and dashboards.
pub struct Status<'a> {
    pub room: &'a str,
    pub temperature: f64,
    pub set_point: f64,
    pub heating: Heating,
    pub changed: bool,
}

impl Status<'_> {
    pub fn to_json(&self) -> String {
        format!(
            r#"{{"room":"{}","temperature":{},"set_point":{},"heating":"{}","changed":{}}}"#,
            json_escaped(self.room),
            self.temperature,
            self.set_point,
            self.heating.as_str(),
            self.changed,
        )
    }
}

/// Room names come from topics, and topics may hold almost anything.
fn json_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { set_point: 20.0, hysteresis: 0.5 };

    #[test]
    fn a_cold_room_is_heated_and_a_warm_one_is_not() {
        assert_eq!(decide(18.0, None, &SETTINGS), Heating::On);
        assert_eq!(decide(19.5, Some(Heating::Off), &SETTINGS), Heating::On);
        assert_eq!(decide(20.5, Some(Heating::On), &SETTINGS), Heating::Off);
    }

    #[test]
    fn within_the_hysteresis_nothing_changes() {
        assert_eq!(decide(19.6, Some(Heating::Off), &SETTINGS), Heating::Off);
        assert_eq!(decide(20.4, Some(Heating::On), &SETTINGS), Heating::On);
        assert_eq!(decide(20.0, None, &SETTINGS), Heating::Off);
    }

    #[test]
    fn only_plausible_numbers_are_temperatures() {
        assert_eq!(temperature_of(b" 19.5\n"), Ok(19.5));
        for bad in [&b""[..], b"warm", b"19,5", b"NaN", b"inf", b"1e9", b"\xff\xfe"] {
            assert!(temperature_of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_shows_no_more_than_the_beginning_of_a_payload() {
        let error = temperature_of(&[b'x'; 100_000]).unwrap_err();
        assert!(error.len() < 200, "{error}");
    }

    #[test]
    fn the_room_is_the_middle_level_of_the_topic() {
        assert_eq!(room_of("home/kitchen/temperature"), Ok("kitchen"));
        for bad in
            ["home/kitchen", "home//temperature", "home/a/b/temperature", "attic/a/temperature"]
        {
            assert!(room_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_room_with_an_odd_name_does_not_break_the_status() {
        let status = Status {
            room: "a\"b\\c\u{1}",
            temperature: 18.25,
            set_point: 20.0,
            heating: Heating::On,
            changed: true,
        };
        assert_eq!(
            status.to_json(),
            r#"{"room":"a\"b\\c\u0001","temperature":18.25,"set_point":20,"heating":"on","changed":true}"#
        );
    }
}
