//! `server`, `pool` and `peer` of chrony.conf.
//!
//! Must never: ask a server without the protection that its line demands.

use super::super::draft::Draft;
use super::super::entry::Entry;
use super::super::upstream::{self, AS_CLIENT, Upstream};
use crate::config::Family;

pub(super) fn server(draft: &mut Draft, entry: &mut Entry) {
    source(draft, entry, 1);
}

pub(super) fn pool(draft: &mut Draft, entry: &mut Entry) {
    source(draft, entry, upstream::POOL_SOURCES);
}

pub(super) fn peer(draft: &mut Draft, entry: &mut Entry) {
    if source(draft, entry, 1) {
        entry.changed(AS_CLIENT);
    }
}

/// Reads a server, of whose addresses `count` are asked; true if it was added.
fn source(draft: &mut Draft, entry: &mut Entry, count: u8) -> bool {
    let Some(host) = entry.expect("a host name or address") else { return false };
    let Some(mut server) = Upstream::named(entry, &host, Family::Any) else { return false };
    server.pool(count);
    options(entry, &mut server);
    let source = &mut server.source;
    // chronyd raises maxpoll with minpoll, too.
    source.max_poll = source.max_poll.max(source.min_poll);
    server.add(draft, entry)
}

fn options(entry: &mut Entry, server: &mut Upstream) {
    while let Some(option) = entry.next() {
        let option = option.to_ascii_lowercase();
        if server.takes(entry, &option) {
            continue;
        }
        match option.as_str() {
            "ipv4" => server.source.family = Family::Ipv4,
            "ipv6" => server.source.family = Family::Ipv6,
            "port" => server.source.port = entry.number("port"),
            "ntsport" | "certset" => {
                entry.number::<u16>(&option);
            }
            "offline" | "auto_offline" => {
                entry.changed(format!("`{option}`: asked from the start"))
            }
            "maxsources" => {
                if let Some(count) = entry.number::<u8>("maxsources") {
                    max_sources(entry, server, count);
                }
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
                let known = [FLAGS, NUMBERS, MAPPED, upstream::OPTIONS].concat();
                entry.unknown(other, &known);
            }
        }
    }
}

/// chronyd has it in `server` lines too, where it says nothing.
fn max_sources(entry: &mut Entry, server: &mut Upstream, count: u8) {
    if !(1..=16).contains(&count) {
        entry.wrong(format!("a pool of {count}"), "write `maxsources` 1 to 16");
    } else if entry.name().eq_ignore_ascii_case("pool") {
        server.pool(count);
    }
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
    "ipv4",
    "ipv6",
    "maxsources",
    "ntsport",
    "offline",
    "port",
];
