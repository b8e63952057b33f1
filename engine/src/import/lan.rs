//! Broadcast, multicast and manycast: what lines have asked for, and the sections that say it.
//!
//! Must never: have anything believed unsigned that the file did not say may be.

use std::net::IpAddr;

use super::draft::{Draft, find, quoted};
use super::entry::Entry;
use super::finding::{Finding, Place, Verdict};
use super::instead::AUTOKEY;
use super::numbers;
use super::toml::Text;

/// What has been asked for so far.
#[derive(Default)]
pub(super) struct Lan {
    broadcasts: Vec<Target>,
    asks: Vec<Target>,
    /// The line that has broadcasts heard.
    hears: Option<Place>,
    groups: Vec<(IpAddr, Place)>,
    answers: Vec<(IpAddr, Place)>,
    delay: Option<(f64, Place)>,
    /// The line that does without authentication.
    open: Option<Place>,
}

/// Where something is sent.
struct Target {
    address: IpAddr,
    port: u16,
    poll: i64,
    ttl: Option<u8>,
    key: Option<u32>,
    place: Place,
}

/// `broadcast ADDRESS …`
pub(super) fn broadcast(draft: &mut Draft, entry: &mut Entry) {
    let possible = |address: &IpAddr| address.is_ipv4() || address.is_multicast();
    if let Some(target) = target(entry, possible) {
        draft.lan.broadcasts.push(target);
    }
}

/// chronyd's `broadcast SECONDS ADDRESS [PORT]`.
pub(super) fn broadcast_at(draft: &mut Draft, entry: &mut Entry) {
    let Some(seconds) = entry.number::<f64>("broadcast") else { return drop(entry.rest()) };
    let Some(address) = address(entry, |address| address.is_ipv4() || address.is_multicast())
    else {
        return drop(entry.rest());
    };
    let poll = seconds.max(1.0).log2().round().min(17.0);
    if poll.exp2() != seconds {
        entry.changed(format!("sent every {} s, the nearest power of two", poll.exp2()));
    }
    let port = entry.number_if_there().map_or(123, |port| port as u16);
    let place = entry.place().clone();
    let poll = poll as i64;
    draft.lan.broadcasts.push(Target { address, port, poll, ttl: None, key: None, place });
}

/// `manycastclient GROUP …`
pub(super) fn manycast_client(draft: &mut Draft, entry: &mut Entry) {
    if let Some(target) = target(entry, IpAddr::is_multicast) {
        draft.lan.asks.push(target);
    }
}

/// `broadcastclient [novolley]`
pub(super) fn broadcast_client(draft: &mut Draft, entry: &mut Entry) {
    draft.lan.hears = Some(entry.place().clone());
    while let Some(word) = entry.next() {
        if word == "novolley" {
            draft.lan.delay.get_or_insert((NTPD_DELAY_S, entry.place().clone()));
        } else {
            entry.unknown(&word, &["novolley"]);
        }
    }
}

/// `broadcastdelay SECONDS`
pub(super) fn delay(draft: &mut Draft, entry: &mut Entry) {
    let Some(seconds) = entry.number::<f64>("broadcastdelay") else { return };
    if (0.0..=1.0).contains(&seconds) {
        draft.lan.delay = Some((seconds, entry.place().clone()));
    } else {
        entry.wrong("no broadcast takes so long", "write 0 to 1 second");
    }
}

/// `multicastclient [GROUP …]`
pub(super) fn multicast_client(draft: &mut Draft, entry: &mut Entry) {
    if entry.peek().is_none() {
        draft.lan.groups.push((NTP_GROUP, entry.place().clone()));
    }
    let groups = groups(entry);
    draft.lan.groups.extend(groups);
}

/// `manycastserver GROUP …`
pub(super) fn manycast_server(draft: &mut Draft, entry: &mut Entry) {
    if entry.peek().is_none() {
        entry.expect("a group");
    }
    let groups = groups(entry);
    draft.lan.answers.extend(groups);
}

/// `disable auth`
pub(super) fn open(draft: &mut Draft, entry: &mut Entry) {
    draft.lan.open = Some(entry.place().clone());
    entry.note("broadcasts and manycast answers need not be signed; anybody nearby can send them");
}

fn groups(entry: &mut Entry) -> Vec<(IpAddr, Place)> {
    let place = entry.place().clone();
    let mut groups = Vec::new();
    while entry.peek().is_some() {
        if let Some(group) = address(entry, IpAddr::is_multicast) {
            groups.push((group, place.clone()));
        }
    }
    groups
}

fn address(entry: &mut Entry, possible: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let word = entry.expect("an address")?;
    let address = numbers::address(&word).filter(possible);
    if address.is_none() {
        entry.wrong(
            format!("{word:?} is no address that many listen to"),
            "write a broadcast address, or a group as in 224.0.1.1",
        );
    }
    address
}

fn target(entry: &mut Entry, possible: impl Fn(&IpAddr) -> bool) -> Option<Target> {
    let Some(address) = address(entry, possible) else {
        entry.rest();
        return None;
    };
    let place = entry.place().clone();
    let mut target = Target { address, port: 123, poll: 6, ttl: None, key: None, place };
    let mut wanted = true;
    while let Some(option) = entry.next() {
        match option.as_str() {
            "key" => target.key = entry.number("key"),
            "minpoll" => {
                target.poll = entry.number("minpoll").unwrap_or(target.poll).clamp(0, 17);
            }
            "maxpoll" | "version" => drop(entry.number::<i64>(&option)),
            "ttl" => target.ttl = entry.number::<u8>("ttl").map(|ttl| ttl.max(1)),
            "iburst" | "prefer" | "xleave" | "preempt" => {
                entry.changed(format!("`{option}` is nothing for this"));
            }
            "autokey" => {
                wanted = false;
                entry.refused(AUTOKEY.0, AUTOKEY.1);
            }
            other => entry.unknown(other, &OPTIONS),
        }
    }
    (wanted && !entry.is_wrong()).then_some(target)
}

impl Lan {
    /// True if servers may be heard of.
    pub(super) fn finds_sources(&self) -> bool {
        self.hears.is_some() || !self.groups.is_empty() || !self.asks.is_empty()
    }

    /// Leaves out what needs a key that cannot be had: `counts` says which can.
    pub(super) fn settle(&mut self, counts: impl Fn(u32) -> bool, findings: &mut [Finding]) {
        if let Some((_, place)) =
            self.delay.take_if(|_| self.hears.is_none() && self.groups.is_empty())
        {
            let note = "left out: no line has broadcasts heard";
            find(findings, &place, |finding| finding.add(Verdict::Changed, note));
        }
        let open = self.open.is_some();
        for (targets, needs_key) in [(&mut self.broadcasts, false), (&mut self.asks, !open)] {
            targets.retain(|target| {
                let why = match target.key {
                    Some(key) if counts(key) => return true,
                    Some(key) => {
                        format!("left out: key {key} is not there or not trusted")
                    }
                    None if needs_key => "left out: without `key` anybody could answer; give it \
                                          a key, or write `disable auth`"
                        .to_owned(),
                    None => return true,
                };
                find(findings, &target.place, |finding| finding.add(Verdict::Refused, why));
                false
            });
        }
    }

    /// Writes the sections.
    pub(super) fn write(&self, text: &mut Text) {
        for target in &self.broadcasts {
            text.repeated("[[broadcast]]", &target.place);
            target.write(text);
        }
        if let Some(line) = self.hears.as_ref().or(self.groups.first().map(|(_, place)| place)) {
            text.section("[broadcast_client]");
            self.write_groups(text, &self.groups);
            if let Some((seconds, place)) = &self.delay {
                text.setting("delay_s", &format!("{seconds:?}"), Some(place));
            }
            let authenticate = self.open.is_none().to_string();
            text.setting("authenticate", &authenticate, self.open.as_ref().or(Some(line)));
        }
        if !self.answers.is_empty() {
            text.section("[manycast_server]");
            self.write_groups(text, &self.answers);
        }
        for target in &self.asks {
            text.repeated("[[manycast_client]]", &target.place);
            target.write(text);
            if let Some(open) = &self.open {
                text.setting("authenticate", "false", Some(open));
            }
        }
    }

    fn write_groups(&self, text: &mut Text, groups: &[(IpAddr, Place)]) {
        if let Some((_, place)) = groups.first() {
            let groups: Vec<_> = groups.iter().map(|(ip, _)| quoted(&ip.to_string())).collect();
            text.setting("groups", &format!("[{}]", groups.join(", ")), Some(place));
        }
    }
}

impl Target {
    fn write(&self, text: &mut Text) {
        let place = Some(&self.place);
        let address = match self.port {
            123 => self.address.to_string(),
            port => std::net::SocketAddr::new(self.address, port).to_string(),
        };
        text.setting("address", &quoted(&address), place);
        text.setting("poll", &self.poll.to_string(), place);
        if let Some(ttl) = self.ttl {
            text.setting("ttl", &ttl.to_string(), place);
        }
        if let Some(key) = self.key {
            text.setting("key", &key.to_string(), place);
        }
    }
}

/// 224.0.1.1, NTP's own (RFC 5905 section 3.1).
const NTP_GROUP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(224, 0, 1, 1));
/// What ntpd assumes where it may not ask.
const NTPD_DELAY_S: f64 = 0.004;
const OPTIONS: [&str; 9] =
    ["autokey", "iburst", "key", "maxpoll", "minpoll", "preempt", "prefer", "ttl", "version"];
