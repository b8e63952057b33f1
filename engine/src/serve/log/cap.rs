//! Few lines, whatever happens: what comes again and again is written a few times, then counted.
//!
//! Two lines are alike if they differ only in words that have a digit in them: times, addresses, figures.
//! Of lines that are alike so many are written at once, and then one in a minute, which says for how many it
//! stands. All lines together have a limit too.
//!
//! Must never: grow with what is logged, or withhold something without saying so in the end.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tracing::Level;

use super::Line;

/// What was written lately.
#[derive(Debug)]
pub(super) struct Cap {
    kinds: Vec<Kind>,
    all: Bucket,
    /// Lines of which not even the kind could be told.
    lost: u64,
}

/// Lines that are alike.
#[derive(Debug)]
struct Kind {
    shape: u64,
    bucket: Bucket,
    /// When the last was written or counted.
    used: Duration,
    /// The last of those not written, and how many they are.
    withheld: Option<(Line, u64)>,
}

/// Lines that may still be written at once.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    burst: u32,
    /// One more after each of these.
    gap: Duration,
    filled: Duration,
}

impl Bucket {
    const fn new(burst: u32, gap: Duration, now: Duration) -> Self {
        Self { left: burst, burst, gap, filled: now }
    }

    fn take(&mut self, now: Duration) -> bool {
        let more = now.saturating_sub(self.filled).as_nanos() / self.gap.as_nanos();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(self.burst);
            self.filled = if self.left == self.burst { now } else { self.filled + self.gap * more };
        }
        let taken = self.left > 0;
        self.left -= u32::from(taken);
        taken
    }
}

impl Default for Cap {
    fn default() -> Self {
        Self { kinds: Vec::new(), all: Bucket::new(BURST_ALL, GAP_ALL, Duration::ZERO), lost: 0 }
    }
}

impl Cap {
    /// Takes `line` at `now` and adds what is to be written to `out`.
    pub(super) fn take(&mut self, line: &Line, now: Duration, out: &mut Vec<Line>) {
        let index = self.place(shape(&line.text), now, out);
        let kind = &mut self.kinds[index];
        kind.used = now;
        if kind.withheld.is_none() && kind.bucket.take(now) && self.all.take(now) {
            out.push(line.clone());
            return;
        }
        let before = kind.withheld.take().map_or(0, |(_, count)| count);
        kind.withheld = Some((line.clone(), before + 1));
    }

    /// Tells what was withheld, of each kind once in [`GAP`].
    pub(super) fn settle(&mut self, now: Duration, out: &mut Vec<Line>) {
        for kind in &mut self.kinds {
            if kind.withheld.is_some() && kind.bucket.take(now) && self.all.take(now) {
                kind.tell(out);
            }
        }
        if self.lost > 0 && self.all.take(now) {
            self.tell_lost(out);
        }
    }

    /// Tells all that was withheld.
    pub(super) fn finish(&mut self, out: &mut Vec<Line>) {
        self.kinds.iter_mut().for_each(|kind| kind.tell(out));
        self.tell_lost(out);
    }

    fn tell_lost(&mut self, out: &mut Vec<Line>) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            let text = format!("({lost} more lines, each of another kind, were left out)\n");
            out.push(Line { level: Level::WARN, text });
        }
    }

    /// Where the kind of this `shape` is; if there are too many, in place of the one unused for longest.
    fn place(&mut self, shape: u64, now: Duration, out: &mut Vec<Line>) -> usize {
        if let Some(index) = self.kinds.iter().position(|kind| kind.shape == shape) {
            return index;
        }
        let bucket = Bucket::new(BURST, GAP, now);
        let new = Kind { shape, bucket, used: now, withheld: None };
        if self.kinds.len() < KINDS_MAX {
            self.kinds.push(new);
            return self.kinds.len() - 1;
        }
        let oldest = (0..KINDS_MAX).min_by_key(|&index| self.kinds[index].used).unwrap_or(0);
        let mut old = std::mem::replace(&mut self.kinds[oldest], new);
        if old.withheld.is_some() && self.all.take(now) {
            old.tell(out);
        } else {
            self.lost += old.withheld.map_or(0, |(_, count)| count);
        }
        oldest
    }
}

impl Kind {
    fn tell(&mut self, out: &mut Vec<Line>) {
        let Some((mut line, count)) = self.withheld.take() else { return };
        if count > 1 {
            line.text.truncate(line.text.trim_end().len());
            line.text += &format!(" ({} more like this were left out)\n", count - 1);
        }
        out.push(line);
    }
}

/// The same for lines that are alike.
fn shape(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for word in text.split_whitespace() {
        let varies = word.contains(|letter: char| letter.is_ascii_digit());
        if varies { "#" } else { word }.hash(&mut hasher);
    }
    hasher.finish()
}

/// Lines of one kind that are written at once.
const BURST: u32 = 8;
/// After that, one of them in this time.
const GAP: Duration = Duration::from_secs(60);
/// Lines of all kinds that are written at once, and after that.
const BURST_ALL: u32 = 200;
const GAP_ALL: Duration = Duration::from_secs(1);
/// Kinds that are remembered.
const KINDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { level: Level::WARN, text: format!("{text}\n") }
    }

    /// Logs `count` lines, `per_second` of them each second, made by `text`.
    fn log(
        cap: &mut Cap,
        count: u64,
        per_second: u64,
        text: impl Fn(u64) -> String,
    ) -> Vec<String> {
        let mut out = Vec::new();
        for n in 0..count {
            let now = Duration::from_millis(1000 * n / per_second);
            cap.take(&line(&text(n)), now, &mut out);
            cap.settle(now, &mut out);
        }
        cap.finish(&mut out);
        out.into_iter().map(|line| line.text).collect()
    }

    /// For how many a line stands.
    fn stands_for(text: &str) -> u64 {
        let count = text.split_once('(').and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        // A count of lost lines is no line itself.
        count.unwrap_or(0u64) + u64::from(!text.starts_with('('))
    }

    #[test]
    fn a_hundred_thousand_alike_are_a_few_lines_and_none_is_lost() {
        let mut cap = Cap::default();
        let out =
            log(&mut cap, 100_000, 10_000, |n| format!("192.0.2.{} is not believed", n % 256));
        assert!(out.len() <= 20, "{}", out.len());
        assert_eq!(out.iter().map(|text| stands_for(text)).sum::<u64>(), 100_000, "{out:?}");
        assert_eq!(out[0], "192.0.2.0 is not believed\n");
        assert!(out.last().unwrap().ends_with("99991 more like this were left out)\n"), "{out:?}");
    }

    #[test]
    fn what_goes_on_for_hours_is_a_line_a_minute() {
        let mut cap = Cap::default();
        let out = log(&mut cap, 2 * 3600, 1, |n| format!("stepped by +0.{n} s"));
        assert!((120..=130).contains(&out.len()), "{}", out.len());
        assert_eq!(out.iter().map(|text| stands_for(text)).sum::<u64>(), 7200);
    }

    #[test]
    fn what_never_comes_twice_is_limited_as_well() {
        let letters = |n: u64| (0..16).map(move |bit| if n >> bit & 1 == 0 { 'a' } else { 'b' });
        let mut cap = Cap::default();
        let out = log(&mut cap, 50_000, 1000, |n| letters(n).collect());
        // Two hundred, one in each of fifty seconds, and what is still remembered in the end.
        assert!(out.len() <= 320, "{}", out.len());
        assert_eq!(out.iter().map(|text| stands_for(text)).sum::<u64>(), 50_000, "{out:?}");
        assert!(cap.kinds.len() <= KINDS_MAX);
    }

    #[test]
    fn few_and_different_lines_pass_at_once_and_unchanged() {
        let mut cap = Cap::default();
        let said = ["synchronised", "the log is short", "has stopped answering", "answers"];
        let out = log(&mut cap, 4, 1, |n| said[n as usize].to_owned());
        assert_eq!(out, said.map(|text| format!("{text}\n")));
    }
}
