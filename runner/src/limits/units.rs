//! Quantities as people write them: `"8MiB"`, `"250ms"`, `"50/s"`. The unit is always written, so that
//! nobody has to guess whether a number means seconds or milliseconds.

use std::fmt;
use std::time::Duration;

const KIB: u64 = 1024;
const BYTE_UNITS: &[(&str, u64)] =
    &[("GiB", KIB * KIB * KIB), ("MiB", KIB * KIB), ("KiB", KIB), ("B", 1)];
const TIME_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)];

/// How many events a component may take in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Events in one period, at least 1.
    pub events: u32,
    /// The period: a second, a minute or an hour.
    pub period: Duration,
}

impl Rate {
    /// Whether this rate lets more events through than the other.
    pub fn exceeds(&self, other: &Rate) -> bool {
        let scaled = |rate: &Rate, by: &Rate| u128::from(rate.events) * by.period.as_millis();
        scaled(self, other) > scaled(other, self)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.period.as_secs() {
            1 => "s",
            60 => "min",
            _ => "h",
        };
        write!(f, "{}/{unit}", self.events)
    }
}

/// A number of bytes that prints in the largest unit that leaves it readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, size) = BYTE_UNITS.iter().find(|(_, size)| self.0 >= *size).unwrap_or(&("B", 1));
        let (whole, rest) = (self.0 / size, self.0 % size);
        let text = match rest {
            0 => format!("{whole} {name}"),
            _ => format!("{whole}.{} {name}", u128::from(rest) * 10 / u128::from(*size)),
        };
        f.pad(&text)
    }
}

/// A duration that prints the way it is written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0.as_millis() {
            millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
            millis => format!("{millis}ms"),
        };
        f.pad(&text)
    }
}

/// Reads `"8MiB"`; the answer is never 0.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, &'static str> {
    quantity(text, BYTE_UNITS)
        .ok_or(r#"write a size above zero with its unit: "512KiB", "8MiB", "1GiB""#)
}

/// Reads `"250ms"`; the answer is never 0.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    quantity(text, TIME_UNITS)
        .map(Duration::from_millis)
        .ok_or(r#"write a time above zero with its unit: "250ms", "2s", "5min", "1h""#)
}

/// Reads `"50/s"`; the answer is never 0.
pub(crate) fn parse_rate(text: &str) -> Result<Rate, &'static str> {
    const HELP: &str = r#"write how many in what: "50/s", "10/min", "100/h""#;
    let (events, unit) = text.split_once('/').ok_or(HELP)?;
    let seconds = match unit.trim() {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        _ => return Err(HELP),
    };
    let events =
        digits(events.trim()).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).ok_or(HELP)?;
    Ok(Rate { events, period: Duration::from_secs(seconds) })
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, size) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    digits(number)?.checked_mul(*size).filter(|n| *n > 0)
}

/// `str::parse` would also take a sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit_only() {
        for (text, bytes) in [
            ("1B", 1),
            ("512KiB", 524_288),
            ("8MiB", 8_388_608),
            ("8 MiB", 8_388_608),
            ("2GiB", 2_147_483_648),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "8",
            "MiB",
            "0MiB",
            "-1MiB",
            "+1MiB",
            "8MB",
            "8mib",
            "1.5MiB",
            "99999999999999GiB",
            "8MiBx",
        ] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_with_their_unit_only() {
        for (text, millis) in [("250ms", 250), ("2s", 2000), ("5min", 300_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "2", "0s", "1.5s", "2 seconds", "-1s", "5m"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_a_count_and_a_period() {
        assert_eq!(parse_rate("50/s"), Ok(Rate { events: 50, period: Duration::from_secs(1) }));
        assert_eq!(
            parse_rate("10 / min"),
            Ok(Rate { events: 10, period: Duration::from_secs(60) })
        );
        for text in ["", "50", "/s", "0/s", "50/", "50/day", "-1/s", "4294967296/s"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_compare_across_periods() {
        let rate = |text| parse_rate(text).unwrap();
        assert!(rate("61/min").exceeds(&rate("1/s")));
        assert!(!rate("60/min").exceeds(&rate("1/s")));
        assert!(!rate("1/h").exceeds(&rate("1/min")));
    }

    #[test]
    fn quantities_print_as_they_are_written() {
        assert_eq!(Bytes(8 * 1024 * 1024).to_string(), "8 MiB");
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
        assert_eq!(Bytes(0).to_string(), "0 B");
        assert_eq!(Seconds(Duration::from_millis(2500)).to_string(), "2500ms");
        assert_eq!(Seconds(Duration::from_secs(60)).to_string(), "60s");
        assert_eq!(parse_rate("10/min").unwrap().to_string(), "10/min");
    }
}
