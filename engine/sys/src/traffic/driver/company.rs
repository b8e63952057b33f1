//! What goes along with requests: frames that are the same every time, and whose replies are only counted.
//!
//! So one generator plays good clients and everybody else on the wire beside them, in a rhythm that does not
//! depend on who has the processor. They come from the first client's address, by a port of their own.
//!
//! Must never: touch what is counted of requests.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use super::DriverOptions;
use super::shared;
use crate::headers::{ETHERNET_LEN, HOPS, Headers, headers_len};

/// Frames in turns, so many with so many requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Company {
    /// The frames; none if there is no company.
    pub members: Vec<Companion>,
    /// How many of them go ...
    pub each: u32,
    /// ... with how many requests; 0 for none at all.
    pub with: u32,
    /// Octets of the payload of a reply that counts.
    pub reply_len: usize,
}

/// A datagram to the target's address, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Companion {
    /// Its port.
    pub port: u16,
    /// What it carries, up to [`Companion::PAYLOAD_MAX`] octets.
    pub payload: Vec<u8>,
    /// What is done to the frame when it is complete.
    pub flaw: Option<Flaw>,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The datagram's checksum.
    DatagramSum,
    /// The IP header's checksum, of IPv6, which has none, its version.
    Header,
    /// It is of a protocol that nobody speaks.
    Protocol,
    /// It ends in the middle.
    Cut,
}

impl Companion {
    /// Longest payload.
    pub const PAYLOAD_MAX: usize = 440;

    /// The frame, for the link and the target of `options`.
    fn frame(&self, options: &DriverOptions) -> Vec<u8> {
        let len = headers_len(options.target.is_ipv6());
        let payload = &self.payload[..self.payload.len().min(Self::PAYLOAD_MAX)];
        let mut frame = vec![0; len];
        frame.extend(payload);
        let headers = Headers {
            local: options.link.local,
            next_hop: options.link.next_hop,
            hops: HOPS,
            source: SocketAddr::new(options.first_client, options.company_port()),
            target: SocketAddr::new(options.target.ip(), self.port),
        };
        headers.write(false, &mut frame);
        match self.flaw {
            None => {}
            Some(Flaw::DatagramSum) => frame[len - 1] ^= 0x55,
            Some(Flaw::Header) if options.target.is_ipv4() => frame[ETHERNET_LEN + 10] ^= 0x55,
            Some(Flaw::Header) => frame[ETHERNET_LEN] ^= 0xF0,
            // For experiments on one link (IEEE 802, local experimental).
            Some(Flaw::Protocol) => frame[12..14].copy_from_slice(&[0x88, 0xB5]),
            Some(Flaw::Cut) => frame.truncate(len + payload.len() / 2),
        }
        frame
    }
}

impl Company {
    /// Lays the frames out for the program.
    pub(super) fn write(&self, options: &DriverOptions, room: &[shared::Companion]) {
        for (companion, slot) in self.members.iter().zip(room) {
            let frame = companion.frame(options);
            for (octet, place) in frame.iter().zip(&slot.octets) {
                place.store(*octet, Ordering::Relaxed);
            }
            slot.len.store(frame.len() as u64, Ordering::Release);
        }
    }
}

/// With the longest headers, every frame fits its slot.
const _: () = assert!(headers_len(true) + Companion::PAYLOAD_MAX <= shared::COMPANION_LEN_MAX);
