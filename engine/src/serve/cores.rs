//! The cores that workers run on: those configured, as far as the process may use them.
//!
//! Whoever runs the machine may take cores from the process while it serves, or give them back (a
//! cpuset, `taskset`). The kernel then puts a worker whose core is gone anywhere else, beside another
//! one, and leaves it there. So the main thread looks now and then, and has workers start anew where
//! they belong: as many as there are cores, on the same sockets.
//!
//! Must never: be asked from a thread that is pinned; it would see its own core only.

use timeball_sys::allowed_cores;

/// What the process may use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cores(Vec<usize>);

impl Cores {
    /// At this moment.
    pub(super) fn now() -> Self {
        Self(allowed_cores())
    }

    /// Where workers of a server that was configured for the cores `wanted` go: there, or if that is not
    /// allowed, to others; never two to one core.
    pub(super) fn at_work(&self, wanted: &[usize]) -> Vec<usize> {
        let allowed = wanted.iter().filter(|core| self.0.contains(core));
        let others = self.0.iter().filter(|core| !wanted.contains(core));
        allowed.chain(others).take(wanted.len()).copied().collect()
    }

    /// All of them, and those in `more`.
    pub(super) fn with(&self, more: &[usize]) -> Vec<usize> {
        [&self.0, more].concat()
    }
}

impl std::fmt::Display for Cores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&named(&self.0))
    }
}

/// "core 1", "cores 0, 2".
pub(super) fn named(cores: &[usize]) -> String {
    let names: Vec<_> = cores.iter().map(usize::to_string).collect();
    format!("core{} {}", if cores.len() == 1 { "" } else { "s" }, names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_where_they_are_wanted_or_else_where_they_are_allowed() {
        let at_work = |allowed: &[usize], wanted: &[usize]| Cores(allowed.into()).at_work(wanted);
        assert_eq!(at_work(&[0, 1, 2, 3], &[2, 0]), [2, 0]);
        assert_eq!(at_work(&[0], &[0, 1]), [0]);
        assert_eq!(at_work(&[1, 3], &[0, 1]), [1, 3], "a core went, another is free");
        assert_eq!(at_work(&[5], &[0, 1]), [5]);
        assert_eq!(at_work(&[0, 1], &[0]), [0], "no more than were wanted");
        assert_eq!(Cores(vec![0, 2]).to_string(), "cores 0, 2");
    }
}
