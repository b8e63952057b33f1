//! The sockets: one group per listen address, in each one socket per worker and one for control.
//!
//! They belong to nobody's life but their own: workers and the control thread work on handles of them, so
//! that others can take their place without a socket being closed, and what the sockets hold by then is
//! not lost. There may be fewer workers than sockets in a group, since a group cannot shrink; then they share
//! them out. Another configuration has those of its addresses that are open already, and opens the
//! others.
//!
//! Without any listen address in the config a server must still come up on a machine where it may not have
//! port 123, or where there is no IPv6: what cannot be had is replaced or left out, and said. With addresses
//! given, anything that cannot be had is an error, because the operator asked for it.
//!
//! Must never: start half: when one group fails, those just opened are closed again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use timeball_sys::{
    ControlSocket, Exit, Exits, ListenError, ListenGroup, ListenOptions, ServerSocket, listen,
};

use super::shortage;
use crate::config::{Listen, Server};

/// The open sockets, and what had to be done otherwise than usual.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    places: Vec<Place>,
    /// A secret drawn at the start, by which clients are spread over workers.
    spread_key: u32,
    /// What the operator should know about them.
    pub(super) notes: Vec<String>,
}

/// The sockets of one address.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The address as configured; its port may be 0.
    pub(super) asked: SocketAddr,
    /// Served in smeared time.
    pub(super) smeared: bool,
    /// The sockets, as long as anybody has them.
    pub(super) group: Arc<ListenGroup>,
}

impl Listening {
    /// At these places; `spread_key` is a secret.
    pub(super) const fn at(places: Vec<Place>, spread_key: u32) -> Self {
        Self { places, spread_key, notes: Vec::new() }
    }

    /// The places.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// The secret by which clients are spread.
    pub(super) const fn spread_key(&self) -> u32 {
        self.spread_key
    }

    /// The sockets of `server`: those that are open already, unless `was` asked for the same, and the others
    /// newly opened.
    ///
    /// # Errors
    /// The first [`ListenError`] that the config does not allow to work around.
    pub(super) fn of(&self, server: &Server, was: Option<&Server>) -> Result<Self, ListenError> {
        let mut opening = Opening { server, known: self, used: Vec::new() };
        let (mut places, notes) = if was.is_some_and(|was| was.listen == server.listen) {
            let utc = self.places.iter().filter(|place| !place.smeared);
            (utc.map(|place| opening.keep(place)).collect(), self.notes.clone())
        } else {
            opening.utc()?
        };
        for &address in &server.listen_smeared {
            places.push(opening.place(address, true)?);
        }
        let mut listening = Self { places, spread_key: self.spread_key, notes };
        let short = shortage::of(server, listening.receive_buffer_bytes());
        listening.notes.retain(|note| !short.contains(note));
        listening.notes.extend(short);
        Ok(listening)
    }

    /// A wildcard among these that has come beside addresses of `before` with its port: in its group would be
    /// whatever else of that process has the port for all addresses, and steering would miss its workers.
    pub(super) fn widened(&self, before: &Self) -> Option<SocketAddr> {
        let is_new = |place: &&Place| {
            !before.places.iter().any(|known| Arc::ptr_eq(&known.group, &place.group))
        };
        let fresh = self.places.iter().filter(is_new).map(|place| place.group.address);
        let mut wide = fresh.filter(|address| address.ip().is_unspecified());
        wide.find(|address| {
            let same = |own: SocketAddr| {
                own.port() == address.port() && own.is_ipv4() == address.is_ipv4()
            };
            before.addresses().any(same)
        })
    }

    /// Whether these are the very sockets of `other`.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let mut pairs = self.places.iter().zip(&other.places);
        self.places.len() == other.places.len()
            && pairs.all(|(a, b)| a.smeared == b.smeared && Arc::ptr_eq(&a.group, &b.group))
    }

    /// Handles of the sockets for control.
    ///
    /// # Errors
    /// When the process may open no more file descriptors.
    pub(super) fn control_sockets(&self) -> io::Result<Vec<ControlSocket>> {
        let sockets = self.places.iter().filter_map(|place| place.group.control.as_ref());
        sockets.map(ControlSocket::try_clone).collect()
    }

    /// What each worker serves, one on each of `cores`: handles of the sockets for UTC, then of those for
    /// smeared time; with what its replies leave by besides, of `exits`. Where a group has more sockets than
    /// there are workers they share them out; where no group has as many there are as many workers as
    /// sockets.
    ///
    /// # Errors
    /// When the process may open no more file descriptors.
    pub(super) fn shares(&self, cores: &[usize], exits: Option<&Exits>) -> io::Result<Vec<Share>> {
        let mut shares = Vec::new();
        for smeared in [false, true] {
            let places = || self.places.iter().filter(move |place| place.smeared == smeared);
            let most = places().map(|place| place.group.sockets.len()).max().unwrap_or(0);
            let workers = cores.len().min(most);
            for (worker, &core) in cores.iter().enumerate().take(workers) {
                let of_group = |place: &'_ Place| worker..place.group.sockets.len();
                let own = places().flat_map(|place| {
                    of_group(place).step_by(workers).map(|at| &place.group.sockets[at])
                });
                let sockets = own.map(ServerSocket::try_clone).collect::<io::Result<_>>()?;
                let exit = exits.map(|exits| exits.of(shares.len())).transpose()?;
                shares.push(Share { core, sockets, exit, smeared });
            }
        }
        Ok(shares)
    }

    /// Spreads packets over all sockets for workers on `cores`, as `server` has it.
    ///
    /// # Errors
    /// [`ListenError`].
    pub(super) fn steer(&self, server: &Server, cores: &[usize]) -> Result<(), ListenError> {
        self.places.iter().filter(|place| place.group.is_whole()).try_for_each(|place| {
            let options = listen_options(server, self.spread_key, place.group.address);
            place.group.steer(&ListenOptions { cores: cores.to_vec(), ..options })
        })
    }

    /// The addresses really bound.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.places.iter().map(|place| place.group.address)
    }

    /// The least receive buffer that the kernel granted.
    pub(super) fn receive_buffer_bytes(&self) -> usize {
        self.places.iter().map(|place| place.group.receive_buffer_bytes).min().unwrap_or(0)
    }

    /// The addresses, for people.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |place: &Place| {
            let smeared = if place.smeared { " (smeared)" } else { "" };
            format!("{}{smeared}", place.group.address)
        };
        self.places.iter().map(name).collect()
    }
}

/// What one worker serves.
#[derive(Debug)]
pub(super) struct Share {
    /// Where.
    pub(super) core: usize,
    /// Of every group one, or more.
    pub(super) sockets: Vec<ServerSocket>,
    /// What replies leave by besides, and how that is called.
    pub(super) exit: Option<(Exit, String)>,
    /// In smeared time.
    pub(super) smeared: bool,
}

/// The opening of the sockets of one configuration.
struct Opening<'a> {
    server: &'a Server,
    known: &'a Listening,
    /// Of those known, the ones that have their place in it.
    used: Vec<usize>,
}

impl Opening<'_> {
    /// Those for UTC, and what is to be said of them.
    fn utc(&mut self) -> Result<(Vec<Place>, Vec<String>), ListenError> {
        let server = self.server;
        if let Listen::At(addresses) = &server.listen {
            let places = addresses.iter().map(|&address| self.place(address, false));
            return Ok((places.collect::<Result<_, _>>()?, Vec::new()));
        }
        let usual = self.what_exists(&server.listen.addresses());
        match (usual, server.listen.fallback()) {
            (Err(ListenError::PermissionDenied(address)), Some(fallback)) => {
                let (places, mut notes) = self.what_exists(&fallback)?;
                notes.push(format!(
                    "port {} needs CAP_NET_BIND_SERVICE, which this process has not: using port {}",
                    address.port(),
                    Listen::FALLBACK_PORT
                ));
                Ok((places, notes))
            }
            (usual, _) => usual,
        }
    }

    /// Those of `addresses` whose family the machine has.
    fn what_exists(
        &mut self,
        addresses: &[SocketAddr],
    ) -> Result<(Vec<Place>, Vec<String>), ListenError> {
        let (mut places, mut notes, mut missing) = (Vec::new(), Vec::new(), None);
        for &address in addresses {
            match self.place(address, false) {
                Ok(place) => places.push(place),
                Err(
                    error @ (ListenError::AddressFamilyUnsupported { .. }
                    | ListenError::AddressNotAvailable(_)),
                ) => {
                    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
                    notes.push(format!("this machine has no {family}: serving without it"));
                    missing = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(error) if places.is_empty() => Err(error),
            _ => Ok((places, notes)),
        }
    }

    /// The place at `asked`: one that is known and not used yet, or a new one.
    fn place(&mut self, asked: SocketAddr, smeared: bool) -> Result<Place, ListenError> {
        let known = (0..).zip(&self.known.places);
        let mut free = known.filter(|(at, place)| place.asked == asked && !self.used.contains(at));
        if let Some((_, place)) = free.next() {
            return Ok(Place { smeared, ..self.keep(place) });
        }
        // A wildcard of our own would look like somebody else's.
        let covers = |own: SocketAddr| {
            let any = own.ip().is_unspecified() || asked.ip().is_unspecified();
            any && own.port() == asked.port() && own.is_ipv4() == asked.is_ipv4()
        };
        let beside = self.known.addresses().any(covers);
        let options = ListenOptions {
            exclusive: !beside,
            ..listen_options(self.server, self.known.spread_key, asked)
        };
        Ok(Place { asked, smeared, group: Arc::new(listen(&options)?) })
    }

    fn keep(&mut self, place: &Place) -> Place {
        let at = self.known.places.iter().position(|one| Arc::ptr_eq(&one.group, &place.group));
        self.used.extend(at);
        place.clone()
    }
}

/// How `server` listens at `address`.
pub(super) fn listen_options(
    server: &Server,
    spread_key: u32,
    address: SocketAddr,
) -> ListenOptions {
    ListenOptions {
        workers: server.cores.len(),
        receive_buffer_bytes: server.receive_buffer_bytes,
        spread: server.spread.into(),
        spread_key,
        cores: server.cores.clone(),
        control: true,
        ..ListenOptions::new(address)
    }
}
