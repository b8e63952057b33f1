//! What is answered in network drivers, and what is not.

use super::{Family, counter, gauge};
use crate::report::FastPath;

pub(super) static FAMILIES: &[Family] = &[
    gauge(
        "timeball_fast_path_interface",
        "interface, mode",
        "1 if plain requests that come by this interface are answered in its driver; 0 if they are to be, \
         and workers answer them: `timeball status` says why.",
        |seen, out| {
            for one in seen.report.fast_path.iter().flat_map(|fast_path| &fast_path.interfaces) {
                let labels = [("interface", one.name.as_str()), ("mode", &one.mode)];
                out.add(&labels, f64::from(one.hindrance.is_none()));
            }
        },
    ),
    counter(
        "timeball_fast_path_passed_total",
        "reason",
        "Frames that the driver gave on to the kernel and the workers, by reason (docs/src/operating.md \
         lists them). Those it answered or dropped are counted above, as worker `driver`.",
        |seen, out| {
            for (reason, &count) in
                seen.report.fast_path.iter().flat_map(|FastPath { passed_on, .. }| passed_on)
            {
                out.add(&[("reason", reason)], count as f64);
            }
        },
    ),
];
