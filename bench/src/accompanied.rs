//! What goes along with a load that is made in the kernel: junk, or requests for the workers.
//!
//! Must never: hold anything that a good client sends, in junk, or anything that the driver answers, in
//! requests for the workers.

use serde::{Deserialize, Serialize};
use timeball_load::{Companion, Company, Flaw};
use timeball_time::Leap;
use timeball_wire::{Flags, HEADER_LEN, Header, Mode};

use crate::load;

/// What goes along, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Accompanied {
    /// Nothing.
    Alone,
    /// So many frames with each request that nobody can answer.
    ByJunk(u32),
    /// A signed request, short or as long as one of NTS, with so many plain ones.
    BySigned(u32),
}

impl Accompanied {
    /// The frames, for a server at `port`.
    pub(crate) fn company(self, port: u16) -> Company {
        match self {
            Self::Alone => Company::default(),
            Self::ByJunk(each) => Company { members: junk(port), each, with: 1, reply_len: 0 },
            Self::BySigned(with) => {
                let payloads = [signed(0), signed(NTS_FIELDS_LEN)];
                let reply_len = payloads[0].len();
                let members =
                    payloads.map(|payload| Companion { port, payload, flaw: None }).into();
                Company { members, each: 1, with, reply_len }
            }
        }
    }
}

/// Frames spoilt in every way, datagrams to ports at which nobody is, and octets that are not NTP.
fn junk(port: u16) -> Vec<Companion> {
    let frame = |port, payload: Vec<u8>, flaw| Companion { port, payload, flaw };
    let flaws = [Flaw::DatagramSum, Flaw::Header, Flaw::Protocol, Flaw::Cut];
    let mut junk: Vec<Companion> =
        flaws.into_iter().map(|flaw| frame(port, request(), Some(flaw))).collect();
    junk.extend(NOBODYS_PORTS.map(|port| frame(port, request(), None)));
    // As long as a request, longer, and nothing at all.
    junk.extend([HEADER_LEN, 400, 0].map(|len| frame(port, vec![0xA5; len], None)));
    junk
}

/// A plain request.
fn request() -> Vec<u8> {
    let flags = Flags { leap: Leap::None, version: 4, mode: Mode::Client };
    Header::new(flags).encode().to_vec()
}

/// A request with a field of so many octets that the server does not know, and with the bench's code.
fn signed(field_len: usize) -> Vec<u8> {
    let mut packet = request();
    if field_len > 0 {
        packet.extend(FIELD.to_be_bytes());
        packet.extend((field_len as u16).to_be_bytes());
        packet.resize(HEADER_LEN + field_len, 0x5A);
    }
    if let Some(key) = load::key() {
        let code_len = key.code_len();
        packet.resize(packet.len() + code_len, 0);
        key.sign(&mut packet, code_len);
    }
    packet
}

/// Where hosts have nothing.
const NOBODYS_PORTS: [u16; 2] = [9, 40_000];
/// For experiments (RFC 7822).
const FIELD: u16 = 0xF323;
/// A unique identifier, a cookie, and an authenticator (RFC 8915 section 5).
const NTS_FIELDS_LEN: usize = 36 + 104 + 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_requests_are_of_two_lengths_and_junk_is_of_nine_kinds() {
        let signed = Accompanied::BySigned(100).company(123);
        let lens: Vec<usize> = signed.members.iter().map(|it| it.payload.len()).collect();
        assert_eq!((lens, signed.reply_len), (vec![68, 248], 68));
        assert!(signed.members.iter().all(|it| it.flaw.is_none()));
        let junk = Accompanied::ByJunk(10).company(123).members;
        assert_eq!(junk.len(), 9);
        let plain = |it: &&Companion| it.port == 123 && it.flaw.is_none();
        assert!(junk.iter().filter(plain).all(|it| it.payload.first() != Some(&0x23)));
    }
}
