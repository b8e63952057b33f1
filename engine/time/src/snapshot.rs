//! THE SNAPSHOT: everything a reply needs, published by one thread and read by all.
//!
//! One cache-aligned block of 128 bytes. It carries the reply's header in wire order, how the error bound
//! grows, and the mapping from the kernel clock to served time:
//!
//! ```text
//! served(t) = t + offset + rate · (t − epoch)
//! root dispersion(t) = root dispersion + dispersion rate · (t − epoch)
//! ```
//!
//! The mapping is linear so that a kernel RX stamp taken 5 ms before the worker saw the packet is mapped
//! as exactly as the clock reading of this moment. A snapshot says until when it may be used; past that,
//! or if the kernel clock has jumped to before its epoch, [`Snapshot::is_valid_at`] is false and the
//! answer is leap 3: a stuck discipline thread makes the server modest, not silent and not a liar.
//!
//! A leap second ahead is part of the snapshot: [`Snapshot::served`] takes it at its instant. Whoever answers
//! many requests of one moment decides once, by [`Snapshot::settled`] or [`Snapshot::smeared`], so that
//! both times of a reply lie on the same side of the leap: what a client measures is the difference.
//!
//! Readers are wait-free: a [`Reader`] keeps its last whole view, and if it meets a write under way it
//! goes on with that view, which by construction is still within its validity.
//!
//! Must never: be written by two threads ([`Publisher`] cannot be cloned), or be read in parts.

use core::fmt;
use std::sync::Arc;

use crossbeam::utils::CachePadded;

use crate::leap::{LeapKind, LeapMaker, LeapSecond};
use crate::seqlock::SeqLock;
use crate::smear::{Smear, smear_reference_id};
use crate::{
    Interval, Leap, NtpShort, NtpTimestamp, Rate, Realtime, ReferenceId, Served, Stratum, Timestamp,
};

/// One published state of the served clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Leap indicator; [`Leap::Unsynchronised`] when no client may believe the time.
    pub leap: Leap,
    /// Stratum announced, 1 to 16.
    pub stratum: Stratum,
    /// log2 of the clock's reading resolution in seconds, e.g. −24 for 60 ns.
    pub precision: i8,
    /// Total round-trip delay to the reference.
    pub root_delay: NtpShort,
    /// Where the time comes from, or a kiss code when it comes from nowhere.
    pub reference_id: ReferenceId,
    /// When the clock was last corrected, in served time; zero if never.
    pub reference_time: NtpTimestamp,
    /// Error bound to the reference at `epoch`.
    pub root_dispersion: Interval,
    /// Growth of that bound after `epoch`; not negative.
    pub dispersion_rate: Rate,
    /// The kernel time at which the mapping is anchored.
    pub epoch: Timestamp<Realtime>,
    /// Served minus kernel time at `epoch`.
    pub offset: Interval,
    /// Rate of served time against the kernel clock, beyond 1.
    pub rate: Rate,
    /// Last kernel time at which this snapshot may be used.
    pub valid_until: Timestamp<Realtime>,
    /// The leap second at the end of this day, or one that is still being smeared.
    pub leap_second: Option<LeapSecond>,
}

impl Snapshot {
    /// What is served before anything is known: the kernel's time under leap 3, kiss code `INIT`.
    pub const fn unsynchronised(now: Timestamp<Realtime>, precision: i8) -> Self {
        Self {
            leap: Leap::Unsynchronised,
            stratum: Stratum::UNSYNCHRONISED,
            precision,
            root_delay: NtpShort::ZERO,
            reference_id: ReferenceId::INIT,
            reference_time: NtpTimestamp::ZERO,
            root_dispersion: Interval::ZERO,
            dispersion_rate: Rate::from_ppb(15_000),
            epoch: now,
            offset: Interval::ZERO,
            rate: Rate::ZERO,
            valid_until: Timestamp::from_nanos(i64::MAX),
            leap_second: None,
        }
    }

    /// Served time at the kernel time `at`.
    #[inline]
    pub fn served(&self, at: Timestamp<Realtime>) -> Timestamp<Served> {
        let mapped = self.mapped(at);
        match &self.leap_second {
            Some(leap) if leap.made_by == LeapMaker::Mapping => leap.broken(mapped),
            _ => mapped,
        }
    }

    /// Where the mapping alone leads at the kernel time `at`: served time, but for a leap ahead.
    #[inline]
    pub fn mapped(&self, at: Timestamp<Realtime>) -> Timestamp<Served> {
        let drift = self.rate.over(at - self.epoch);
        // This sum is the definition of served time: the one place where the scales meet.
        (at + self.offset + drift).reinterpret()
    }

    /// The same, with the leap decided for the moment `now`: before it or after it for all of a batch.
    pub fn settled(&self, now: Timestamp<Realtime>) -> Self {
        let Some(leap) = self.leap_second else { return *self };
        let mut settled = Self { leap_second: None, ..*self };
        let leapt = leap.made_by == LeapMaker::Mapping && self.mapped(now) >= leap.instant();
        if leapt {
            settled.offset += leap.kind.shift();
            settled.reference_time = self.reference_time.plus(leap.kind.shift());
        }
        if self.leap != Leap::Unsynchronised && (leapt || self.served(now) >= leap.midnight) {
            // The day that was warned of is over.
            settled.leap = Leap::None;
        }
        let ahead = self.reference_time.since(NtpTimestamp::floor(self.served(now)));
        if leap.made_by == LeapMaker::Kernel && ahead > Interval::ZERO {
            // The kernel has set its clock back under a correction made just before.
            settled.reference_time = self.reference_time.plus(leap.kind.shift());
        }
        let near = self.mapped(now) >= leap.midnight - LEAP_IS_NEAR;
        if near && now < self.epoch && self.is_valid_at(now) {
            // Without the leap nobody would know any more why the clock stands so far before the epoch.
            settled.offset += self.rate.over(now - self.epoch);
            settled.epoch = now;
        }
        settled
    }

    /// The same in smeared time, for the moment `now`: no leap is announced, and the reference ID says
    /// that this is not UTC. What is not synchronised or not valid stays as it is.
    pub fn smeared(&self, now: Timestamp<Realtime>, smear: Smear) -> Self {
        let mut view = Self { leap_second: None, ..*self };
        if self.leap == Leap::Unsynchronised || !self.is_valid_at(now) {
            return view;
        }
        view.leap = Leap::None;
        view.reference_id = smear_reference_id(Interval::ZERO);
        let Some(leap) = &self.leap_second else { return view };
        let mapped = self.mapped(now);
        let unbroken = leap.unbroken(mapped);
        let smeared = smear.at(leap, unbroken);
        let change = unbroken + smeared.from_unbroken - mapped;
        view.reference_id = smear_reference_id(smeared.from_utc);
        view.reference_time = self.reference_time.plus(change);
        view.root_dispersion = self.root_dispersion_at(now);
        view.epoch = now;
        view.offset = self.offset + self.rate.over(now - self.epoch) + change;
        view.rate = self.rate + smeared.rate;
        view
    }

    /// Error bound to the reference at the kernel time `at`; an instant before the epoch gets the bound
    /// of the epoch.
    #[inline]
    pub fn root_dispersion_at(&self, at: Timestamp<Realtime>) -> Interval {
        let age = (at - self.epoch).max(Interval::ZERO);
        self.root_dispersion + self.dispersion_rate.over(age)
    }

    /// Whether this snapshot may still be used at the kernel time `at`.
    ///
    /// False past its validity, and when the kernel clock stands before the epoch by more than
    /// [`BACKWARD_TOLERANCE`]: then somebody has set the clock back and the mapping is meaningless,
    /// unless it was the kernel for the leap second it was told to insert.
    #[inline]
    pub fn is_valid_at(&self, at: Timestamp<Realtime>) -> bool {
        let tolerance = match &self.leap_second {
            Some(LeapSecond { kind: LeapKind::Insert, made_by: LeapMaker::Kernel, .. }) => {
                BACKWARD_TOLERANCE - LeapKind::Insert.shift()
            }
            _ => BACKWARD_TOLERANCE,
        };
        at <= self.valid_until && at >= self.epoch - tolerance
    }

    /// All of it as words, for another process on this machine.
    pub fn to_words(self) -> [u64; WORDS] {
        let header = [self.leap.to_bits() << 6, self.stratum.get(), 0, self.precision as u8];
        let mut words = [0; WORDS];
        words[0] = pack(header, self.root_delay.to_bits().to_be_bytes());
        words[1] = pack(self.reference_id.octets(), [0; 4]);
        words[2] = self.reference_time.to_bits();
        words[ROOT_DISPERSION_WORD] = self.root_dispersion.nanos() as u64;
        words[4] = self.dispersion_rate.to_bits() as u64;
        words[5] = self.epoch.nanos() as u64;
        words[6] = self.offset.nanos() as u64;
        words[7] = self.rate.to_bits() as u64;
        words[8] = self.valid_until.nanos() as u64;
        [words[9], words[10]] = self.leap_second.map_or([0; 2], LeapSecond::to_words);
        words
    }

    /// What [`Snapshot::to_words`] made.
    pub fn from_words(words: [u64; WORDS]) -> Self {
        let ([leap, stratum, _, precision], root_delay) = unpack(words[0]);
        let (reference_id, _) = unpack(words[1]);
        Self {
            leap: Leap::from_bits(leap >> 6),
            stratum: Stratum::new(stratum),
            precision: precision as i8,
            root_delay: NtpShort::from_bits(u32::from_be_bytes(root_delay)),
            reference_id: ReferenceId::from_octets(reference_id),
            reference_time: NtpTimestamp::from_bits(words[2]),
            root_dispersion: Interval::from_nanos(words[ROOT_DISPERSION_WORD] as i64),
            dispersion_rate: Rate::from_bits(words[4] as i64),
            epoch: Timestamp::from_nanos(words[5] as i64),
            offset: Interval::from_nanos(words[6] as i64),
            rate: Rate::from_bits(words[7] as i64),
            valid_until: Timestamp::from_nanos(words[8] as i64),
            leap_second: LeapSecond::from_words([words[9], words[10]]),
        }
    }
}

/// Another place in which what is published is kept, for readers that cannot have a [`Reader`].
pub trait Mirror: Send + fmt::Debug {
    /// Makes `words`, which are [`Snapshot::to_words`], what those readers see from now on.
    fn write(&mut self, words: [u64; WORDS]);
}

/// The writing end: there is one, held by the discipline thread.
#[derive(Debug)]
pub struct Publisher {
    block: Arc<CachePadded<SeqLock<WORDS>>>,
    mirror: Option<Box<dyn Mirror>>,
}

impl Publisher {
    /// A new block holding `initial`.
    pub fn new(initial: Snapshot) -> Self {
        let block = Arc::new(CachePadded::new(SeqLock::new(initial.to_words())));
        Self { block, mirror: None }
    }

    /// Keeps `mirror` at what is published, from what is published now; `None` ends that.
    pub fn set_mirror(&mut self, mirror: Option<Box<dyn Mirror>>) {
        self.mirror = mirror;
        let (_, words) = self.words();
        if let Some(mirror) = &mut self.mirror {
            mirror.write(words);
        }
    }

    /// Makes `snapshot` what readers see from now on.
    pub fn publish(&mut self, snapshot: Snapshot) {
        let words = snapshot.to_words();
        self.block.write(words);
        if let Some(mirror) = &mut self.mirror {
            mirror.write(words);
        }
    }

    /// A reading end; any number may exist.
    pub fn reader(&self) -> Reader {
        let (sequence, words) = self.words();
        Reader { block: Arc::clone(&self.block), sequence, view: Snapshot::from_words(words) }
    }

    /// What is published, and its sequence.
    fn words(&self) -> (u64, [u64; WORDS]) {
        // No write can be under way: writing needs `&mut self`.
        self.block.try_read().unwrap_or((1, [0; WORDS]))
    }
}

/// A reading end with the last whole view it saw.
#[derive(Clone, Debug)]
pub struct Reader {
    block: Arc<CachePadded<SeqLock<WORDS>>>,
    sequence: u64,
    view: Snapshot,
}

impl Reader {
    /// Takes the newest whole snapshot and returns it.
    ///
    /// One load when nothing changed. If a write is under way the previous view is returned, and the
    /// next call looks again.
    #[inline]
    pub fn refresh(&mut self) -> &Snapshot {
        if self.block.sequence() != self.sequence
            && let Some((sequence, words)) = self.block.try_read()
        {
            self.sequence = sequence;
            self.view = Snapshot::from_words(words);
        }
        &self.view
    }

    /// The view of the last [`Reader::refresh`].
    #[inline]
    pub const fn view(&self) -> &Snapshot {
        &self.view
    }
}

/// How far before a snapshot's epoch the kernel clock may stand before it counts as set back.
///
/// Covers packets that queued while the snapshot was published and the slewing between two updates.
pub const BACKWARD_TOLERANCE: Interval = Interval::from_millis(500);

/// From so long before its midnight on, a leap second may be why the clock stands before the epoch.
const LEAP_IS_NEAR: Interval = Interval::from_secs(2);

/// Data words: with the sequence word, one block of 128 bytes. Words 11 to 14 are zero, and a
/// [`Mirror`]'s own.
pub const WORDS: usize = 15;
/// Which word holds [`Snapshot::root_dispersion`], in nanoseconds.
pub const ROOT_DISPERSION_WORD: usize = 3;
/// The first word that no snapshot uses.
pub const FREE_WORD: usize = 11;
const _: () = assert!(size_of::<SeqLock<WORDS>>() == 128 || cfg!(loom));

fn pack(low: [u8; 4], high: [u8; 4]) -> u64 {
    u64::from(u32::from_ne_bytes(low)) | (u64::from(u32::from_ne_bytes(high)) << 32)
}

fn unpack(word: u64) -> ([u8; 4], [u8; 4]) {
    ((word as u32).to_ne_bytes(), ((word >> 32) as u32).to_ne_bytes())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn sample() -> Snapshot {
        Snapshot {
            leap: Leap::Delete,
            stratum: Stratum::new(3),
            precision: -25,
            root_delay: NtpShort::from_bits(0x0001_8000),
            reference_id: ReferenceId::from_octets([192, 0, 2, 7]),
            reference_time: NtpTimestamp::from_bits(0xDEAD_BEEF_0123_4567),
            root_dispersion: Interval::from_micros(250),
            dispersion_rate: Rate::from_ppb(15_000),
            epoch: Timestamp::from_nanos(1_764_000_000_000_000_000),
            offset: Interval::from_millis(-7),
            rate: Rate::from_ppb(-42_000),
            valid_until: Timestamp::from_nanos(1_764_000_008_000_000_000),
            leap_second: None,
        }
    }

    #[test]
    fn every_field_survives_the_words() {
        assert_eq!(Snapshot::from_words(sample().to_words()), sample());
        let fresh = Snapshot::unsynchronised(Timestamp::from_nanos(-5), -20);
        assert_eq!(Snapshot::from_words(fresh.to_words()), fresh);
        let leaping = Snapshot { leap_second: Some(leap(LeapMaker::Kernel)), ..sample() };
        assert_eq!(Snapshot::from_words(leaping.to_words()), leaping);
    }

    #[test]
    fn the_mapping_runs_through_the_epoch_at_its_rate() {
        let snapshot = sample();
        let at = |s| snapshot.served(snapshot.epoch + Interval::from_secs(s)).nanos();
        assert_eq!(at(0), 1_763_999_999_993_000_000);
        assert!((at(1_000) - at(0) - 999_958_000_000).abs() <= 4);
        assert!((at(0) - at(-1_000) - 999_958_000_000).abs() <= 4);
    }

    #[test]
    fn the_bound_grows_with_the_snapshots_age_and_never_shrinks() {
        let snapshot = sample();
        let at = |s| snapshot.root_dispersion_at(snapshot.epoch + Interval::from_secs(s));
        assert_eq!(at(-1), Interval::from_micros(250));
        assert!((at(10) - Interval::from_micros(400)).abs() <= Interval::from_nanos(1));
    }

    #[test]
    fn a_snapshot_expires_and_does_not_outlive_a_clock_set_back() {
        let snapshot = sample();
        assert!(snapshot.is_valid_at(snapshot.epoch - Interval::from_millis(5)));
        assert!(snapshot.is_valid_at(snapshot.valid_until));
        assert!(!snapshot.is_valid_at(snapshot.valid_until + Interval::from_nanos(1)));
        assert!(!snapshot.is_valid_at(snapshot.epoch - Interval::from_secs(1)));
    }

    /// Ten seconds after the sample's epoch, served.
    fn leap(made_by: LeapMaker) -> LeapSecond {
        let midnight = Timestamp::from_nanos(1_764_000_010_000_000_000);
        LeapSecond { midnight, kind: LeapKind::Insert, made_by }
    }

    fn warned(made_by: LeapMaker) -> Snapshot {
        Snapshot {
            leap: Leap::Insert,
            offset: Interval::ZERO,
            rate: Rate::ZERO,
            leap_second: Some(leap(made_by)),
            valid_until: Timestamp::from_nanos(i64::MAX),
            reference_time: NtpTimestamp::floor(leap(made_by).midnight - Interval::from_millis(1)),
            ..sample()
        }
    }

    #[test]
    fn a_leap_is_taken_at_its_nanosecond_without_a_new_snapshot() {
        let snapshot = warned(LeapMaker::Mapping);
        let at: Timestamp<Realtime> = leap(LeapMaker::Mapping).midnight.reinterpret();
        let just_before = at - Interval::from_nanos(1);
        assert_eq!(snapshot.served(just_before).nanos(), just_before.nanos());
        assert_eq!(snapshot.served(at).nanos(), at.nanos() - 1_000_000_000);
        let (before, after) = (snapshot.settled(just_before), snapshot.settled(at));
        assert_eq!((before.leap, after.leap), (Leap::Insert, Leap::None));
        for settled in [before, after] {
            // Both times of a reply that spans the leap are on one side of it.
            assert_eq!(settled.served(at) - settled.served(just_before), Interval::from_nanos(1));
        }
        let sent = NtpTimestamp::floor(after.served(at));
        assert!(sent.since(after.reference_time) > Interval::ZERO, "corrected before it was sent");
    }

    #[test]
    fn a_leap_of_the_kernels_goes_through_the_mapping_and_is_no_clock_set_back() {
        let snapshot = warned(LeapMaker::Kernel);
        let midnight: Timestamp<Realtime> = leap(LeapMaker::Kernel).midnight.reinterpret();
        let after = midnight - Interval::from_secs(1);
        assert_eq!(snapshot.served(after).nanos(), after.nanos());
        let fresh = Snapshot { epoch: midnight - Interval::from_millis(1), ..snapshot };
        assert!(fresh.is_valid_at(after));
        assert!(!fresh.is_valid_at(after - Interval::from_secs(1)));
        let early = Snapshot { epoch: fresh.epoch - Interval::from_secs(60), ..fresh };
        let set_back = early.epoch - Interval::from_secs(1);
        assert!(!early.settled(set_back).is_valid_at(set_back), "a minute before, it is one");
        let settled = fresh.settled(after);
        assert!(settled.is_valid_at(after) && settled.served(after) == fresh.served(after));
        assert_eq!(settled.root_dispersion_at(after), fresh.root_dispersion_at(after));
        let sent = NtpTimestamp::floor(fresh.served(after));
        assert!(sent.since(fresh.settled(after).reference_time) > Interval::ZERO);
        assert_eq!(snapshot.settled(midnight).leap, Leap::None, "a new day");
    }

    #[test]
    fn a_smear_knows_no_leap_and_no_seam() {
        for made_by in [LeapMaker::Mapping, LeapMaker::Over] {
            let mut snapshot = warned(LeapMaker::Mapping);
            let at: Timestamp<Realtime> = leap(made_by).midnight.reinterpret();
            let smeared = |snapshot: &Snapshot, now| snapshot.smeared(now, Smear::USUAL);
            let before = smeared(&snapshot, at - Interval::from_nanos(1));
            if made_by == LeapMaker::Over {
                let shift = LeapKind::Insert.shift();
                snapshot.offset += shift;
                snapshot.reference_time = snapshot.reference_time.plus(shift);
                snapshot.leap_second = Some(leap(made_by));
            }
            let after = smeared(&snapshot, at);
            let step = after.served(at) - before.served(at - Interval::from_nanos(1));
            assert!((step - Interval::from_nanos(1)).abs() <= Interval::from_nanos(1), "{step:?}");
            assert_eq!((before.leap, after.leap), (Leap::None, Leap::None));
            assert_eq!(before.reference_id.octets()[..2], [254, 0xE0]);
            assert_eq!(after.reference_id.octets()[0], 254);
            assert!((before.rate - after.rate).as_ratio().abs() < 1e-12);
            let sent = NtpTimestamp::floor(after.served(at));
            assert!(sent.since(after.reference_time) > Interval::ZERO);
        }
    }

    #[test]
    fn a_smear_does_not_hide_that_the_time_is_not_to_be_believed() {
        let snapshot = Snapshot { leap: Leap::Unsynchronised, ..sample() };
        let view = snapshot.smeared(snapshot.epoch, Smear::USUAL);
        assert_eq!((view.leap, view.reference_id), (Leap::Unsynchronised, snapshot.reference_id));
        let stale = sample().smeared(sample().valid_until + Interval::from_secs(1), Smear::USUAL);
        assert!(!stale.is_valid_at(sample().valid_until + Interval::from_secs(1)));
    }

    #[test]
    fn readers_see_what_was_published_last() {
        let mut publisher = Publisher::new(Snapshot::unsynchronised(Timestamp::from_nanos(0), -20));
        let mut reader = publisher.reader();
        assert_eq!(reader.view().leap, Leap::Unsynchronised);
        publisher.publish(sample());
        assert_eq!(*reader.refresh(), sample());
        assert_eq!(*publisher.reader().view(), sample());
    }

    #[test]
    fn a_mirror_is_kept_at_what_is_published() {
        #[derive(Clone, Debug, Default)]
        struct Kept(Arc<std::sync::Mutex<Vec<Snapshot>>>);
        impl Mirror for Kept {
            fn write(&mut self, words: [u64; WORDS]) {
                self.0.lock().unwrap().push(Snapshot::from_words(words));
            }
        }
        let fresh = Snapshot::unsynchronised(Timestamp::from_nanos(0), -20);
        let mut publisher = Publisher::new(fresh);
        let kept = Kept::default();
        publisher.set_mirror(Some(Box::new(kept.clone())));
        publisher.publish(sample());
        publisher.set_mirror(None);
        publisher.publish(fresh);
        assert_eq!(*kept.0.lock().unwrap(), [fresh, sample()]);
    }

    #[test]
    fn concurrent_readers_never_see_halves_of_two_snapshots() {
        // Every published snapshot has offset == reference time == epoch; a torn one would not.
        let of = |k: i64| Snapshot {
            offset: Interval::from_nanos(k),
            reference_time: NtpTimestamp::from_bits(k as u64),
            epoch: Timestamp::from_nanos(k),
            ..sample()
        };
        let mut publisher = Publisher::new(of(0));
        let mut readers: Vec<_> = (0..3).map(|_| publisher.reader()).collect();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for reader in &mut readers {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let view = reader.refresh();
                        assert_eq!(view.offset.nanos(), view.epoch.nanos());
                        assert_eq!(view.offset.nanos() as u64, view.reference_time.to_bits());
                    }
                });
            }
            for k in 1..=200_000 {
                publisher.publish(of(k));
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
