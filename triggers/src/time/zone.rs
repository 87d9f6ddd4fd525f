//! Time zones: UTC, which always works, and the named ones of the system's own files.
//!
//! Nothing is bundled: the zones of the world are half as large as all of the runner, and would be
//! out of date on a board that outlives them. A board without these files says so when a zone is
//! asked for.

use super::calendar::DAY;
use crate::limits::time::{ZONE_BYTES_MAX, ZONE_NAME_BYTES_MAX};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where systems keep their zones.
const FOLDER: &str = "/usr/share/zoneinfo";

/// A time zone. Cheap to clone: rules of one zone should share it, a zone takes about 4 KB.
#[derive(Debug, Clone, Default)]
pub struct Zone(Option<Arc<tz::TimeZone>>);

/// Why there is no such zone.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// Nothing under that name, or no name at all.
    #[error(
        "time zone \"{name}\": this system has none of that name in {folder}; names are like \
         Europe/Berlin, and UTC is always there"
    )]
    Unknown {
        /// As asked for.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The system has no zones.
    #[error(
        "time zone \"{name}\": this system has no time zones, {folder} is missing; install them \
         (Debian: tzdata), copy that one file, or use UTC"
    )]
    NoZones {
        /// As asked for.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The file is there and is no zone, or cannot be read.
    #[error("time zone \"{name}\": cannot use {file}: {reason}")]
    Unusable {
        /// As asked for.
        name: String,
        /// What was read.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Zone {
    /// The zone without an offset.
    pub fn utc() -> Self {
        Self(None)
    }

    /// `UTC`, or a zone of the IANA database by its name.
    ///
    /// # Errors
    /// If the system has no zones, not this one, or a broken one.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        Self::named_in(Path::new(FOLDER), name)
    }

    fn named_in(folder: &Path, name: &str) -> Result<Self, ZoneError> {
        if ["UTC", "Etc/UTC"].contains(&name) {
            return Ok(Self::utc());
        }
        let (owned, file) = (|| name.to_owned(), folder.join(name));
        if !is_name(name) || (folder.is_dir() && !file.is_file()) {
            return Err(ZoneError::Unknown { name: owned(), folder: folder.to_owned() });
        }
        if !folder.is_dir() {
            return Err(ZoneError::NoZones { name: owned(), folder: folder.to_owned() });
        }
        let unusable = |reason| ZoneError::Unusable { name: owned(), file: file.clone(), reason };
        let bytes = read(&file).map_err(|error| unusable(error.to_string()))?;
        let zone = tz::TimeZone::from_tz_data(&bytes);
        Ok(Self(Some(Arc::new(zone.map_err(|error| unusable(error.to_string()))?))))
    }

    pub(super) fn is_utc(&self) -> bool {
        self.0.is_none()
    }

    /// Local time minus UTC, in seconds, at a second since 1970.
    pub(super) fn offset(&self, at: i64) -> i64 {
        let Some(zone) = &self.0 else { return 0 };
        zone.find_local_time_type(at).map_or(0, |kind| i64::from(kind.ut_offset()))
    }

    /// The first second after `from`, and not after `until`, with another offset, and that offset.
    /// The two may be a day apart; two changes within a day are not told apart.
    pub(super) fn change(&self, from: i64, until: i64) -> Option<(i64, i64)> {
        let (old, new) = (self.offset(from), self.offset(until));
        if old == new {
            return None;
        }
        let (mut before, mut after) = (from, until);
        while after - before > 1 {
            let between = before + (after - before) / 2;
            if self.offset(between) == old { before = between } else { after = between }
        }
        Some((after, self.offset(after)))
    }

    /// The latest local time that clocks showed until `at`: not the local time at `at`, if clocks were
    /// put back shortly before.
    pub(super) fn latest_local(&self, at: i64) -> i64 {
        let local = at + self.offset(at);
        let Some((change, _)) = self.change(at - DAY, at) else { return local };
        local.max(change + self.offset(change - 1) - 1)
    }
}

/// Whether it can name a zone: no path that leads out of the folder.
fn is_name(name: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
    let parts = |mut part: std::str::Split<'_, char>| part.all(|part| !part.is_empty());
    name.len() <= ZONE_NAME_BYTES_MAX && name.bytes().all(of_name) && parts(name.split('/'))
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(ZONE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::named(name).expect("this test needs the system's time zones (Debian: tzdata)")
    }

    #[test]
    fn offsets_follow_the_file_and_its_rule_for_the_years_after_it() {
        let berlin = zone("Europe/Berlin");
        for (at, hours) in [(0, 1), (1_774_745_999, 1), (1_774_746_000, 2), (3_000_000_000, 1)] {
            assert_eq!(berlin.offset(at), hours * 3_600, "{at}");
        }
        assert_eq!(zone("Asia/Kolkata").offset(1_700_000_000), 19_800);
    }

    #[test]
    fn a_change_is_found_to_the_second() {
        let berlin = zone("Europe/Berlin");
        let change = 1_774_746_000;
        assert_eq!(berlin.change(change - DAY, change - 1), None);
        assert_eq!(berlin.change(change - DAY, change), Some((change, 7_200)));
        assert_eq!(berlin.change(change - 1, change - 1 + DAY), Some((change, 7_200)));
        assert_eq!(berlin.change(change, change + DAY), None);
    }

    #[test]
    fn utc_needs_no_files_and_every_other_zone_does() {
        let nowhere = Path::new("/nowhere/zones");
        assert!(Zone::named_in(nowhere, "UTC").is_ok_and(|zone| zone.is_utc()));
        let error = Zone::named_in(nowhere, "Europe/Berlin").unwrap_err().to_string();
        assert_eq!(
            error,
            "time zone \"Europe/Berlin\": this system has no time zones, /nowhere/zones is \
             missing; install them (Debian: tzdata), copy that one file, or use UTC"
        );
    }

    #[test]
    fn what_is_no_zone_is_refused_by_name() {
        for name in ["Europe/Atlantis", "", "..", "../../etc/passwd", "/etc/passwd", "Europe"] {
            let error = Zone::named(name).unwrap_err();
            assert!(matches!(error, ZoneError::Unknown { .. }), "{name}: {error}");
        }
        let error = Zone::named_in(Path::new("/proc/self"), "status").unwrap_err().to_string();
        assert!(
            error.starts_with("time zone \"status\": cannot use /proc/self/status: "),
            "{error}"
        );
    }
}
