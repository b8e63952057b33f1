//! A line that names an upstream server, while it is being read: what the dialects have in common.
//!
//! Must never: ask a server without the protection that its line demands.

use std::net::{IpAddr, Ipv4Addr};

use super::draft::{Draft, Source};
use super::entry::Entry;
use super::instead::{FIRST_BURST, NTS};
use super::numbers;
use crate::config::{Family, Host};

/// A server, and what its options have said of it so far.
pub(super) struct Upstream {
    pub(super) source: Source,
    left_out: bool,
    nts: bool,
    iburst: bool,
}

impl Upstream {
    /// The server called `host`, which is the next word of `entry`; none if nothing can be asked there.
    pub(super) fn named(entry: &mut Entry, host: &str, family: Family) -> Option<Self> {
        let Some(host) = checked_host(entry, host) else {
            entry.rest();
            return None;
        };
        let source = Source {
            host,
            port: None,
            min_poll: 6,
            max_poll: 10,
            prefer: false,
            key: None,
            family,
            max_sources: 1,
            place: entry.place().clone(),
        };
        Some(Self { source, left_out: false, nts: false, iburst: false })
    }

    /// Reads what follows `option`; false if it is none of [`OPTIONS`].
    pub(super) fn takes(&mut self, entry: &mut Entry, option: &str) -> bool {
        let source = &mut self.source;
        match option {
            "iburst" => self.iburst = true,
            "prefer" => source.prefer = true,
            "minpoll" => source.min_poll = poll(entry, option).unwrap_or(source.min_poll),
            "maxpoll" => source.max_poll = poll(entry, option).unwrap_or(source.max_poll),
            "key" => source.key = entry.number("key"),
            "nts" => self.nts = true,
            "version" => version(entry),
            "noselect" => {
                self.leave_out();
                entry.changed("`noselect`: left out, as it would never be used");
            }
            _ => return false,
        }
        true
    }

    /// It is a pool, of which `count` servers are asked; an address has but one.
    pub(super) fn pool(&mut self, count: u8) {
        if numbers::address(&self.source.host).is_none() {
            self.source.max_sources = count;
        }
    }

    /// It is not to be asked; the line says why.
    pub(super) fn leave_out(&mut self) {
        self.left_out = true;
    }

    /// Adds it to `draft`, unless something speaks against it; true if it was added.
    pub(super) fn add(self, draft: &mut Draft, entry: &mut Entry) -> bool {
        if self.nts {
            entry.refused(NTS.0, NTS.1);
        }
        if self.left_out || self.nts {
            return false;
        }
        if !self.iburst {
            entry.changed(FIRST_BURST);
        }
        let before = draft.sources.len();
        if !entry.is_wrong() {
            draft.add_source(entry, self.source);
        }
        draft.sources.len() > before
    }
}

/// The host as the configuration writes it.
fn checked_host(entry: &mut Entry, host: &str) -> Option<String> {
    if let Some(address) = numbers::address(host) {
        let unusable = address.is_unspecified() || address.is_multicast();
        if unusable || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
            entry.wrong(format!("no server can answer from {address}"), "name a server");
            return None;
        }
        return Some(address.to_canonical().to_string());
    }
    let name = Host::name(host);
    if name.is_none() {
        entry.wrong(format!("{host:?} is neither a host name nor an address"), "correct it");
    }
    name
}

/// The poll exponent, moved into the range that is kept.
fn poll(entry: &mut Entry, option: &str) -> Option<i64> {
    let exponent = entry.number::<i64>(option)?;
    let kept = exponent.clamp(0, 17);
    if kept != exponent {
        entry.changed(format!("`{option}` is {kept}, the nearest possible"));
    }
    Some(kept)
}

fn version(entry: &mut Entry) {
    match entry.number::<u8>("version") {
        Some(4) | None => {}
        Some(1..=3) => entry.changed("asked in version 4, which every server understands"),
        Some(other) => entry.wrong(format!("there is no version {other}"), "write `version 4`"),
    }
}

/// How many servers of a pool are asked, if nothing says otherwise: chronyd's default.
pub(super) const POOL_SOURCES: u8 = 4;
/// A server that is asked instead of being talked to as an equal.
pub(super) const AS_CLIENT: &str =
    "asked as a client asks: neither server can then be talked into the other's error";
/// What every dialect has.
pub(super) const OPTIONS: &[&str] =
    &["iburst", "key", "maxpoll", "minpoll", "noselect", "nts", "prefer", "version"];
