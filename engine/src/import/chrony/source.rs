//! `server`, `pool` and `peer` of chrony.conf.
//!
//! Must never: ask a server without the protection that its line demands.

use super::super::draft::{Draft, Source};
use super::super::entry::Entry;
use super::super::instead::{FIRST_BURST, NTS};
use super::super::ntp::checked_host;
use crate::config::Family;

pub(super) fn server(draft: &mut Draft, entry: &mut Entry) {
    source(draft, entry);
}

pub(super) fn pool(draft: &mut Draft, entry: &mut Entry) {
    if source(draft, entry) {
        entry.changed("one server of the pool is asked, another when it fails: name several pools");
    }
}

pub(super) fn peer(draft: &mut Draft, entry: &mut Entry) {
    if source(draft, entry) {
        entry.changed(
            "asked as a client asks: neither server can then be talked into the other's error",
        );
    }
}

/// True if a source was added.
fn source(draft: &mut Draft, entry: &mut Entry) -> bool {
    let Some(host) = entry.expect("a host name or address") else { return false };
    let Some(host) = checked_host(entry, &host) else {
        entry.rest();
        return false;
    };
    let mut source = Source {
        host,
        port: None,
        min_poll: 6,
        max_poll: 10,
        prefer: false,
        key: None,
        family: Family::Any,
        place: entry.place().clone(),
    };
    let wanted = options(entry, &mut source);
    // chronyd raises maxpoll with minpoll, too.
    source.max_poll = source.max_poll.max(source.min_poll);
    let before = draft.sources.len();
    if wanted && !entry.is_wrong() {
        draft.add_source(entry, source);
    }
    draft.sources.len() > before
}

/// Reads the options; false if the server is to be left out.
fn options(entry: &mut Entry, source: &mut Source) -> bool {
    let (mut wanted, mut nts, mut iburst) = (true, false, false);
    while let Some(option) = entry.next() {
        let option = option.to_ascii_lowercase();
        match option.as_str() {
            "iburst" => iburst = true,
            "prefer" => source.prefer = true,
            "ipv4" => source.family = Family::Ipv4,
            "ipv6" => source.family = Family::Ipv6,
            "minpoll" => source.min_poll = poll(entry, &option).unwrap_or(source.min_poll),
            "maxpoll" => source.max_poll = poll(entry, &option).unwrap_or(source.max_poll),
            "port" => source.port = entry.number("port"),
            "key" => source.key = entry.number("key"),
            "nts" => nts = true,
            "ntsport" | "certset" => {
                entry.number::<u16>(&option);
            }
            "noselect" => {
                wanted = false;
                entry.changed("`noselect`: left out, as it would never be used");
            }
            "offline" | "auto_offline" => {
                entry.changed(format!("`{option}`: asked from the start"))
            }
            "version" => match entry.number::<u8>("version") {
                Some(4) | None => {}
                Some(_) => entry.changed("asked in version 4, which every server understands"),
            },
            "maxsources" => {
                entry.number::<u8>("maxsources");
            }
            flag if FLAGS.contains(&flag) => entry.changed(format!("`{flag}`: {UNUSED}")),
            number if NUMBERS.contains(&number) => {
                if entry.number::<f64>(number).is_some() {
                    entry.changed(format!("`{number}`: {UNUSED}"));
                }
            }
            "extfield" => {
                entry.expect("a field's number");
                entry.changed("`extfield`: requests carry no experimental field");
            }
            other => {
                let known = [FLAGS, NUMBERS, MAPPED].concat();
                entry.unknown(other, &known);
            }
        }
    }
    if nts {
        entry.refused(NTS.0, NTS.1);
    }
    if wanted && !nts && !iburst {
        entry.changed(FIRST_BURST);
    }
    wanted && !nts
}

fn poll(entry: &mut Entry, option: &str) -> Option<i64> {
    let exponent = entry.number::<i64>(option)?;
    let kept = exponent.clamp(0, 17);
    if kept != exponent {
        entry.changed(format!("`{option}` is {kept}, the nearest possible"));
    }
    Some(kept)
}

const UNUSED: &str = "answers are judged by their measured error bounds, and paced by them";
const FLAGS: &[&str] = &["burst", "copy", "require", "trust", "xleave"];
const NUMBERS: &[&str] = &[
    "asymmetry",
    "filter",
    "maxdelay",
    "maxdelaydevratio",
    "maxdelayquant",
    "maxdelayratio",
    "maxsamples",
    "maxunreach",
    "mindelay",
    "minsamples",
    "minstratum",
    "offset",
    "polltarget",
    "presend",
];
const MAPPED: &[&str] = &[
    "auto_offline",
    "certset",
    "extfield",
    "iburst",
    "ipv4",
    "ipv6",
    "key",
    "maxpoll",
    "maxsources",
    "minpoll",
    "noselect",
    "nts",
    "ntsport",
    "offline",
    "port",
    "prefer",
    "version",
];
