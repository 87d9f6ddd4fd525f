//! Cron expressions: which seconds they name, and which of them comes next.
//!
//! # The notation
//!
//! Six fields, seconds first, or seven with the year:
//!
//! ```text
//! second  minute  hour  day of month  month  day of week  [year]
//! 0       */5     8-18  *             *      MON-FRI
//! ```
//!
//! `*` and `?` are every value; `1,2` a list; `1-5` a range; `*/5`, `1-30/5` and `3/5` steps; JAN to
//! DEC and SUN to SAT are names in either case. In the day of month `L` is the last day. The days of
//! the week are 0 for Sunday to 6, and 7 is Sunday too; `5#2` is the second Friday of the month, `5#L`
//! or `5L` the last. `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` are known.
//!
//! This is how Spin's cron trigger reads expressions: its plugin gives them to tokio-cron-scheduler
//! 0.13, which parses them with croner 2.2, seconds required, and **both day fields must match**
//! (`0 0 0 13 * FRI` is Friday the 13th, where crontab would run on each 13th and on each Friday). A
//! test holds the two against each other. Three things differ. Spin's page documents the year, which
//! croner 2.2 refuses: here it works. croner's `W` (the nearest weekday) is refused here. And an
//! empty part of a list (`1,,2`) is an error here.
//!
//! # When clocks are put forward or back
//!
//! In a zone with summer time there are local times that do not exist, and others that come twice.
//!
//! - An expression that names hours means times of the day. Each runs once: one that comes twice when
//!   it comes first; those that do not exist together, once, at the moment of the jump.
//! - An expression for every hour means the passing of time: it runs on through both, evenly.
//!
//! Years end with 2099: so does every expression.

mod field;

use super::calendar::{DAY, Date};
use super::zone::Zone;
use crate::limits::time::EXPRESSION_BYTES_MAX;
use field::Field;

/// A parsed expression. Small (80 bytes), so that there may be thousands.
#[derive(Debug, Clone)]
pub struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u32,
    /// Bit 0 is the last of the month, whichever that is.
    days: u32,
    months: u32,
    /// For each day of the week: bit 0 for all of them, 1 to 5 for the first to the fifth in the month,
    /// [`LAST`] for the last.
    weekdays: [u8; 7],
    /// From 1970 on.
    years: [u64; 3],
    zone: Zone,
}

/// The last such weekday of a month.
const LAST: u8 = 6;

const EVERY_HOUR: u32 = (1 << 24) - 1;

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Neither six nor seven fields.
    #[error(
        "{found} fields, and there must be 6 (second, minute, hour, day of month, month, day of week) \
         or 7 (then the year); a line from a crontab needs \"0 \" in front, for the second"
    )]
    Fields {
        /// How many there are.
        found: usize,
    },
    /// A field that cannot be read.
    #[error("{field} \"{text}\": allowed is {allowed}")]
    Field {
        /// Which.
        field: &'static str,
        /// The part of it that is wrong.
        text: String,
        /// What may be written there.
        allowed: &'static str,
    },
    /// A name after `@` that means nothing.
    #[error("\"{0}\": allowed is @hourly, @daily, @weekly, @monthly, @yearly, or 6 or 7 fields")]
    Nickname(String),
    /// Too long to be meant.
    #[error("{bytes} bytes long, and at most {EXPRESSION_BYTES_MAX} are allowed")]
    Length {
        /// How long it is.
        bytes: usize,
    },
    /// No such time is still to come.
    #[error(
        "never fires after {0}: no day has all of the day of month, month, day of week and year \
         that it names"
    )]
    Never(String),
}

impl Cron {
    /// Reads an expression. `past` is a time in seconds since 1970 that is certainly over, such as
    /// the program's build: an expression with nothing to come after it is a mistake.
    ///
    /// # Errors
    /// Says which field is wrong and what is allowed there, or that the expression never fires.
    pub fn parse(expression: &str, zone: &Zone, past: u64) -> Result<Self, CronError> {
        if expression.len() > EXPRESSION_BYTES_MAX {
            return Err(CronError::Length { bytes: expression.len() });
        }
        let expression = expression.trim();
        let expression =
            if expression.starts_with('@') { nickname(expression)? } else { expression };
        let cron = Self::from_fields(&expression.split_whitespace().collect::<Vec<_>>(), zone)?;
        let never = || CronError::Never(Date::from_days(seconds(past).div_euclid(DAY)).to_string());
        cron.next(past).map(|_| cron).ok_or_else(never)
    }

    /// The first second since 1970 after this one that the expression names. `None` if there is none
    /// before 2100.
    pub fn next(&self, after: u64) -> Option<u64> {
        let after = seconds(after);
        let next = if self.zone.is_utc() { self.next_local(after) } else { self.next_zoned(after) };
        next.and_then(|next| u64::try_from(next).ok())
    }

    fn from_fields(fields: &[&str], zone: &Zone) -> Result<Self, CronError> {
        let (fields, year) = match *fields {
            [s, m, h, day, month, weekday] => ([s, m, h, day, month, weekday], "*"),
            [s, m, h, day, month, weekday, year] => ([s, m, h, day, month, weekday], year),
            _ => return Err(CronError::Fields { found: fields.len() }),
        };
        let [second, minute, hour, day, month, weekday] = fields;
        Ok(Self {
            seconds: mask(&field::SECOND, second)?,
            minutes: mask(&field::MINUTE, minute)?,
            hours: mask(&field::HOUR, hour)? as u32,
            days: days(day)?,
            months: mask(&field::MONTH, month)? as u32,
            weekdays: weekdays(weekday)?,
            years: years(year)?,
            zone: zone.clone(),
        })
    }

    /// The first second after this one, both as the clocks of the zone show them.
    fn next_local(&self, after: i64) -> Option<i64> {
        let (day, second) = ((after + 1).div_euclid(DAY), (after + 1).rem_euclid(DAY));
        let today = self.names_day(Date::from_days(day));
        if let Some(second) = self.second_of_day(second as u32).filter(|_| today) {
            return Some(day * DAY + i64::from(second));
        }
        Some(self.next_day(day + 1)? * DAY + i64::from(self.second_of_day(0)?))
    }

    /// The first second of a day, this or later.
    fn second_of_day(&self, from: u32) -> Option<u32> {
        let (hour, minute, second) = (from / 3_600, from / 60 % 60, from % 60);
        let hours = u64::from(self.hours);
        let at = |hour, minute, second| Some(hour * 3_600 + minute * 60 + second);
        let (first_second, first_minute) = (bit(self.seconds, 0)?, bit(self.minutes, 0)?);
        if bit(hours, hour) == Some(hour) {
            if bit(self.minutes, minute) == Some(minute)
                && let Some(second) = bit(self.seconds, second)
            {
                return at(hour, minute, second);
            }
            if let Some(minute) = bit(self.minutes, minute + 1) {
                return at(hour, minute, first_second);
            }
        }
        at(bit(hours, hour + 1)?, first_minute, first_second)
    }

    /// The first day, this or later, in days since 1970. At most the days of 130 years are looked at.
    fn next_day(&self, from: i64) -> Option<i64> {
        let from = Date::from_days(from);
        for year in from.year..=i64::from(field::YEAR.max) {
            if !self.names_year(year) {
                continue;
            }
            let first_month = if year == from.year { from.month } else { 1 };
            for month in (first_month..=12).filter(|&month| self.months >> month & 1 == 1) {
                let same = (year, month) == (from.year, from.month);
                let first = Date { year, month, day: if same { from.day } else { 1 } };
                let mut days = (first.day..=first.month_length()).map(|day| Date { day, ..first });
                if let Some(date) = days.find(|&date| self.names_day(date)) {
                    return Some(date.days());
                }
            }
        }
        None
    }

    fn names_day(&self, date: Date) -> bool {
        let Date { day, month, year } = date;
        let last = date.month_length();
        let of_month = self.days >> day & 1 == 1 || (day == last && self.days & 1 == 1);
        let weekday = u32::from(self.weekdays[date.weekday()]);
        let nth = 1 + (day - 1) / 7;
        let of_week = weekday & 1 == 1 || weekday >> nth & 1 == 1;
        let last_of_week = day + 7 > last && weekday >> LAST & 1 == 1;
        of_month
            && (of_week || last_of_week)
            && self.months >> month & 1 == 1
            && self.names_year(year)
    }

    fn names_year(&self, year: i64) -> bool {
        let place = usize::try_from(year - i64::from(field::YEAR.min)).unwrap_or(usize::MAX);
        self.years.get(place / 64).is_some_and(|years| years >> (place % 64) & 1 == 1)
    }

    /// As [`next`](Self::next), in a zone whose offset changes. Goes from one change to the next, a day
    /// at a time, and by local time between them.
    fn next_zoned(&self, after: i64) -> Option<i64> {
        let every_hour = self.hours == EVERY_HOUR;
        let (mut at, mut offset) = (after, self.zone.offset(after));
        let from = if every_hour { at + offset } else { self.zone.latest_local(at) };
        let mut wanted = self.next_local(from)?;
        loop {
            let due = wanted - offset;
            let until = due.min(at + DAY);
            match self.zone.change(at, until) {
                None if until == due => return Some(due),
                None => at = until,
                // A named time that does not exist: now, then.
                Some((jump, new)) if !every_hour && wanted < jump + new => return Some(jump),
                Some((jump, new)) => {
                    (at, offset) = (jump, new);
                    if every_hour {
                        wanted = self.next_local(jump + new - 1)?;
                    }
                }
            }
        }
    }
}

/// Seconds since 1970, or the end of what cron knows: after that nothing fires.
fn seconds(unix: u64) -> i64 {
    const END: i64 = 200 * 366 * DAY;
    i64::try_from(unix).unwrap_or(END).min(END)
}

/// The lowest bit that is set, this or higher.
fn bit(mask: u64, from: u32) -> Option<u32> {
    let rest = mask.checked_shr(from)?;
    (rest != 0).then(|| from + rest.trailing_zeros())
}

fn nickname(name: &str) -> Result<&'static str, CronError> {
    match name.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => Ok("0 0 0 1 1 *"),
        "@monthly" => Ok("0 0 0 1 * *"),
        "@weekly" => Ok("0 0 0 * * 0"),
        "@daily" => Ok("0 0 0 * * *"),
        "@hourly" => Ok("0 0 * * * *"),
        _ => Err(CronError::Nickname(name.to_owned())),
    }
}

fn mask(field: &Field, text: &str) -> Result<u64, CronError> {
    let mut mask = 0;
    for part in field.parts(text) {
        mask = field.values(part)?.fold(mask, |mask, value| mask | 1 << value);
    }
    Ok(mask)
}

fn days(text: &str) -> Result<u32, CronError> {
    let mut days = 0;
    for part in field::DAY.parts(text) {
        let last = part.eq_ignore_ascii_case("l");
        days |= if last { 1 } else { mask(&field::DAY, part)? as u32 };
    }
    Ok(days)
}

fn weekdays(text: &str) -> Result<[u8; 7], CronError> {
    let mut weekdays = [0; 7];
    for part in field::WEEKDAY.parts(text) {
        let (values, which) = match (part.split_once('#'), part.strip_suffix(['l', 'L'])) {
            (Some((values, "l" | "L")), _) | (None, Some(values)) => (values, LAST),
            (Some((values, nth)), _) => match nth.parse() {
                Ok(nth @ 1..=5) => (values, nth),
                _ => return Err(field::WEEKDAY.refuse(part)),
            },
            (None, None) => (part, 0),
        };
        for value in field::WEEKDAY.values(values)? {
            weekdays[usize::from(value % 7)] |= 1 << which;
        }
    }
    Ok(weekdays)
}

fn years(text: &str) -> Result<[u64; 3], CronError> {
    let mut years = [0; 3];
    for part in field::YEAR.parts(text) {
        for year in field::YEAR.values(part)? {
            let place = usize::from(year - field::YEAR.min);
            years[place / 64] |= 1 << (place % 64);
        }
    }
    Ok(years)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
