//! `restrict`: ntpd's access rules.
//!
//! Must never: let an address have more than the file gives it, but for the replies of configured servers.

use timeball_responder::{Network, Restrictions};

use super::super::draft::{Access, Draft};
use super::super::entry::Entry;
use super::super::numbers;
use super::association::family_flag;
use crate::config::{Family, Host, Whom, everybody};

pub(super) fn restrict(draft: &mut Draft, entry: &mut Entry) {
    let Some(about) = whom(entry) else { return drop(entry.rest()) };
    let flags = flags(entry);
    if entry.is_wrong() {
        return;
    }
    let everyone = about.iter().any(|whom| matches!(whom, Whom::Network(n) if n.length() == 0));
    let mut restrictions = flags.restrictions;
    if everyone && !restrictions.contains(Restrictions::NO_QUERY) {
        entry.changed(
            "queries from everybody are refused all the same, because a stranger could aim the long \
             answers at others: give networks of your own a line without `noquery`",
        );
        restrictions = restrictions | Restrictions::NO_QUERY;
    }
    if everyone && restrictions.contains(Restrictions::NO_TIME) {
        entry.note("replies of the servers in this file are believed whatever the rules say");
    }
    for whom in about {
        let place = entry.place().clone();
        let from_ntp_port = flags.from_ntp_port;
        draft.restrict(entry, Access { whom, from_ntp_port, restrictions, place });
    }
}

/// `discard [average LOG2] [minimum SECONDS] [monitor PROBABILITY]`.
pub(super) fn discard(draft: &mut Draft, entry: &mut Entry) {
    while let Some(word) = entry.next() {
        match word.as_str() {
            "average" => {
                let Some(log2) = entry.number::<i32>("average") else { continue };
                draft.set_seconds(entry, ("limits", "interval_s"), 2f64.powi(log2), LIMIT_S);
                draft.set(entry, "limits", "burst", BURST.to_string());
            }
            "minimum" => {
                entry.number::<f64>("minimum");
                entry.changed("`minimum`: requests may come at once, `limits.burst` of them");
            }
            "monitor" => {
                entry.number::<f64>("monitor");
                entry.changed("`monitor`: of two clients the one heard last is remembered");
            }
            other => entry.unknown(other, &["average", "minimum", "monitor"]),
        }
    }
}

/// Takes back what `restrict` lines before this one said of the same address.
pub(super) fn unrestrict(draft: &mut Draft, entry: &mut Entry) {
    let Some(about) = whom(entry) else { return drop(entry.rest()) };
    entry.rest();
    let before = draft.access.len();
    draft.access.retain(|rule| !about.contains(&rule.whom));
    if draft.access.len() == before {
        entry.changed("no line before this one restricts it, so nothing is taken back");
    }
}

/// Address and mask; `default` is a network for each family, so that lines about one and about both meet.
fn whom(entry: &mut Entry) -> Option<Vec<Whom>> {
    let mut family = Family::Any;
    while let Some(of) = entry.peek().and_then(family_flag) {
        entry.next();
        family = of;
    }
    let address = entry.expect("an address")?;
    if address == "default" {
        let all = everybody().into_iter().filter(|network| family.admits(network.address()));
        return Some(all.map(Whom::Network).collect());
    }
    if address == "source" {
        return Some(vec![Whom::Sources]);
    }
    let mask = if entry.takes("mask") { Some(entry.expect("a mask")?) } else { None };
    // A name has whole addresses behind it.
    let mask =
        mask.filter(|mask| numbers::address(&address).is_some() || mask != "255.255.255.255");
    if let Some(mask) = mask {
        return network(entry, &address, &mask).map(|network| vec![Whom::Network(network)]);
    }
    if let Some(network) = numbers::network(&address).filter(|_| address.contains(['.', ':'])) {
        return Some(vec![Whom::Network(network)]);
    }
    let Some(name) = Host::name(&address) else {
        entry.wrong(format!("{address:?} is neither an address nor a host name"), "correct it");
        return None;
    };
    entry.note("the name's addresses are looked up again from time to time");
    Some(vec![Whom::Name(name)])
}

fn network(entry: &mut Entry, address: &str, mask: &str) -> Option<Network> {
    let parsed = numbers::address(address).zip(numbers::address(mask));
    let Some((address, mask)) = parsed.filter(|(a, m)| a.is_ipv4() == m.is_ipv4()) else {
        let cause = format!("{address:?} and {mask:?} are no address and mask of one family");
        entry.wrong(cause, "write both as addresses, as in 192.0.2.0 mask 255.255.255.0");
        return None;
    };
    match numbers::mask_length(mask) {
        Ok(length) => Network::new(address, length),
        Err(cause) => {
            entry.wrong(format!("{mask} {cause}"), "write a line for each network that is meant");
            None
        }
    }
}

/// What the flags of a line come to.
struct Flags {
    restrictions: Restrictions,
    from_ntp_port: bool,
}

fn flags(entry: &mut Entry) -> Flags {
    let mut flags = Flags { restrictions: Restrictions::NONE, from_ntp_port: false };
    let (mut kod, mut limited) = (false, false);
    while let Some(flag) = entry.next() {
        let withheld = match flag.as_str() {
            "ignore" => Restrictions::NO_TIME | Restrictions::NO_QUERY,
            "noserve" => Restrictions::NO_TIME,
            "noquery" => Restrictions::NO_QUERY,
            "notrust" => Restrictions::KEYED_ONLY,
            "version" => Restrictions::CURRENT_VERSION_ONLY,
            // Writes, traps, client lists and unasked peers are never allowed.
            "nomodify" | "notrap" | "lowpriotrap" | "nomrulist" | "nopeer" | "noepeer" => continue,
            "epeer" => {
                entry.changed("`epeer`: no association is made for those who ask for one");
                continue;
            }
            "ippeerlimit" => {
                entry.number::<i64>("ippeerlimit");
                continue;
            }
            "ntpport" | "non-ntpport" => {
                flags.from_ntp_port = flag == "ntpport";
                continue;
            }
            "kod" => {
                kod = true;
                continue;
            }
            "limited" => {
                limited = true;
                continue;
            }
            "serverresponse" => {
                entry.takes("fuzz");
                entry.changed("`serverresponse fuzz`: stamps are not blurred");
                continue;
            }
            "flake" => {
                entry
                    .refused("`flake` loses one packet in ten on purpose", "test with tc-netem(8)");
                continue;
            }
            "mssntp" => {
                entry.refused(
                    "`mssntp` would sign for Windows domains",
                    "leave that to Samba's own",
                );
                continue;
            }
            other => {
                entry.unknown(other, FLAGS);
                continue;
            }
        };
        flags.restrictions = flags.restrictions | withheld;
    }
    if limited {
        entry.note("`limited`: by `[limits]`, wider than ntpd's own unless a `discard` line says otherwise");
        flags.restrictions = flags.restrictions | Restrictions::LIMITED;
    }
    match (kod, limited) {
        (true, false) => entry.note("`kod` does nothing without `limited`, in ntpd too"),
        (true, true) => flags.restrictions = flags.restrictions | Restrictions::KISSED,
        _ => {}
    }
    flags
}

const FLAGS: &[&str] = &[
    "epeer",
    "flake",
    "ignore",
    "ippeerlimit",
    "kod",
    "limited",
    "lowpriotrap",
    "mask",
    "mssntp",
    "noepeer",
    "nomodify",
    "nomrulist",
    "nopeer",
    "noquery",
    "noserve",
    "notrap",
    "notrust",
    "ntpport",
    "serverresponse",
    "version",
];
/// ntpd counts over eight intervals.
const BURST: u8 = 8;
/// What `limits.interval_s` may be.
const LIMIT_S: std::ops::RangeInclusive<f64> = 0.001..=131_072.0;
