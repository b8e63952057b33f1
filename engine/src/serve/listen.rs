//! Opens the sockets: one group per listen address, in each one socket per worker and one for control.
//!
//! Without any listen address in the config a server must still come up on a machine where it may not have
//! port 123, or where there is no IPv6: what cannot be had is replaced or left out, and said. With addresses
//! given, anything that cannot be had is an error, because the operator asked for it.
//!
//! Must never: start half: when one group fails, those already open are closed again.

use std::net::SocketAddr;

use timeball_sys::{ControlSocket, ListenError, ListenGroup, ListenOptions, ServerSocket, listen};

use crate::config::{Listen, Server};

/// The open sockets, and what had to be done otherwise than usual.
#[derive(Debug)]
pub(super) struct Listening {
    /// One group per address.
    pub groups: Vec<ListenGroup>,
    /// The same, for smeared time.
    pub smeared: Vec<ListenGroup>,
    /// What the operator should know about them.
    pub notes: Vec<String>,
}

impl Listening {
    /// Opens the sockets of `server`; `spread_key` is a secret drawn at start.
    ///
    /// # Errors
    /// The first [`ListenError`] that the config does not allow to work around.
    pub(super) fn open(server: &Server, spread_key: u32) -> Result<Self, ListenError> {
        let options = |address| options(server, spread_key, address);
        let smeared = server.listen_smeared.iter().map(|&address| listen(&options(address)));
        let smeared = smeared.collect::<Result<_, _>>()?;
        Ok(Self { smeared, ..Self::open_utc(server, &options)? })
    }

    fn open_utc(
        server: &Server,
        options: &impl Fn(SocketAddr) -> ListenOptions,
    ) -> Result<Self, ListenError> {
        if let Listen::At(addresses) = &server.listen {
            let groups = addresses.iter().map(|&address| listen(&options(address)));
            let groups = groups.collect::<Result<_, _>>()?;
            return Ok(Self { groups, smeared: Vec::new(), notes: Vec::new() });
        }
        let usual = Self::open_what_exists(&server.listen.addresses(), options);
        match (usual, server.listen.fallback()) {
            (Err(ListenError::PermissionDenied(address)), Some(fallback)) => {
                let mut listening = Self::open_what_exists(&fallback, options)?;
                listening.notes.push(format!(
                    "port {} needs CAP_NET_BIND_SERVICE, which this process has not: using port {}",
                    address.port(),
                    Listen::FALLBACK_PORT
                ));
                Ok(listening)
            }
            (usual, _) => usual,
        }
    }

    /// Opens those of `addresses` whose family the machine has.
    fn open_what_exists(
        addresses: &[SocketAddr],
        options: &impl Fn(SocketAddr) -> ListenOptions,
    ) -> Result<Self, ListenError> {
        let (mut groups, mut notes, mut missing) = (Vec::new(), Vec::new(), None);
        for &address in addresses {
            match listen(&options(address)) {
                Ok(group) => groups.push(group),
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
            Some(error) if groups.is_empty() => Err(error),
            _ => Ok(Self { groups, smeared: Vec::new(), notes }),
        }
    }

    /// Takes the sockets for control out of the groups.
    pub(super) fn control_sockets(&mut self) -> Vec<ControlSocket> {
        let groups = self.groups.iter_mut().chain(&mut self.smeared);
        groups.filter_map(|group| group.control.take()).collect()
    }

    /// What each worker serves: the sockets for UTC of each core, then those for smeared time.
    pub(super) fn sockets(self) -> Vec<Share> {
        let utc = by_worker(self.groups).into_iter();
        let smeared = by_worker(self.smeared).into_iter();
        utc.map(|sockets| Share { sockets, smeared: false })
            .chain(smeared.map(|sockets| Share { sockets, smeared: true }))
            .collect()
    }

    /// The addresses really bound.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.groups.iter().chain(&self.smeared).map(|group| group.address)
    }

    /// The same, for people.
    pub(super) fn names(&self) -> Vec<String> {
        let utc = self.groups.iter().map(|group| group.address.to_string());
        let smeared = self.smeared.iter().map(|group| format!("{} (smeared)", group.address));
        utc.chain(smeared).collect()
    }
}

/// What one worker serves.
#[derive(Debug)]
pub(super) struct Share {
    /// One of every group.
    pub(super) sockets: Vec<ServerSocket>,
    /// In smeared time.
    pub(super) smeared: bool,
}

/// The sockets of each worker: one of every group.
fn by_worker(groups: Vec<ListenGroup>) -> Vec<Vec<ServerSocket>> {
    let mut workers = Vec::new();
    for group in groups {
        for (worker, socket) in group.sockets.into_iter().enumerate() {
            if workers.len() <= worker {
                workers.push(Vec::new());
            }
            workers[worker].push(socket);
        }
    }
    workers
}

fn options(server: &Server, spread_key: u32, address: SocketAddr) -> ListenOptions {
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
