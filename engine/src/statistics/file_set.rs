//! One kind's files: the present one by the scheme chosen, and a link to it under the plain name.
//!
//! Names are ntpd's (filegen): `loopstats.20261123` by day, `loopstats.2026w47` by week, and so on. A line
//! is there whole or not at all: what a full disk cuts is taken back.
//!
//! Must never: overwrite a file somebody else has put under the plain name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use timeball_time::{Served, Timestamp};

use crate::config::FileScheme;

/// The files of one kind.
#[derive(Debug)]
pub(super) struct FileSet {
    /// The plain name, with its directory.
    base: PathBuf,
    scheme: FileScheme,
    link: bool,
    open: Option<(PathBuf, File)>,
}

impl FileSet {
    /// The set called `base`; nothing is opened yet.
    pub(super) const fn new(base: PathBuf, scheme: FileScheme, link: bool) -> Self {
        Self { base, scheme, link, open: None }
    }

    /// Appends `line`, which is of `at`, `uptime_s` after the start.
    ///
    /// # Errors
    /// As the system says; the line is then not there, and the next is tried anew.
    pub(super) fn append(
        &mut self,
        line: &str,
        at: Timestamp<Served>,
        uptime_s: u64,
    ) -> io::Result<()> {
        let path = self.path(at, uptime_s);
        let present = self.open.take().filter(|(open, _)| *open == path);
        let mut file = match present {
            Some((_, file)) => file,
            None => self.create(&path)?,
        };
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(line.as_bytes()) {
            let _ = file.set_len(before);
            return Err(error);
        }
        self.open = Some((path, file));
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        if self.link && path != self.base {
            make_way(&self.base)?;
            fs::hard_link(path, &self.base)?;
        }
        Ok(file)
    }

    fn path(&self, at: Timestamp<Served>, uptime_s: u64) -> PathBuf {
        let mut name = self.base.clone().into_os_string();
        name.push(suffix(self.scheme, at, uptime_s));
        name.into()
    }
}

/// What follows the plain name.
fn suffix(scheme: FileScheme, at: Timestamp<Served>, uptime_s: u64) -> String {
    let (year, month, day, year_day) = calendar(at.nanos().div_euclid(DAY_NS));
    match scheme {
        FileScheme::None => String::new(),
        FileScheme::Pid => format!(".#{}", std::process::id()),
        FileScheme::Day => format!(".{year:04}{month:02}{day:02}"),
        FileScheme::Week => format!(".{year:04}w{:02}", year_day / 7),
        FileScheme::Month => format!(".{year:04}{month:02}"),
        FileScheme::Year => format!(".{year:04}"),
        FileScheme::Age => format!(".a{:08}", uptime_s - uptime_s % DAY_S),
    }
}

/// Takes an old link away; a file of its own gets another name, as ntpd does it.
fn make_way(base: &Path) -> io::Result<()> {
    match fs::symlink_metadata(base) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(old) if old.is_file() && old.nlink() == 1 => {
            let mut aside = base.as_os_str().to_owned();
            aside.push(format!(".{}C{}", std::process::id(), old.mtime()));
            fs::rename(base, aside)
        }
        Ok(_) => fs::remove_file(base),
    }
}

/// Year, month, day and day of the year (from 0) of a day counted from 1970-01-01, Gregorian.
fn calendar(days: i64) -> (i64, i64, i64, i64) {
    // The year of a day is found among the three it can be in.
    let starts = |year: i64| {
        let past = year - 1;
        past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400) - TO_1970
    };
    let guess = 1970 + days.div_euclid(365);
    let year = (0..).map(|back| guess - back).find(|&year| starts(year) <= days).unwrap_or(guess);
    let year_day = days - starts(year);
    let february = if starts(year + 1) - starts(year) == 366 { 29 } else { 28 };
    let mut day = year_day;
    for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if day < length {
            return (year, month, day + 1, year_day);
        }
        day -= length;
    }
    (year, 12, 31, year_day)
}

const DAY_S: u64 = 86_400;
const DAY_NS: i64 = 86_400_000_000_000;
/// Days from 0001-01-01 to 1970-01-01.
const TO_1970: i64 = 719_162;

#[cfg(test)]
mod tests {
    use super::*;

    fn day(days: i64) -> Timestamp<Served> {
        Timestamp::from_nanos(days * DAY_NS + 1)
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, date) in [
            (0, (1970, 1, 1, 0)),
            (-1, (1969, 12, 31, 364)),
            (11_016, (2000, 2, 29, 59)),
            (20_780, (2026, 11, 23, 326)),
            (21_184, (2028, 1, 1, 0)),
            (47_541, (2100, 3, 1, 59)),
        ] {
            assert_eq!(calendar(days), date, "{days}");
        }
    }

    #[test]
    fn names_are_those_of_filegen() {
        let name = |scheme| suffix(scheme, day(20_780), 200_000);
        assert_eq!(name(FileScheme::None), "");
        assert_eq!(name(FileScheme::Day), ".20261123");
        assert_eq!(name(FileScheme::Week), ".2026w46");
        assert_eq!(name(FileScheme::Month), ".202611");
        assert_eq!(name(FileScheme::Year), ".2026");
        assert_eq!(name(FileScheme::Age), ".a00172800");
        assert_eq!(name(FileScheme::Pid), format!(".#{}", std::process::id()));
    }

    #[test]
    fn a_new_day_is_a_new_file_and_the_link_follows() {
        let directory = std::env::temp_dir().join(format!("timeball-set-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let base = directory.join("loopstats");
        fs::write(&base, "somebody's\n").unwrap();
        let mut set = FileSet::new(base.clone(), FileScheme::Day, true);
        set.append("one\n", day(20_780), 0).unwrap();
        set.append("two\n", day(20_780), 0).unwrap();
        assert_eq!(fs::read_to_string(&base).unwrap(), "one\ntwo\n");
        set.append("three\n", day(20_781), 0).unwrap();
        assert_eq!(fs::read_to_string(&base).unwrap(), "three\n");
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!(read("loopstats.20261123"), "one\ntwo\n");
        assert_eq!(read("loopstats.20261124"), "three\n");
        let others = fs::read_dir(&directory).unwrap().filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains(&std::process::id().to_string())
        });
        assert_eq!(others.count(), 1, "what was there is kept under another name");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_full_disk_is_told_and_costs_whole_lines() {
        let mut set = FileSet::new("/dev/full".into(), FileScheme::None, true);
        let error = set.append("line\n", day(1), 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
