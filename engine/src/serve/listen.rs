//! Opens the sockets: one group per listen address, in each one socket per worker and one for control.
//!
//! Without any listen address in the config a server must still come up on a machine where it may not have
//! port 123, or where there is no IPv6: what cannot be had is replaced or left out, and said. With addresses
//! given, anything that cannot be had is an error, because the operator asked for it.
//!
//! Must never: start half: when one group fails, those already open are closed again.

use std::net::SocketAddr;

use timeball_sys::{ControlSocket, ListenError, ListenGroup, ListenOptions, listen};

use crate::config::{Listen, Server};

/// The open sockets, and what had to be done otherwise than usual.
#[derive(Debug)]
pub(super) struct Listening {
    /// One group per address.
    pub groups: Vec<ListenGroup>,
    /// What the operator should know about them.
    pub notes: Vec<String>,
}

impl Listening {
    /// Opens the sockets of `server`; `spread_key` is a secret drawn at start.
    ///
    /// # Errors
    /// The first [`ListenError`] that the config does not allow to work around.
    pub(super) fn open(server: &Server, spread_key: u32) -> Result<Self, ListenError> {
        let options = |address| ListenOptions {
            workers: server.cores.len(),
            receive_buffer_bytes: server.receive_buffer_bytes,
            spread: server.spread.into(),
            spread_key,
            cores: server.cores.clone(),
            control: true,
            ..ListenOptions::new(address)
        };
        if let Listen::At(addresses) = &server.listen {
            let groups = addresses.iter().map(|&address| listen(&options(address)));
            return Ok(Self { groups: groups.collect::<Result<_, _>>()?, notes: Vec::new() });
        }
        let usual = Self::open_what_exists(&server.listen.addresses(), &options);
        match (usual, server.listen.fallback()) {
            (Err(ListenError::PermissionDenied(address)), Some(fallback)) => {
                let mut listening = Self::open_what_exists(&fallback, &options)?;
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
            _ => Ok(Self { groups, notes }),
        }
    }

    /// Takes the sockets for control out of the groups.
    pub(super) fn control_sockets(&mut self) -> Vec<ControlSocket> {
        self.groups.iter_mut().filter_map(|group| group.control.take()).collect()
    }

    /// The addresses really bound.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.groups.iter().map(|group| group.address)
    }
}
