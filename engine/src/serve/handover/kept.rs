//! Sockets that the service manager has opened, or kept from the process before, and the keeping of ours.
//!
//! A socket that no process reads from still takes what arrives, as much as its buffer holds.
//! systemd can open one (a socket unit), and keep handles of ours (`FileDescriptorStoreMax=`), each
//! by a name that says which it is, and gives all of them to the process it starts next: what came
//! in between is answered then.
//!
//! Must never: serve from a part of a group (steering would miss its workers), or leave a socket
//! with the service manager that nobody serves (it would swallow requests).

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use timeball_sys::{ListenGroup, Passed, Seats, listen_by, wait_until_alone};

use crate::config::Server;
use crate::serve::listen::{Listening, Place, listen_options};
use crate::serve::{StartError, manager};

/// What a socket does in its group; in the order of [`ListenGroup::fds`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Role {
    Worker(usize),
    Sender(usize),
    Control,
}

impl Role {
    /// Those of a whole group.
    fn all(workers: usize) -> impl Iterator<Item = Self> {
        let receivers = (0..workers).map(Self::Worker);
        receivers.chain((0..workers).map(Self::Sender)).chain([Self::Control])
    }

    /// That of a socket which the service manager calls `name`; `None` if we have not named it.
    fn of(name: &str) -> Option<Self> {
        let (role, number) = match name.strip_prefix(PREFIX)?.rsplit_once('-')?.1 {
            "control" => return Some(Self::Control),
            role => role.split_at(role.find(|sign: char| sign.is_ascii_digit())?),
        };
        match role {
            "worker" => number.parse().ok().map(Self::Worker),
            "sender" => number.parse().ok().map(Self::Sender),
            _ => None,
        }
    }

    /// What the service manager is to call it: no colons are allowed in that.
    fn name(self, address: SocketAddr) -> String {
        format!("{PREFIX}{}-{self}", address.to_string().replace(':', "."))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(number) => write!(formatter, "worker{number}"),
            Self::Sender(number) => write!(formatter, "sender{number}"),
            Self::Control => formatter.write_str("control"),
        }
    }
}

/// The groups of `server` that begin with what was `passed` on.
///
/// # Errors
/// When something was passed on that it cannot serve from.
pub(in crate::serve) fn listening(
    passed: Vec<Passed>,
    server: &Server,
    spread_key: u32,
) -> Result<Listening, StartError> {
    let mut notes = Vec::new();
    let Sorted { mut opened, kept } = Sorted::of(passed, server)?;
    let mut places = Vec::new();
    for (address, mut sockets) in kept {
        sockets.sort_by_key(|(role, _)| *role);
        let options = listen_options(server, spread_key, address);
        let same = match (opened.get(&address), sockets.first()) {
            (Some(opened), Some((_, first))) => opened.is_same(first),
            _ => true,
        };
        let whole = sockets.iter().map(|(role, _)| *role).eq(Role::all(options.workers));
        if same && whole && wanted(server).any(|wanted| wanted == address) {
            // It is the first of these.
            opened.remove(&address);
            let fds: Vec<_> = sockets.into_iter().map(|(_, passed)| passed.fd).collect();
            let own: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            wait_until_alone(address, &own)?;
            let group = ListenGroup::adopt(fds, Seats::usual(options.workers), &options)?;
            group.steer(&options)?;
            places.push(place(address, group));
        } else {
            let names = sockets.into_iter().map(|(_, passed)| passed.name);
            forget(names, "does not serve by them");
            let opened: Vec<_> =
                opened.get(&address).map(|one| one.fd.as_fd()).into_iter().collect();
            wait_until_alone(address, &opened)?;
            notes.push(format!(
                "the sockets kept for {address} do not fit this configuration: not served by them"
            ));
        }
    }
    for (address, passed) in opened {
        let group = listen_by(passed.fd, &listen_options(server, spread_key, address))?;
        if !group.is_whole() {
            notes.push(format!(
                "{address} is served by the socket passed on alone: ntpq is not answered there, and \
                 no other process can take over"
            ));
        }
        places.push(place(address, group));
    }
    let mut listening = Listening::at(places, spread_key);
    listening.notes = notes;
    Ok(listening)
}

fn place(address: SocketAddr, group: ListenGroup) -> Place {
    Place { asked: address, smeared: false, group: Arc::new(group) }
}

/// What was passed on, by address.
#[derive(Default)]
struct Sorted {
    /// Opened by the service manager.
    opened: BTreeMap<SocketAddr, Passed>,
    /// Opened by a process before this one.
    kept: BTreeMap<SocketAddr, Vec<(Role, Passed)>>,
}

impl Sorted {
    fn of(passed: Vec<Passed>, server: &Server) -> Result<Self, StartError> {
        let mut sorted = Self::default();
        for one in passed {
            let (number, name) = (one.number, one.name.clone());
            let refuse = |fault| StartError::Passed { number, name: name.clone(), fault };
            let role = Role::of(&name);
            let address = one.address().ok_or_else(|| refuse("it is no UDP socket".to_owned()))?;
            if let Some(role) = role {
                sorted.kept.entry(address).or_default().push((role, one));
            } else if !wanted(server).any(|wanted| wanted == address) {
                let fault = format!("it is bound to {address}, which is not in `listen`");
                return Err(refuse(fault));
            } else if sorted.opened.insert(address, one).is_some() {
                return Err(refuse(format!("it is the second for {address}")));
            }
        }
        Ok(sorted)
    }
}

/// All addresses that `server` may be served at.
fn wanted(server: &Server) -> impl Iterator<Item = SocketAddr> {
    let utc = server.listen.addresses().into_iter();
    let fallback = server.listen.fallback().into_iter().flatten();
    utc.chain(fallback).chain(server.listen_smeared.iter().copied())
}

/// Has the service manager keep the sockets of `now`, and no longer those that are only in `before`.
pub(in crate::serve) fn keep(now: &Listening, before: &Listening) {
    let Some(room) = room() else { return };
    let held = |listening: &Listening, place: &Place| {
        listening.places().iter().any(|other| Arc::ptr_eq(&other.group, &place.group))
    };
    for place in before.places().iter().filter(|place| !held(now, place)) {
        let address = place.group.address;
        forget(Role::all(place.group.sockets.len()).map(|role| role.name(address)), "left it");
    }
    let whole = || {
        let places = now.places().iter().filter(|place| place.group.is_whole());
        places.filter(|place| place.group.seats.is_usual())
    };
    let sockets: usize = whole().map(|place| place.group.fds().count()).sum();
    if sockets > room {
        return tracing::warn!(
            "a restart will lose requests: there are {sockets} sockets, and the service manager \
             keeps {room}: set FileDescriptorStoreMax={sockets}"
        );
    }
    for place in whole() {
        let group = &place.group;
        for (role, fd) in Role::all(group.sockets.len()).zip(group.fds()) {
            // Errors that wait in a socket are no reason to drop it.
            let wish = format!("FDSTORE=1\nFDNAME={}\nFDPOLL=0\n", role.name(group.address));
            if let Err(error) = manager::say(&wish, &[fd]) {
                return tracing::warn!("a restart will lose requests: {error}");
            }
        }
    }
}

/// Has the service manager let go of what it calls `names`.
fn forget(names: impl Iterator<Item = String>, why: &str) {
    for name in names {
        if let Err(error) = manager::say(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), &[]) {
            tracing::warn!("the service manager keeps {name}, though the server {why}: {error}");
        }
    }
}

/// How many sockets the service manager keeps (systemd 254 says so; sd_notify(3)); `None` if none.
fn room() -> Option<usize> {
    std::env::var("FDSTORE").ok()?.parse().ok().filter(|&room| room > 0)
}

const PREFIX: &str = "timeball-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_role_and_has_nothing_a_service_manager_forbids() {
        let addresses = ["127.0.0.1:123", "[::]:123", "[fe80::1%2]:11123"];
        let mut names = Vec::new();
        for address in addresses.map(|address| address.parse().unwrap()) {
            for role in Role::all(12) {
                let name = role.name(address);
                assert_eq!(Role::of(&name), Some(role), "{name}");
                assert!(!name.contains([':', ' ', '\n']) && name.is_ascii(), "{name}");
                names.push(name);
            }
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), addresses.len() * 25, "each its own");
        for foreign in ["timeball.socket", "unknown", "timeball-", "timeball-x-worker", "ntp"] {
            assert_eq!(Role::of(foreign), None, "{foreign}");
        }
    }
}
