//! The firewall's table of connections, in which NTP has no place.
//!
//! Must never: advise where nothing is tracked.

use crate::{Finding, Scene, Setting};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let number = |name: &str| -> Option<u64> {
        scene.host.read(&format!("{DIRECTORY}/{name}")).ok()?.parse().ok()
    };
    let (Some(count), Some(max)) = (number("nf_conntrack_count"), number("nf_conntrack_max"))
    else {
        return vec![Finding::good("not loaded")];
    };
    let rules = scene.host.ask(&["nft", "list", "ruleset"]).unwrap_or_default();
    if rules.lines().any(|line| line.contains("notrack") && line.contains("123")) {
        return vec![Finding::good("NTP is kept out of the table")];
    }
    if count == 0 {
        return vec![Finding::good("loaded, and tracks nothing")];
    }
    let found = format!("tracks {count} connections of at most {max}; NTP is not kept out");
    let should = "NTP is not tracked";
    let finding = if count.saturating_mul(10) >= max.saturating_mul(9) {
        Finding::problem(
            found,
            should,
            "the table is all but full: new clients are dropped, while old ones are answered",
        )
    } else {
        Finding::advice(
            found,
            should,
            "each client takes an entry for half a minute or longer and each packet a search, in both \
             directions; once \
             there are more clients than entries, new ones are dropped",
        )
    };
    vec![finding.change(Setting::NoTrack, "present").by_hand(
        "see that your input chain has an `udp dport 123 accept`: what is not tracked is never \
         `established`",
    )]
}

const DIRECTORY: &str = "/proc/sys/net/netfilter";
