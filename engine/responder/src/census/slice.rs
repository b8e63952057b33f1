//! Things that belong to a slice of time, in a ring in which the newest takes the place of the oldest.
//!
//! Each place says which slice it holds. A reader takes the places whose slice it wants and looks at that
//! number again when it has copied the content: so it need not matter that a worker which has nothing to do
//! leaves old slices lying about, or that the clock jumps, by years or backwards.
//!
//! Must never: show what belongs to one slice as another's.

use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicI64, Ordering, fence};

use timeball_time::{Interval, Realtime, Timestamp};

/// The number of the slice in which `now` lies.
#[inline]
pub(super) const fn slice_at(now: Timestamp<Realtime>) -> i64 {
    now.nanos().div_euclid(SLICE.nanos())
}

/// When slice `number` began.
pub(super) const fn start_of(number: i64) -> Timestamp<Realtime> {
    Timestamp::from_nanos(number.saturating_mul(SLICE.nanos()))
}

/// What can be emptied.
pub(super) trait Clear: Default {
    /// Back to what it was when it was made.
    fn clear(&self);
}

/// A ring of such things. Only one thread may call the methods that change it.
#[derive(Debug)]
pub(super) struct Ring<T>(Box<[Place<T>]>);

#[derive(Debug)]
struct Place<T> {
    number: AtomicI64,
    content: T,
}

impl<T: Clear> Ring<T> {
    /// A ring of so many empty places.
    pub(super) fn new(places: i64) -> Self {
        let empty = |_| Place { number: AtomicI64::new(NONE), content: T::default() };
        Self((0..places).map(empty).collect())
    }

    /// Gives slice `number` its place, emptied if it was another's, and says which that is.
    pub(super) fn open(&self, number: i64) -> usize {
        let at = self.place_of(number);
        if self.0[at].number.load(Ordering::Relaxed) == number { at } else { self.begin(number) }
    }

    /// Gives slice `number` its place, emptied, and says which that is.
    pub(super) fn begin(&self, number: i64) -> usize {
        let at = self.place_of(number);
        let place = &self.0[at];
        place.number.store(NONE, Ordering::Relaxed);
        // Whoever sees any of what follows sees that the place had nobody's content, too.
        fence(Ordering::Release);
        place.content.clear();
        place.number.store(number, Ordering::Release);
        at
    }

    /// The content of place `at`.
    #[inline]
    pub(super) fn at(&self, at: usize) -> &T {
        &self.0[at].content
    }

    /// Copies of what there is of the slices `wanted`, each with its number.
    pub(super) fn read<C>(
        &self,
        wanted: RangeInclusive<i64>,
        copy: impl Fn(&T) -> C,
    ) -> impl Iterator<Item = (i64, C)> {
        self.0.iter().filter_map(move |place| {
            let before = place.number.load(Ordering::Acquire);
            if before == NONE || !wanted.contains(&before) {
                return None;
            }
            let copied = copy(&place.content);
            fence(Ordering::Acquire);
            (place.number.load(Ordering::Relaxed) == before).then_some((before, copied))
        })
    }

    fn place_of(&self, number: i64) -> usize {
        number.rem_euclid(self.0.len() as i64) as usize
    }
}

/// How long a slice is: short enough that "an hour" means 55 minutes at least.
const SLICE: Interval = Interval::from_secs(300);
/// How many of them an hour has.
pub(super) const SLICES_PER_HOUR: i64 = 12;
/// No slice: longer ago than any clock can say.
const NONE: i64 = i64::MIN;

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;

    impl Clear for AtomicU64 {
        fn clear(&self) {
            self.store(0, Ordering::Relaxed);
        }
    }

    fn read(ring: &Ring<AtomicU64>, wanted: RangeInclusive<i64>) -> Vec<(i64, u64)> {
        let mut read: Vec<_> =
            ring.read(wanted, |content| content.load(Ordering::Relaxed)).collect();
        read.sort_unstable();
        read
    }

    #[test]
    fn the_newest_takes_the_place_of_the_oldest_and_time_may_jump() {
        let ring: Ring<AtomicU64> = Ring::new(3);
        assert_eq!(read(&ring, i64::MIN..=i64::MAX), []);
        for number in [-1, 0, 1, 2] {
            ring.at(ring.open(number)).store((number + 10) as u64, Ordering::Relaxed);
        }
        assert_eq!(read(&ring, -10..=10), [(0, 10), (1, 11), (2, 12)]);
        assert_eq!(read(&ring, 1..=1), [(1, 11)]);
        let now_at = |at| ring.at(at).load(Ordering::Relaxed);
        assert_eq!(now_at(ring.open(1)), 11, "what is open stays");
        assert_eq!(now_at(ring.begin(1)), 0, "unless begun anew");
        assert_eq!(now_at(ring.open(1_000_000_000)), 0);
        assert_eq!(read(&ring, 0..=10), [(0, 10), (2, 12)]);
    }

    #[test]
    fn slices_begin_where_they_say() {
        for seconds in [0, 299, 300, -1, -300, -301, 1_764_000_123] {
            let now = Timestamp::from_nanos(seconds * 1_000_000_000);
            let since = now - start_of(slice_at(now));
            assert!(since >= Interval::ZERO && since < SLICE, "{seconds}: {since:?}");
        }
    }
}
