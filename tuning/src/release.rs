//! Which Linux a machine runs: what its name says of its age.
//!
//! Must never: take a name it cannot read for old or for new.

use crate::{Host, Unseen};

/// A kernel's release, as `uname -r` prints it.
pub(crate) struct Release(pub(crate) String);

impl Release {
    /// The one `host` runs.
    pub(crate) fn of(host: &dyn Host) -> Result<Self, Unseen> {
        host.read("/proc/sys/kernel/osrelease").map(Self)
    }

    /// Whether it is older than `version`, its first two numbers; `None` if its name begins otherwise.
    pub(crate) fn is_before(&self, version: (u32, u32)) -> Option<bool> {
        let mut numbers = self.0.split(['.', '-']).map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??) < version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_as_old_as_its_first_two_numbers_say() {
        let is_before = |release: &str| Release(release.to_owned()).is_before((6, 12));
        assert_eq!(is_before("6.1.0-28-amd64"), Some(true));
        assert_eq!(is_before("6.12-rc1"), Some(false));
        assert_eq!(is_before("7.0.3"), Some(false));
        assert_eq!(is_before("mainline"), None);
    }
}
