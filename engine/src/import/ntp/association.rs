//! Lines that name servers and clocks: `server`, `pool`, `peer`, `fudge`, `refclock`.
//!
//! Must never: ask a server without the protection that its line demands.

use std::net::Ipv4Addr;

use super::super::draft::Draft;
use super::super::entry::Entry;
use super::super::instead::{AUTOKEY, REFERENCE_CLOCK};
use super::super::upstream::{self, AS_CLIENT, POOL_SOURCES, Upstream};
use crate::config::Family;

pub(super) fn server(draft: &mut Draft, entry: &mut Entry) {
    association(draft, entry, 1);
}

pub(super) fn pool(draft: &mut Draft, entry: &mut Entry) {
    if association(draft, entry, POOL_SOURCES) {
        entry.note(format!("{POOL_SOURCES} of its servers are asked at a time (`max_sources`)"));
    }
}

pub(super) fn peer(draft: &mut Draft, entry: &mut Entry) {
    if association(draft, entry, 1) {
        entry.changed(AS_CLIENT);
    }
}

/// Takes back what a `server` line named.
pub(super) fn unpeer(draft: &mut Draft, entry: &mut Entry) {
    let Some(host) = entry.expect("a server") else { return };
    let before = draft.sources.len();
    draft.sources.retain(|source| source.host != host);
    if draft.sources.len() == before {
        entry.changed("no such server is named before this line, so nothing is taken back");
    }
}

/// Reads a server, of whose addresses `count` are asked; true if it was added.
fn association(draft: &mut Draft, entry: &mut Entry, count: u8) -> bool {
    let mut family = Family::Any;
    while let Some(of) = entry.peek().and_then(family_flag) {
        entry.next();
        family = of;
    }
    let Some(host) = entry.expect("a host name or address") else { return false };
    if let Ok(address) = host.parse::<Ipv4Addr>()
        && address.octets()[..2] == [127, 127]
    {
        clock(draft, entry, address);
        return false;
    }
    let Some(mut server) = Upstream::named(entry, &host, family) else { return false };
    server.pool(count);
    options(entry, &mut server);
    let source = &mut server.source;
    if source.min_poll > source.max_poll {
        entry.changed(format!("`maxpoll` is {}, as `minpoll` is", source.min_poll));
        source.max_poll = source.min_poll;
    }
    server.add(draft, entry)
}

/// `-4` and `-6`, and what NTPsec also takes for them.
pub(super) fn family_flag(word: &str) -> Option<Family> {
    match word {
        "-4" | "ipv4" => Some(Family::Ipv4),
        "-6" | "ipv6" => Some(Family::Ipv6),
        _ => None,
    }
}

fn options(entry: &mut Entry, server: &mut Upstream) {
    while let Some(option) = entry.next() {
        if server.takes(entry, &option) {
            continue;
        }
        match option.as_str() {
            "burst" => entry.changed("`burst`: one request at each poll, to spare the server"),
            "true" => entry.changed("`true`: no server is believed against all others"),
            "preempt" => entry.changed("`preempt`: no server is dropped for a better one"),
            "xleave" => entry.changed("`xleave`: asked in basic mode"),
            "xmtnonce" => entry.note("every request carries a nonce instead of the time"),
            "autokey" => {
                server.leave_out();
                entry.refused(AUTOKEY.0, AUTOKEY.1);
            }
            "noval" => {}
            "ask" | "require" | "cert" | "ca" | "aead" => {
                entry.expect("a value");
            }
            "expire" => {
                entry.number::<u64>("expire");
            }
            "ident" => {
                entry.expect("a group name");
                entry.refused(AUTOKEY.0, AUTOKEY.1);
            }
            "mode" | "ttl" | "subtype" => {
                if entry.number::<i64>(&option).is_some() {
                    entry.changed(format!("`{option}` says nothing about a server that is asked"));
                }
            }
            "bias" => {
                if entry.number::<f64>("bias").is_some() {
                    entry.changed("`bias`: measured offsets are taken as they are");
                }
            }
            other => entry.unknown(other, &[OPTIONS, upstream::OPTIONS].concat()),
        }
    }
}

/// `server 127.127.t.u`: driver t, unit u.
fn clock(draft: &mut Draft, entry: &mut Entry, address: Ipv4Addr) {
    while let Some(option) = entry.next() {
        match option.as_str() {
            "prefer" | "true" | "iburst" | "burst" | "noselect" | "preempt" | "autokey" => {}
            "minpoll" | "maxpoll" | "mode" | "version" | "key" | "subtype" | "time1" | "time2"
            | "stratum" | "refid" | "flag1" | "flag2" | "flag3" | "flag4" => {
                entry.expect("a value");
            }
            other => entry.unknown(other, &[OPTIONS, upstream::OPTIONS].concat()),
        }
    }
    if entry.is_wrong() {
        return;
    }
    let place = entry.place().clone();
    draft.clock(address).configured = Some(place);
    let driver = address.octets()[2];
    if driver != LOCAL_DRIVER {
        refuse_clock(entry, driver_name(driver));
    }
}

fn refuse_clock(entry: &mut Entry, name: &str) {
    entry.refused(format!("{} ({name})", REFERENCE_CLOCK.0), REFERENCE_CLOCK.1);
}

pub(super) fn fudge(draft: &mut Draft, entry: &mut Entry) {
    let Some(host) = entry.expect("a clock's address") else { return };
    let address = host.parse::<Ipv4Addr>().ok();
    let Some(address) = address.filter(|address| address.octets()[..2] == [127, 127]) else {
        entry.refused(
            format!("{host} is no reference clock, so ntpd ignores this too"),
            "remove it",
        );
        entry.rest();
        return;
    };
    let local = address.octets()[2] == LOCAL_DRIVER;
    while let Some(option) = entry.next() {
        match option.as_str() {
            "stratum" => {
                let stratum = entry.number::<u8>("stratum");
                draft.clock(address).stratum = stratum;
            }
            "refid" => {
                let id = entry.expect("a name");
                if local && id.is_some_and(|id| id != "LCL" && id != "LOCAL" && id != "LOCL") {
                    entry.changed("`refid`: the local clock is always named 127.127.1.0");
                }
            }
            "time1" | "time2" | "minjitter" => {
                if entry.number::<f64>(&option).is_some_and(|time| local && time != 0.0) {
                    entry.changed(format!("`{option}`: the local clock is served as it stands"));
                }
            }
            "flag1" | "flag2" | "flag3" | "flag4" => {
                entry.number::<u8>(&option);
            }
            other => entry.unknown(other, FUDGE_OPTIONS),
        }
    }
    if !local {
        refuse_clock(entry, driver_name(address.octets()[2]));
    }
}

/// NTPsec's form of a reference clock.
pub(super) fn refclock(draft: &mut Draft, entry: &mut Entry) {
    let Some(driver) = entry.expect("a driver's name") else { return };
    let (mut unit, mut stratum) = (0, None);
    while let Some(option) = entry.next() {
        match option.as_str() {
            "prefer" | "true" | "noselect" => {}
            "unit" => unit = entry.number::<u8>("unit").unwrap_or(0),
            "stratum" => stratum = entry.number::<u8>("stratum"),
            _ => {
                entry.expect("a value");
            }
        }
    }
    if driver != "local" {
        return refuse_clock(entry, &driver);
    }
    let place = entry.place().clone();
    let clock = draft.clock(Ipv4Addr::new(127, 127, LOCAL_DRIVER, unit));
    clock.configured = Some(place);
    clock.stratum = stratum;
}

/// What hangs on a driver's number (ntp.org's list).
fn driver_name(number: u8) -> &'static str {
    match number {
        4 => "Spectracom WWVB",
        6 => "IRIG audio",
        8 => "generic serial receiver",
        18 => "telephone modem",
        20 => "NMEA GPS",
        22 => "PPS",
        28 => "shared memory",
        29 => "Trimble GPS",
        46 => "GPSD",
        _ => "a driver of ntpd's",
    }
}

const LOCAL_DRIVER: u8 = 1;
const OPTIONS: &[&str] = &[
    "aead", "ask", "autokey", "bias", "burst", "ca", "cert", "expire", "ident", "mode", "noval",
    "preempt", "require", "subtype", "true", "ttl", "xleave", "xmtnonce",
];
const FUDGE_OPTIONS: &[&str] =
    &["flag1", "flag2", "flag3", "flag4", "minjitter", "refid", "stratum", "time1", "time2"];
