//! Control messages (mode 6), reading side only: how ntpq asks a server about itself (RFC 9327).
//!
//! Twelve octets of header, then text. [`ControlRequest::parse`] takes what a client may send,
//! [`ControlAnswer::fragment`] gives the datagrams of an answer of any length. Whatever authenticates a
//! request follows its data and is not looked at: nothing here can be changed by anybody.
//!
//! Must never: answer an answer, or allocate.

use timeball_time::Leap;

use crate::{Flags, Mode};

/// Length of the header of a control message in octets.
pub const CONTROL_HEADER_LEN: usize = 12;
/// Octets of data in one datagram at the most (RFC 9327 section 2).
pub const CONTROL_DATA_MAX: usize = 468;
/// The longest datagram of an answer.
pub const CONTROL_FRAGMENT_MAX: usize = CONTROL_HEADER_LEN + CONTROL_DATA_MAX;
/// Datagrams that clients are known to put together to one answer; more they refuse.
pub const CONTROL_FRAGMENTS_MAX: usize = 32;

/// What a client asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlRequest<'a> {
    /// Version, 1 to 4; the answer has the same.
    pub version: u8,
    /// What is to be done, 0 to 31.
    pub opcode: u8,
    /// Repeated in the answer.
    pub sequence: u16,
    /// Whom it is about: 0 the server, else one of its associations.
    pub association: u16,
    /// What comes with it; `None`: it claims more octets than there are, which is to be answered by
    /// [`ControlError::Format`].
    pub data: Option<&'a [u8]>,
}

impl<'a> ControlRequest<'a> {
    /// The request in `datagram`; `None` if it is none or must not be answered: an answer or an error
    /// itself, part of a longer message, a version that never was.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (header, data) = datagram.split_first_chunk::<CONTROL_HEADER_LEN>()?;
        let flags = Flags::from_octet(header[0]);
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let known = flags.mode == Mode::Control && (1..=4).contains(&flags.version);
        if !known || header[1] & (RESPONSE | ERROR | MORE) != 0 || word(OFFSET) != 0 {
            return None;
        }
        let count = usize::from(word(COUNT));
        let aligned = datagram.len().is_multiple_of(4);
        Some(Self {
            version: flags.version,
            opcode: header[1] & OPCODE,
            sequence: word(SEQUENCE),
            association: word(ASSOCIATION),
            data: if aligned { data.get(..count) } else { None },
        })
    }
}

/// What can be done about a request; the numbers are those of RFC 9327 section 3.
pub mod opcode {
    /// Read the status of one or all associations.
    pub const READ_STATUS: u8 = 1;
    /// Read variables.
    pub const READ_VARIABLES: u8 = 2;
    /// Write variables.
    pub const WRITE_VARIABLES: u8 = 3;
    /// Read a reference clock's variables.
    pub const READ_CLOCK_VARIABLES: u8 = 4;
    /// Write a reference clock's variables.
    pub const WRITE_CLOCK_VARIABLES: u8 = 5;
    /// Have events reported to an address from now on.
    pub const SET_TRAP: u8 = 6;
    /// Change the configuration.
    pub const CONFIGURE: u8 = 8;
    /// Save the configuration.
    pub const SAVE_CONFIG: u8 = 9;
    /// Read the list of clients.
    pub const READ_MRU: u8 = 10;
    /// Read interface or access tables.
    pub const READ_ORDERED_LIST: u8 = 11;
    /// Ask for what [`READ_MRU`] wants to be shown first.
    pub const REQUEST_NONCE: u8 = 12;
    /// Have events reported no more.
    pub const UNSET_TRAP: u8 = 31;
}

/// Why a request is refused; the numbers are those of RFC 9327 section 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlError {
    /// Not for this client, or not for anybody.
    Permission = 1,
    /// Its length and its count contradict each other.
    Format = 2,
    /// No such operation.
    Opcode = 3,
    /// No such association.
    Association = 4,
    /// No such variable.
    Variable = 5,
}

/// What is answered, apart from the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlAnswer {
    /// Leap indicator of the server.
    pub leap: Leap,
    /// As in the request.
    pub version: u8,
    /// As in the request.
    pub opcode: u8,
    /// As in the request.
    pub sequence: u16,
    /// As in the request.
    pub association: u16,
    /// Status word of what the data is about, or why there is none.
    pub status: Result<u16, ControlError>,
}

impl ControlAnswer {
    /// Datagrams that `data` takes: at least one.
    pub const fn fragments(data: &[u8]) -> usize {
        if data.is_empty() { 1 } else { data.len().div_ceil(CONTROL_DATA_MAX) }
    }

    /// Writes datagram `index` of the answer with `data`; returns its length.
    ///
    /// `index` is less than [`ControlAnswer::fragments`], `data` no longer than an offset of 16 bits
    /// reaches.
    pub fn fragment(
        &self,
        data: &[u8],
        index: usize,
        datagram: &mut [u8; CONTROL_FRAGMENT_MAX],
    ) -> usize {
        let start = index * CONTROL_DATA_MAX;
        let end = data.len().min(start + CONTROL_DATA_MAX);
        let part = data.get(start..end).unwrap_or(&[]);
        let mut flags = RESPONSE | self.opcode & OPCODE;
        if end < data.len() {
            flags |= MORE;
        }
        let status = match self.status {
            Ok(status) => status,
            Err(error) => {
                flags |= ERROR;
                u16::from(error as u8) << 8
            }
        };
        datagram.fill(0);
        datagram[0] =
            Flags { leap: self.leap, version: self.version, mode: Mode::Control }.to_octet();
        datagram[1] = flags;
        let mut put =
            |at: usize, word: u16| datagram[at..at + 2].copy_from_slice(&word.to_be_bytes());
        put(SEQUENCE, self.sequence);
        put(STATUS, status);
        put(ASSOCIATION, self.association);
        put(OFFSET, start as u16);
        put(COUNT, part.len() as u16);
        datagram[CONTROL_HEADER_LEN..CONTROL_HEADER_LEN + part.len()].copy_from_slice(part);
        // Padding to whole words, not counted.
        CONTROL_HEADER_LEN + part.len().next_multiple_of(4)
    }
}

const RESPONSE: u8 = 0x80;
const ERROR: u8 = 0x40;
const MORE: u8 = 0x20;
const OPCODE: u8 = 0x1F;
const SEQUENCE: usize = 2;
const STATUS: usize = 4;
const ASSOCIATION: usize = 6;
const OFFSET: usize = 8;
const COUNT: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `ntpq -p` sends first: version 2, READSTAT, association 0.
    const READ_STATUS: [u8; 12] = [0x16, 1, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0];

    fn answer(status: Result<u16, ControlError>) -> ControlAnswer {
        let (version, opcode, sequence, association) = (2, 2, 0x1234, 7);
        ControlAnswer { leap: Leap::None, version, opcode, sequence, association, status }
    }

    #[test]
    fn a_request_of_ntpq_reads_as_its_fields() {
        let request = ControlRequest::parse(&READ_STATUS).unwrap();
        assert_eq!((request.version, request.opcode), (2, opcode::READ_STATUS));
        assert_eq!((request.sequence, request.association), (0x1234, 0));
        assert_eq!(request.data, Some(&[][..]));
        let mut named = [&[0x26, 2, 0, 1, 0, 0, 0, 9, 0, 0, 0, 6][..], b"offset\0\0"].concat();
        let request = ControlRequest::parse(&named).unwrap();
        assert_eq!((request.version, request.association), (4, 9));
        assert_eq!(request.data, Some(&b"offset"[..]), "without its padding");
        // An authenticated request has a key and a code behind its data.
        named.extend([0; 20]);
        assert_eq!(ControlRequest::parse(&named).unwrap().data, Some(&b"offset"[..]));
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        let with = |at: usize, value: u8| {
            let mut datagram = READ_STATUS;
            datagram[at] = value;
            datagram
        };
        for (what, datagram) in [
            ("an answer", with(1, 0x81)),
            ("an error", with(1, 0x41)),
            ("a part", with(1, 0x21)),
            ("a later part", with(9, 1)),
            ("mode 3", with(0, 0x13)),
            ("version 0", with(0, 0x06)),
            ("version 5", with(0, 0x2E)),
        ] {
            assert_eq!(ControlRequest::parse(&datagram), None, "{what}");
        }
        assert_eq!(ControlRequest::parse(&READ_STATUS[..11]), None);
        assert_eq!(ControlRequest::parse(&with(11, 4)).unwrap().data, None, "more than there is");
        let unaligned = [&READ_STATUS[..], &[0]].concat();
        assert_eq!(ControlRequest::parse(&unaligned).unwrap().data, None);
    }

    #[test]
    fn an_error_has_no_data_and_names_its_reason() {
        let mut datagram = [0xFF; CONTROL_FRAGMENT_MAX];
        let len = answer(Err(ControlError::Association)).fragment(&[], 0, &mut datagram);
        assert_eq!(datagram[..len], [0x16, 0xC2, 0x12, 0x34, 4, 0, 0, 7, 0, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn fragments_put_together_are_the_data(data: Vec<u8>, more in 0usize..2000) {
            let mut data = data;
            data.resize(data.len() + more, 0x5A);
            let answer = answer(Ok(0x9624));
            let mut whole = Vec::new();
            let fragments = ControlAnswer::fragments(&data);
            for index in 0..fragments {
                let mut datagram = [0xFF; CONTROL_FRAGMENT_MAX];
                let len = answer.fragment(&data, index, &mut datagram);
                let word = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
                let count = usize::from(word(COUNT));
                prop_assert_eq!(usize::from(word(OFFSET)), whole.len());
                prop_assert_eq!(len, (CONTROL_HEADER_LEN + count).next_multiple_of(4));
                prop_assert_eq!(datagram[1] & MORE != 0, index + 1 < fragments);
                prop_assert!(count > 0 || data.is_empty());
                prop_assert_eq!(datagram[1] & (RESPONSE | ERROR), RESPONSE);
                prop_assert_eq!(word(STATUS), 0x9624);
                whole.extend_from_slice(&datagram[CONTROL_HEADER_LEN..CONTROL_HEADER_LEN + count]);
                prop_assert!(datagram[CONTROL_HEADER_LEN + count..len].iter().all(|&pad| pad == 0));
                prop_assert_eq!(ControlRequest::parse(&datagram[..len]), None);
            }
            prop_assert_eq!(whole, data);
        }
    }
}
