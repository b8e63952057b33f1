//! The list of leap seconds, as IERS and NIST publish it (leap-seconds.list).
//!
//! ```text
//! #$ 3945024000                 when it was written      seconds since 1900, not modulo anything
//! #@ 3991593600                 when it expires
//! 3692217600  37  # 1 Jan 2017  from then on TAI − UTC is 37 s
//! #h 848434d5 …                 SHA-1 over the digits of all those numbers, as five 32-bit words
//! ```
//!
//! The list outranks what sources say: it is signed off by those who decide on leap seconds, while one bit
//! in a packet is anybody's. Once expired it says nothing any more, and sources are heard again.
//!
//! Must never: be used in part: a list with a wrong line or a wrong digest is refused whole.

use sha1::{Digest, Sha1};
use timeball_time::{Interval, LeapKind, Served, Timestamp};

/// Every leap second up to an expiry date.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeapTable {
    /// First instant of each TAI − UTC in seconds, rising.
    offsets: Vec<(Timestamp<Served>, i32)>,
    expires: Timestamp<Served>,
}

impl LeapTable {
    /// Reads the text of a leap-seconds.list.
    ///
    /// # Errors
    /// [`LeapTableError`], with the line; the remedy is to fetch the file again.
    pub fn parse(text: &str) -> Result<Self, LeapTableError> {
        let mut reading = Reading::default();
        for (number, line) in (1u32..).zip(text.lines()) {
            reading.line(line).map_err(|flaw| LeapTableError { line: number, flaw })?;
        }
        reading.finish().map_err(|flaw| LeapTableError { line: 1, flaw })
    }

    /// When the list stops saying anything.
    pub const fn expires(&self) -> Timestamp<Served> {
        self.expires
    }

    /// Whether the list says if there is a leap second before `midnight`.
    pub fn covers(&self, midnight: Timestamp<Served>) -> bool {
        midnight <= self.expires
    }

    /// The leap second right before `midnight`, if there is one.
    pub fn leap_before(&self, midnight: Timestamp<Served>) -> Option<LeapKind> {
        let at = self.offsets.iter().position(|&(from, _)| from == midnight)?;
        let before = self.offsets.get(at.checked_sub(1)?)?.1;
        match self.offsets[at].1 - before {
            1 => Some(LeapKind::Insert),
            -1 => Some(LeapKind::Delete),
            _ => None,
        }
    }

    /// TAI − UTC in seconds at `now`; `None` before 1972 and once the list has expired.
    pub fn tai_offset_s(&self, now: Timestamp<Served>) -> Option<i32> {
        let known = self.offsets.iter().rev().find(|&&(from, _)| from <= now);
        known.filter(|_| self.covers(now)).map(|&(_, offset)| offset)
    }
}

/// Why a list of leap seconds was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{flaw}")]
pub struct LeapTableError {
    /// The line at fault, from 1; 1 too if it is the file as a whole.
    pub line: u32,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with a list of leap seconds.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Flaw {
    /// A line that is neither a comment nor two numbers.
    #[error("not a line of a leap second list (a time, TAI − UTC, and perhaps a comment)")]
    NotALine,
    /// The dates do not rise, or TAI − UTC changes by something else than a second.
    #[error("not one second more or less than the line before, or not later")]
    Order,
    /// A leap second that would not come at a UTC midnight.
    #[error("not a UTC midnight")]
    NotMidnight,
    /// No leap second at all.
    #[error("the list holds no leap second")]
    Empty,
    /// No `#@` line.
    #[error("the list does not say when it expires (#@)")]
    NoExpiry,
    /// The digest does not match.
    #[error("the list's SHA-1 digest (#h) does not match its contents: it is damaged")]
    Digest,
}

#[derive(Default)]
struct Reading {
    written: String,
    expires: Option<(String, Timestamp<Served>)>,
    offsets: Vec<(Timestamp<Served>, i32)>,
    /// The digits of all data lines.
    digits: String,
    digest: Option<[u32; 5]>,
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), Flaw> {
        if let Some(written) = line.strip_prefix("#$") {
            instant(written.trim())?;
            self.written = written.trim().to_owned();
        } else if let Some(expires) = line.strip_prefix("#@") {
            self.expires = Some((expires.trim().to_owned(), instant(expires.trim())?));
        } else if let Some(words) = line.strip_prefix("#h") {
            self.digest = Some(digest(words)?);
        } else {
            let data = line.split('#').next().unwrap_or_default();
            let mut words = data.split_ascii_whitespace();
            match (words.next(), words.next(), words.next()) {
                (None, _, _) => {}
                (Some(from), Some(offset), None) => self.offset(from, offset)?,
                _ => return Err(Flaw::NotALine),
            }
        }
        Ok(())
    }

    fn offset(&mut self, from: &str, offset: &str) -> Result<(), Flaw> {
        let at = instant(from)?;
        let seconds: i32 = offset.parse().map_err(|_| Flaw::NotALine)?;
        if at.nanos().rem_euclid(DAY.nanos()) != 0 {
            return Err(Flaw::NotMidnight);
        }
        if let Some(&(before, other)) = self.offsets.last()
            && (at <= before || seconds.abs_diff(other) != 1)
        {
            return Err(Flaw::Order);
        }
        if self.offsets.len() == LEAPS_MAX || seconds.abs() > OFFSET_MAX_S {
            return Err(Flaw::NotALine);
        }
        self.offsets.push((at, seconds));
        self.digits += from;
        self.digits += offset;
        Ok(())
    }

    fn finish(self) -> Result<LeapTable, Flaw> {
        let (expiry_digits, expires) = self.expires.ok_or(Flaw::NoExpiry)?;
        if self.offsets.is_empty() {
            return Err(Flaw::Empty);
        }
        if let Some(claimed) = self.digest {
            let mut hasher = Sha1::new();
            for part in [&self.written, &expiry_digits, &self.digits] {
                hasher.update(part.as_bytes());
            }
            let found: [u8; 20] = hasher.finalize().into();
            let claimed = claimed.iter().flat_map(|word| word.to_be_bytes());
            if !claimed.eq(found) {
                return Err(Flaw::Digest);
            }
        }
        Ok(LeapTable { offsets: self.offsets, expires })
    }
}

/// Seconds since 1900 as an instant.
fn instant(digits: &str) -> Result<Timestamp<Served>, Flaw> {
    let since_1900: i64 = digits.parse().map_err(|_| Flaw::NotALine)?;
    if !(0..SECONDS_MAX).contains(&since_1900) {
        return Err(Flaw::NotALine);
    }
    Ok(Timestamp::from_nanos(0) + Interval::from_secs(since_1900 - FROM_1900_TO_1970_S))
}

/// Five words of hexadecimal, whose leading zeros some editions leave out.
fn digest(words: &str) -> Result<[u32; 5], Flaw> {
    let mut digest = [0; 5];
    let mut words = words.split_ascii_whitespace();
    for word in &mut digest {
        let text = words.next().ok_or(Flaw::NotALine)?;
        *word = u32::from_str_radix(text, 16).map_err(|_| Flaw::NotALine)?;
    }
    if words.next().is_some() { Err(Flaw::NotALine) } else { Ok(digest) }
}

const FROM_1900_TO_1970_S: i64 = 2_208_988_800;
/// The year 2200: farther than anybody decides, and within what an instant holds.
const SECONDS_MAX: i64 = 300 * 365 * 86_400;
const DAY: Interval = Interval::from_secs(86_400);
/// There were 27 in the first fifty years.
const LEAPS_MAX: usize = 1_000;
const OFFSET_MAX_S: i32 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of the list of July 2016, with its first three lines.
    const LINES: &str = "# leap seconds\n#$ 3676924800\n#@ 3707596800\n2272060800 10 # 1 Jan 1972\n\
                         2287785600\t11\t# 1 Jul 1972\n2303683200 12\n";

    fn with_digest(lines: &str, digest: &str) -> String {
        format!("{lines}#\n#h {digest}\n")
    }

    fn at(since_1900: i64) -> Timestamp<Served> {
        instant(&since_1900.to_string()).unwrap()
    }

    #[test]
    fn a_list_is_read_and_knows_its_leaps_and_its_end() {
        let table = LeapTable::parse(LINES).unwrap();
        assert_eq!(table.leap_before(at(2_287_785_600)), Some(LeapKind::Insert));
        assert_eq!(table.leap_before(at(2_272_060_800)), None, "where the count begins");
        assert_eq!(table.leap_before(at(2_287_785_600 + 86_400)), None);
        assert_eq!(table.tai_offset_s(at(2_287_785_600 - 1)), Some(10));
        assert_eq!(table.tai_offset_s(at(2_287_785_600)), Some(11));
        assert_eq!(table.tai_offset_s(at(3_707_596_801)), None, "expired");
        assert!(table.covers(at(3_707_596_800)) && !table.covers(at(3_707_596_801)));
        let shorter = LINES.replace("2303683200 12", "2303683200 10");
        let table = LeapTable::parse(&shorter).unwrap();
        assert_eq!(table.leap_before(at(2_303_683_200)), Some(LeapKind::Delete));
    }

    #[test]
    fn the_digest_is_held_against_the_contents() {
        // SHA-1 of 36769248003707596800227206080010228778560011230368320012, by sha1sum.
        let right = "f00498b7 6edf34b1 87b24570 43751e8a d23b7d9e";
        assert!(LeapTable::parse(&with_digest(LINES, right)).is_ok());
        let changed = LINES.replace("2303683200 12", "2303769600 12");
        let error = LeapTable::parse(&with_digest(&changed, right)).unwrap_err();
        assert_eq!(error.flaw, Flaw::Digest);
    }

    #[test]
    fn the_systems_own_list_is_read() {
        let path = "/usr/share/zoneinfo/leap-seconds.list";
        let Ok(text) = std::fs::read_to_string(path) else {
            eprintln!("{path} is not there: nothing to read");
            return;
        };
        let table = LeapTable::parse(&text).unwrap();
        assert_eq!(table.leap_before(at(3_692_217_600)), Some(LeapKind::Insert), "1 Jan 2017");
        assert_eq!(table.tai_offset_s(at(3_692_217_600)), Some(37));
    }

    #[test]
    fn a_damaged_list_is_refused_with_its_line() {
        for (damage, line, flaw) in [
            ("2287785600\t11", 5, "2287785600"),
            ("2287785600\t11", 5, "2287785600 12"),
            ("2287785600\t11", 5, "2272060800 11"),
            ("2287785600\t11", 5, "2287785601 11"),
            ("2287785600\t11", 5, "2287785600 eleven"),
            ("2287785600\t11", 5, "99999999999999999999 11"),
            ("#@ 3707596800", 3, "#@ soon"),
            ("#@ 3707596800", 1, "# no expiry"),
            ("# leap seconds", 1, "#h 1 2 3 4"),
            ("# leap seconds", 1, "leap seconds"),
        ] {
            let error = LeapTable::parse(&LINES.replace(damage, flaw)).unwrap_err();
            assert_eq!(error.line, line, "{flaw}: {error}");
        }
        assert_eq!(LeapTable::parse("").unwrap_err().flaw, Flaw::NoExpiry);
        assert_eq!(LeapTable::parse("#@ 3707596800\n").unwrap_err().flaw, Flaw::Empty);
    }
}
