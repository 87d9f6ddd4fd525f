//! One field of a cron expression: text to the values that it names.
//!
//! `*` or `?`, a value, a range `A-B`, each with a step `/N`, and lists of these with commas. A value
//! with a step and no end (`5/15`) goes on to the field's last value.

use super::CronError;

/// What a field may hold.
pub(super) struct Field {
    /// As errors call it.
    pub(super) name: &'static str,
    pub(super) min: u16,
    pub(super) max: u16,
    /// Names of the values, from `min` on.
    pub(super) names: &'static [&'static str],
    /// What may be written, for errors.
    pub(super) allowed: &'static str,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

macro_rules! fields {
    ($($id:ident $name:literal $min:literal..=$max:literal $names:expr, $allowed:literal;)*) => {
        $(pub(super) const $id: Field = Field {
            name: $name, min: $min, max: $max, names: $names, allowed: $allowed,
        };)*
    };
}

fields! {
    SECOND "second" 0..=59 &[], "0 to 59, such as 0, 0/15, 10-20 or *";
    MINUTE "minute" 0..=59 &[], "0 to 59, such as 0, */5, 10-20 or *";
    HOUR "hour" 0..=23 &[], "0 to 23, such as 6, 8-18/2, 7,19 or *";
    DAY "day of month" 1..=31 &[], "1 to 31, such as 1, 1-7, L for the last day, or *";
    MONTH "month" 1..=12 &MONTHS, "1 to 12 or JAN to DEC, such as 6, MAR-OCT or *";
    WEEKDAY "day of week" 0..=7 &WEEKDAYS,
        "0 to 7 (0 and 7 are Sunday) or SUN to SAT, such as MON-FRI, 5#2 for the second Friday, \
         5#L for the last one, or *";
    YEAR "year" 1970..=2099 &[], "1970 to 2099, such as 2030, 2026-2030 or *";
}

impl Field {
    /// The parts of the list.
    pub(super) fn parts<'a>(&self, text: &'a str) -> std::str::Split<'a, char> {
        text.split(',')
    }

    /// The values of one part of the list.
    pub(super) fn values(
        &self,
        part: &str,
    ) -> Result<std::iter::StepBy<std::ops::RangeInclusive<u16>>, CronError> {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(self.number(step, part)?)),
            None => (part, None),
        };
        let (first, last) = match (span, span.split_once('-')) {
            ("*" | "?", _) => (self.min, self.max),
            (_, Some((first, last))) => (self.value(first, part)?, self.end(last, part)?),
            (value, None) => {
                let value = self.value(value, part)?;
                (value, if step.is_some() { self.max } else { value })
            }
        };
        if first > last || step == Some(0) {
            return Err(self.refuse(part));
        }
        Ok((first..=last).step_by(usize::from(step.unwrap_or(1))))
    }

    /// Says what is wrong, and what may be written.
    pub(super) fn refuse(&self, part: &str) -> CronError {
        CronError::Field { field: self.name, text: part.to_owned(), allowed: self.allowed }
    }

    fn value(&self, text: &str, part: &str) -> Result<u16, CronError> {
        if let Some(named) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(self.min + named as u16);
        }
        let value = self.number(text, part)?;
        let inside = (self.min..=self.max).contains(&value);
        if inside { Ok(value) } else { Err(self.refuse(part)) }
    }

    /// The end of a range. A week may end with its Sunday: SAT-SUN is 6-7.
    fn end(&self, text: &str, part: &str) -> Result<u16, CronError> {
        if self.max == WEEKDAY.max && text.eq_ignore_ascii_case(WEEKDAYS[0]) {
            return Ok(self.max);
        }
        self.value(text, part)
    }

    fn number(&self, text: &str, part: &str) -> Result<u16, CronError> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).ok_or_else(|| self.refuse(part))
    }
}
