//! The octets of a request: the header, and the authentication code if there is a key.
//!
//! Must never: allocate; it is copied through [`crate::Action`].

use core::ops::Deref;

use timeball_wire::{HEADER_LEN, Key};

/// A request ready to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    octets: [u8; LEN_MAX],
    len: u8,
}

impl Request {
    /// `header`, signed with `key` if there is one.
    pub fn new(header: [u8; HEADER_LEN], key: Option<&Key>) -> Self {
        let code_len = key.map_or(0, Key::code_len);
        let mut octets = [0; LEN_MAX];
        octets[..HEADER_LEN].copy_from_slice(&header);
        let len = HEADER_LEN + code_len;
        if let Some(key) = key {
            key.sign(&mut octets[..len], code_len);
        }
        Self { octets, len: len as u8 }
    }
}

impl Deref for Request {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

/// Header, key ID and the longest digest of version 4.
const LEN_MAX: usize = HEADER_LEN + 24;
