//! The busy time of one core, as the kernel counts it.
//!
//! Softirq work is charged to whoever happens to run, so the CPU time of a server's process says
//! little about what serving costs; the busy time of its core does. Time stolen by the hypervisor
//! is nobody's work and is told apart: where it is more than a percent or two, the run says more
//! about the neighbours.
//!
//! Must never: be read over less than a few hundred milliseconds (the unit is 10 ms).

use std::fs;

use serde::{Deserialize, Serialize};

use crate::error::{Attempt, BenchError};

/// Counters of one core since boot, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Busy {
    /// Everything but idle, waiting for I/O, and stolen.
    pub(crate) busy_ns: u64,
    /// Of that, software interrupts.
    pub(crate) softirq_ns: u64,
    /// Taken by the hypervisor.
    pub(crate) stolen_ns: u64,
}

impl Busy {
    /// Reads the counters of `core`.
    pub(crate) fn of(core: usize) -> Result<Self, BenchError> {
        let text = fs::read_to_string("/proc/stat").attempting(|| "/proc/stat".to_owned())?;
        Self::parse(&text, core)
            .ok_or_else(|| BenchError::Usage(format!("core {core} is not in /proc/stat")))
    }

    /// What was counted since `earlier`.
    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self {
            busy_ns: self.busy_ns.saturating_sub(earlier.busy_ns),
            softirq_ns: self.softirq_ns.saturating_sub(earlier.softirq_ns),
            stolen_ns: self.stolen_ns.saturating_sub(earlier.stolen_ns),
        }
    }

    fn parse(text: &str, core: usize) -> Option<Self> {
        let label = format!("cpu{core}");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&label).filter(|rest| rest.starts_with(' ')))?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        // proc_stat(5): user nice system idle iowait irq softirq steal guest guest_nice; guests are
        // in user and nice already.
        let &[user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks.as_slice()
        else {
            return None;
        };
        Some(Self {
            busy_ns: (user + nice + system + irq + softirq) * TICK_NS,
            softirq_ns: softirq * TICK_NS,
            stolen_ns: steal * TICK_NS,
        })
    }
}

/// `USER_HZ` is 100 on every architecture that is served here.
const TICK_NS: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  9 9 9 9 9 9 9 9 9 9\n\
        cpu1 1 2 4 1000 2000 8 16 32 1 0\n\
        cpu10 7 7 7 7 7 7 7 7 0 0\n";

    #[test]
    fn idle_waiting_and_stolen_time_is_not_busy() {
        let busy = Busy::parse(STAT, 1).unwrap();
        assert_eq!(busy.busy_ns, 31 * TICK_NS);
        assert_eq!((busy.softirq_ns, busy.stolen_ns), (16 * TICK_NS, 32 * TICK_NS));
    }

    #[test]
    fn cores_are_told_apart_by_their_whole_number() {
        assert_eq!(Busy::parse(STAT, 10).unwrap().busy_ns, 35 * TICK_NS);
        assert_eq!(Busy::parse(STAT, 0), None);
        assert_eq!(Busy::parse("cpu0 1 2", 0), None);
    }
}
