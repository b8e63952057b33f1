//! The lines of ntpd's statistics files, to the column and the digit.
//!
//! Each begins with the day as a Modified Julian Date and the second of that day; the formats are those of
//! NTPsec 1.2, and of ntp.org's ntpd for sysstats.
//!
//! Must never: change a column; programs of others read them.

use std::net::IpAddr;

use timeball_discipline::SourceStatus;
use timeball_time::{Interval, NtpTimestamp, Rate, Served, Timestamp};
use timeball_wire::Header;

use crate::config::StatisticsKind;
use crate::control::peer_status_word;
use crate::names::reference;
use crate::report::Work;

/// Something to be written.
#[derive(Debug)]
pub(super) enum Record {
    /// peerstats: a source has answered.
    Peer(Peer),
    /// loopstats: the clock was corrected.
    Loop(Loop),
    /// rawstats: the answer itself.
    Answer(Answer),
    /// clockstats: something about the local clock.
    Clock {
        /// When.
        at: Timestamp<Served>,
        /// What.
        text: &'static str,
    },
    /// sysstats: what was done for clients in an hour.
    Work {
        /// When.
        at: Timestamp<Served>,
        /// Over how long.
        seconds: u64,
        /// What.
        work: Work,
    },
}

/// A source after an answer.
#[derive(Debug)]
pub(super) struct Peer {
    at: Timestamp<Served>,
    address: IpAddr,
    status: u16,
    offset: Interval,
    delay: Interval,
    dispersion: Interval,
    jitter: Interval,
}

impl Peer {
    /// `source` as it is at `at`; `None` if it has no estimate yet.
    pub(super) fn of(source: &SourceStatus, at: Timestamp<Served>) -> Option<Self> {
        Some(Self {
            at,
            address: source.remote?.ip(),
            status: peer_status_word(source.tally.symbol(), source.reach, source.requests),
            offset: source.offset?,
            delay: source.delay?,
            dispersion: source.offset_error?,
            jitter: source.jitter?,
        })
    }
}

/// The clock after a correction.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) at: Timestamp<Served>,
    pub(super) offset: Interval,
    pub(super) frequency: Rate,
    pub(super) jitter: Interval,
    pub(super) wander: Rate,
    pub(super) poll: i8,
}

/// One answer, and when it and its request passed us.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) remote: IpAddr,
    pub(super) local: IpAddr,
    pub(super) departure: Timestamp<Served>,
    pub(super) arrival: Timestamp<Served>,
    pub(super) header: Header,
}

impl Record {
    /// The set of files it belongs to.
    pub(super) const fn kind(&self) -> StatisticsKind {
        match self {
            Self::Peer(_) => StatisticsKind::Peer,
            Self::Loop(_) => StatisticsKind::Loop,
            Self::Answer(_) => StatisticsKind::Raw,
            Self::Clock { .. } => StatisticsKind::Clock,
            Self::Work { .. } => StatisticsKind::Sys,
        }
    }

    /// When it is of.
    pub(super) const fn at(&self) -> Timestamp<Served> {
        match self {
            Self::Peer(peer) => peer.at,
            Self::Loop(reference) => reference.at,
            Self::Answer(answer) => answer.arrival,
            Self::Clock { at, .. } | Self::Work { at, .. } => *at,
        }
    }

    /// The line, with its end.
    pub(super) fn line(&self) -> String {
        let seconds = Interval::as_secs_f64;
        let rest = match self {
            Self::Peer(peer) => format!(
                "{} {:x} {:.9} {:.9} {:.9} {:.9}",
                peer.address,
                peer.status,
                seconds(peer.offset),
                seconds(peer.delay),
                seconds(peer.dispersion),
                seconds(peer.jitter)
            ),
            Self::Loop(it) => format!(
                "{:.9} {:.6} {:.9} {:.6} {}",
                seconds(it.offset),
                it.frequency.as_ppm(),
                seconds(it.jitter),
                it.wander.as_ppm(),
                it.poll
            ),
            Self::Answer(answer) => raw(answer),
            Self::Clock { text, .. } => format!("127.127.1.0 {text}"),
            Self::Work { seconds, work, .. } => system(*seconds, work),
        };
        format!("{} {rest}\n", date(self.at()))
    }
}

fn raw(answer: &Answer) -> String {
    let header = &answer.header;
    let times = [
        NtpTimestamp::floor(answer.departure),
        header.receive,
        header.transmit,
        NtpTimestamp::floor(answer.arrival),
    ];
    let times: Vec<String> = times.into_iter().map(seconds_since_1900).collect();
    format!(
        "{} {} {} {} {} {} {} {} {} {:.6} {:.6} {} 0 0 0",
        answer.remote,
        answer.local,
        times.join(" "),
        header.flags.leap.to_bits(),
        header.flags.version,
        header.flags.mode.to_bits(),
        header.stratum,
        header.poll,
        header.precision,
        header.root_delay.interval().as_secs_f64(),
        header.root_dispersion.interval().as_secs_f64(),
        reference(header.stratum, header.reference_id),
    )
}

/// ntpd's thirteen columns. NTPsec has had one more since 1.2.2, for version 1 alone, which is among the
/// older versions here as it is there.
fn system(seconds: u64, work: &Work) -> String {
    let version = |version: usize| work.answered_by_version.get(version - 1).copied().unwrap_or(0);
    let older = version(1) + version(2) + version(3);
    let columns = [
        seconds,
        work.received,
        work.answered,
        version(4),
        older,
        work.restricted(),
        work.bad_format(),
        work.noted("crypto_nak"),
        work.unanswered - work.restricted() - work.bad_format() - work.limited(),
        // Those who were told so are among those who asked too often.
        work.limited() + work.noted("kisses"),
        work.noted("kisses"),
    ];
    columns.map(|column| column.to_string()).join(" ")
}

/// Day and second of the day, to the millisecond.
fn date(at: Timestamp<Served>) -> String {
    let millis = at.nanos().div_euclid(1_000_000);
    let (day, rest) = (millis.div_euclid(DAY_MS), millis.rem_euclid(DAY_MS));
    format!("{} {}.{:03}", day + MJD_1970, rest / 1000, rest % 1000)
}

fn seconds_since_1900(at: NtpTimestamp) -> String {
    let bits = at.to_bits();
    let nanos = ((bits & 0xffff_ffff) * 1_000_000_000) >> 32;
    format!("{}.{nanos:09}", bits >> 32)
}

const DAY_MS: i64 = 86_400_000;
/// 1970-01-01 as a Modified Julian Date.
const MJD_1970: i64 = 40_587;

#[cfg(test)]
mod tests {
    use timeball_time::{Leap, ReferenceId};
    use timeball_wire::{Flags, Mode};

    use super::*;

    /// The first second of MJD 61367 is 2026-11-23T00:00Z.
    fn at(seconds: i64, nanos: i64) -> Timestamp<Served> {
        Timestamp::from_nanos((1_795_392_000 + seconds) * 1_000_000_000 + nanos)
    }

    #[test]
    fn loopstats_and_peerstats_are_as_ntpd_writes_them() {
        let reference = Record::Loop(Loop {
            at: at(31_610, 219_900_000),
            offset: Interval::from_nanos(-11_290),
            frequency: Rate::ZERO,
            jitter: Interval::from_nanos(3_992),
            wander: Rate::ZERO,
            poll: 0,
        });
        let line = "61367 31610.219 -0.000011290 0.000000 0.000003992 0.000000 0\n";
        assert_eq!(reference.line(), line);
        let peer = Record::Peer(Peer {
            at: at(5, 7_000_000),
            address: "10.9.9.2".parse().unwrap(),
            status: 0x961a,
            offset: Interval::from_nanos(25_384),
            delay: Interval::from_nanos(70_247),
            dispersion: Interval::from_secs(-1),
            jitter: Interval::ZERO,
        });
        let line = "61367 5.007 10.9.9.2 961a 0.000025384 0.000070247 -1.000000000 0.000000000\n";
        assert_eq!(peer.line(), line);
    }

    #[test]
    fn rawstats_are_as_ntpd_writes_them() {
        let flags = Flags { leap: Leap::None, version: 4, mode: Mode::Server };
        let stamp =
            |fraction: u32| NtpTimestamp::from_bits(4_004_412_404 << 32 | u64::from(fraction));
        let header = Header {
            stratum: 5,
            precision: -26,
            reference_id: ReferenceId::from_octets([127, 127, 1, 1]),
            receive: stamp(1 << 31),
            transmit: stamp(3 << 30),
            ..Header::new(flags)
        };
        let answer = Record::Answer(Answer {
            remote: "10.9.9.2".parse().unwrap(),
            local: "10.9.9.1".parse().unwrap(),
            departure: at(31_604, 250_000_000),
            arrival: at(31_604, 875_000_000),
            header,
        });
        assert_eq!(
            answer.line(),
            "61367 31604.875 10.9.9.2 10.9.9.1 4004412404.250000000 4004412404.500000000 \
             4004412404.750000000 4004412404.875000000 0 4 4 5 0 -26 0.000000 0.000000 127.127.1.1 \
             0 0 0\n"
        );
    }
}
