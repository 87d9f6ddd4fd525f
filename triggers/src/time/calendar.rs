//! Dates of the proleptic Gregorian calendar and the days since 1970-01-01, there and back. No zones,
//! no leap seconds: Unix time has none.
//!
//! Both ways count years from March, so that the leap day comes last and the lengths of the months
//! before it follow a line.

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Days of 400 years.
const ERA: i64 = 146_097;

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: u32,
    /// 1 to 31.
    pub(super) day: u32,
}

impl Date {
    /// The date that is so many days after 1970-01-01.
    pub(super) fn from_days(days: i64) -> Self {
        let days = days + EPOCH;
        let in_era = days.rem_euclid(ERA);
        let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
        let in_year = in_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * in_year + 2) / 153;
        let day = in_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = days.div_euclid(ERA) * 400 + year + i64::from(month <= 2);
        Self { year, month: month.unsigned_abs() as u32, day: day.unsigned_abs() as u32 }
    }

    /// Days since 1970-01-01.
    pub(super) fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let from_march = i64::from((self.month + 9) % 12);
        let in_year = (153 * from_march + 2) / 5 + i64::from(self.day) - 1;
        let in_era = year.rem_euclid(400);
        let in_era = in_era * 365 + in_era / 4 - in_era / 100 + in_year;
        year.div_euclid(400) * ERA + in_era - EPOCH
    }

    /// 0 for Sunday to 6 for Saturday. 1970-01-01 was a Thursday.
    pub(super) fn weekday(self) -> usize {
        (self.days() + 4).rem_euclid(7).unsigned_abs() as usize
    }

    /// Days of this date's month.
    pub(super) fn month_length(self) -> u32 {
        match self.month {
            2 if self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// A second since 1970, to be read by people.
pub(super) struct Utc(pub(super) u64);

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = i64::try_from(self.0).unwrap_or(i64::MAX);
        let (date, second) = (Date::from_days(seconds / DAY), seconds % DAY);
        write!(f, "{date} {:02}:{:02}:{:02} UTC", second / 3_600, second / 60 % 60, second % 60)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before_and_finds_its_way_back() {
        let mut expected = Date { year: 1600, month: 1, day: 1 };
        let first = expected.days();
        let mut weekday = 6;
        for days in first..first + 2 * ERA {
            let date = Date::from_days(days);
            assert_eq!((date, date.weekday(), date.days()), (expected, weekday, days));
            weekday = (weekday + 1) % 7;
            expected.day += 1;
            if expected.day > expected.month_length() {
                (expected.day, expected.month) = (1, expected.month + 1);
            }
            if expected.month > 12 {
                (expected.month, expected.year) = (1, expected.year + 1);
            }
        }
        assert_eq!(expected, Date { year: 2400, month: 1, day: 1 });
        assert_eq!(Utc(951_782_399).to_string(), "2000-02-28 23:59:59 UTC");
    }
}
