//! A firewall that drops what it does not know drops NTP.
//!
//! Must never: claim that a firewall lets NTP through: it only sees the rules of nftables, and not
//! what lies before
//! this machine.

use crate::{Finding, Scene};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let rules = match scene.host.ask(&["nft", "list", "ruleset"]) {
        Ok(rules) => rules,
        Err(why) => return vec![Finding::unseen(&why)],
    };
    if !drops_by_default(&rules) {
        return vec![Finding::good(
            "nothing in nftables drops what arrives unless a rule of its own says so",
        )];
    }
    if lets_ntp_in(&rules) {
        return vec![Finding::good("nftables drops by default and has a rule for UDP port 123")];
    }
    vec![
        Finding::problem(
            "nftables drops what arrives by default, and no rule lets UDP port 123 in",
            "UDP port 123 is accepted",
            "no client outside gets an answer. A rule for established connections is not enough: a \
             server's clients \
             come unasked",
        )
        .by_hand("add to your input chain: udp dport 123 accept"),
    ]
}

fn drops_by_default(rules: &str) -> bool {
    rules.lines().any(|line| line.contains("hook input") && line.contains("policy drop"))
}

fn lets_ntp_in(rules: &str) -> bool {
    let names_ntp = |line: &str| {
        let Some((_, ports)) = line.split_once("dport") else { return false };
        let is_ntp = |word: &str| word == "123" || word == "ntp";
        ports.split([' ', ',', '{', '}']).any(is_ntp)
    };
    rules
        .lines()
        .any(|line| names_ntp(line) && line.contains("accept") && !line.contains("tcp dport"))
}
