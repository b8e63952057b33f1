//! What the packets are: requests of every version, and packets that no server should answer.
//!
//! The shares are of all packets. Requests expect a reply and are measured. Hostile packets expect none:
//! each kind leaves by ports of its own, so that whatever arrives there answers that kind, and nothing of
//! it touches loss or latency.
//!
//! Must never: make a packet that is longer than a minimal IPv6 link carries.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use timeball_time::Leap;
use timeball_wire::{Flags, HEADER_LEN, Header, Mode};

/// A kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    /// A client of version 4.
    V4,
    /// A client of version 3.
    V3,
    /// A client of version 2.
    V2,
    /// A client of version 1, from before there were modes.
    V1,
    /// A peer: version 4, mode 1; to be answered in mode 2.
    Symmetric,
    /// Hostile: shorter than a header.
    Short,
    /// Hostile: octets after the header that are neither fields nor a code.
    Long,
    /// Hostile: an extension field whose length points beyond the packet.
    BadField,
    /// Hostile: mode 6, a request to read variables.
    Mode6,
    /// Hostile: mode 7, the request for the list of clients that made amplifiers of servers.
    Mode7,
}

impl Kind {
    /// Every kind, requests first.
    pub const ALL: [Self; 10] = [
        Self::V4,
        Self::V3,
        Self::V2,
        Self::V1,
        Self::Symmetric,
        Self::Short,
        Self::Long,
        Self::BadField,
        Self::Mode6,
        Self::Mode7,
    ];

    /// The kinds that nobody should answer.
    pub const HOSTILE: [Self; 5] =
        [Self::Short, Self::Long, Self::BadField, Self::Mode6, Self::Mode7];

    /// Whether nobody should answer it.
    pub const fn is_hostile(self) -> bool {
        self as u8 >= Self::Short as u8
    }

    /// The name in `--mix` and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V3 => "v3",
            Self::V2 => "v2",
            Self::V1 => "v1",
            Self::Symmetric => "symmetric",
            Self::Short => "short",
            Self::Long => "long",
            Self::BadField => "bad-field",
            Self::Mode6 => "mode6",
            Self::Mode7 => "mode7",
        }
    }

    /// The version it is of.
    pub const fn version(self) -> u8 {
        match self {
            Self::V3 => 3,
            Self::V2 | Self::Mode6 | Self::Mode7 => 2,
            Self::V1 => 1,
            _ => 4,
        }
    }

    /// The mode of its reply.
    pub const fn reply_mode(self) -> Mode {
        match self {
            Self::Symmetric => Mode::SymmetricPassive,
            _ => Mode::Server,
        }
    }

    /// The mode it is sent in.
    const fn mode(self) -> Mode {
        match self {
            Self::V1 => Mode::Reserved,
            Self::Symmetric => Mode::SymmetricActive,
            Self::Mode6 => Mode::Control,
            Self::Mode7 => Mode::Private,
            _ => Mode::Client,
        }
    }

    /// Its octets; a request's transmit timestamp is for the nonce.
    pub(crate) fn packet(self) -> Vec<u8> {
        let flags = Flags { leap: Leap::None, version: self.version(), mode: self.mode() };
        let mut octets = Header::new(flags).encode().to_vec();
        match self {
            Self::Short => octets.truncate(SHORT_LEN),
            Self::Long => octets.resize(LONG_LEN, 0xA5),
            Self::BadField => {
                octets.extend([0x01, 0x04, 0x7F, 0xFC]); // says 32764 octets
                octets.resize(HEADER_LEN + BAD_FIELD_LEN, 0);
            }
            Self::Mode6 => {
                octets.truncate(CONTROL_LEN);
                octets[1] = 2; // read variables (RFC 9327 section 3)
                octets[3] = 1; // sequence
            }
            Self::Mode7 => {
                octets.truncate(PRIVATE_LEN);
                octets[2..4].copy_from_slice(&[3, 42]); // implementation XNTPD, MON_GETLIST_1
            }
            _ => {}
        }
        octets
    }
}

/// The kinds of packets and the share of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    weights: [f64; Kind::ALL.len()],
    /// For each kind, up to which part of all 32-bit numbers it is drawn.
    bounds: [u64; Kind::ALL.len()],
}

impl Mix {
    /// Shares in proportion to the weights, in the order of [`Kind::ALL`].
    ///
    /// Fails unless they are finite, none is negative and a request is among them.
    pub fn new(weights: [f64; Kind::ALL.len()]) -> Result<Self, MixError> {
        let requests: f64 = weights[..Kind::Short as usize].iter().sum();
        let total: f64 = weights.iter().sum();
        if !total.is_finite() || weights.iter().any(|weight| *weight < 0.0) {
            return Err(MixError::Weight);
        }
        if requests <= 0.0 {
            return Err(MixError::NoRequests);
        }
        let mut sum = 0.0;
        let bounds = weights.map(|weight| {
            sum += weight;
            (sum / total * DRAWS as f64).round() as u64
        });
        Ok(Self { weights, bounds })
    }

    /// Requests of version 4 alone.
    pub fn plain() -> Self {
        let mut weights = [0.0; Kind::ALL.len()];
        weights[Kind::V4 as usize] = 1.0;
        Self { weights, bounds: [DRAWS; Kind::ALL.len()] }
    }

    /// The kind that `draw`, a uniform number, falls on.
    #[inline]
    pub(crate) fn kind(&self, draw: u32) -> Kind {
        let draw = u64::from(draw);
        let found = self.bounds.iter().position(|bound| draw < *bound);
        Kind::ALL[found.unwrap_or(0)]
    }

    /// Whether every packet is of one kind.
    pub(crate) fn only(&self) -> Option<Kind> {
        let mut kinds = self.kinds();
        let first = kinds.next()?;
        kinds.next().is_none().then_some(first)
    }

    /// The kinds with a share.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        Kind::ALL.into_iter().filter(|kind| self.weights[*kind as usize] > 0.0)
    }
}

/// `v4=70,v3=20,symmetric=5,mode6=5`: kinds with their weights.
impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut weights = [0.0; Kind::ALL.len()];
        for part in text.split(',') {
            let unreadable = || MixError::Text { text: part.to_owned() };
            let (name, weight) = part.trim().split_once('=').ok_or_else(unreadable)?;
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            let kind = kind.ok_or_else(|| MixError::Kind { name: name.to_owned() })?;
            weights[kind as usize] += weight.parse::<f64>().map_err(|_| unreadable())?;
        }
        Self::new(weights)
    }
}

/// Why there is no such mix; whoever asked for it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// Not written as kinds and weights.
    #[error("{text:?} is no part of a mix; write kinds with weights, as in v4=90,v3=10")]
    Text {
        /// What was written.
        text: String,
    },
    /// No such kind.
    #[error(
        "there are no packets of kind {name:?}; there are v4, v3, v2, v1, symmetric, and the hostile \
         short, long, bad-field, mode6 and mode7"
    )]
    Kind {
        /// What was written.
        name: String,
    },
    /// A weight below zero or beyond all bounds.
    #[error("weights must be 0 or more, and finite")]
    Weight,
    /// Nothing to measure by.
    #[error("a mix needs requests to measure by: give v4, v3, v2, v1 or symmetric a weight")]
    NoRequests,
}

/// What came of hostile packets of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provocation {
    /// Packets sent.
    pub sent: u64,
    /// Packets that came back: each is the server's fault.
    pub answered: u64,
    /// Octets of UDP payload sent.
    pub octets_sent: u64,
    /// Octets that came back: more than were sent is amplification.
    pub octets_answered: u64,
}

/// Hostile packets, kind by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provocations {
    /// Shorter than a header.
    pub short: Provocation,
    /// Senseless octets after the header.
    pub long: Provocation,
    /// A lying extension field.
    pub bad_field: Provocation,
    /// Mode 6.
    pub mode6: Provocation,
    /// Mode 7.
    pub mode7: Provocation,
}

impl Provocations {
    /// What came of `kind`; `None` if it is not hostile.
    #[inline]
    pub const fn of_mut(&mut self, kind: Kind) -> Option<&mut Provocation> {
        match kind {
            Kind::Short => Some(&mut self.short),
            Kind::Long => Some(&mut self.long),
            Kind::BadField => Some(&mut self.bad_field),
            Kind::Mode6 => Some(&mut self.mode6),
            Kind::Mode7 => Some(&mut self.mode7),
            _ => None,
        }
    }

    /// Every kind and what came of it.
    pub const fn all(&self) -> [(Kind, Provocation); 5] {
        [
            (Kind::Short, self.short),
            (Kind::Long, self.long),
            (Kind::BadField, self.bad_field),
            (Kind::Mode6, self.mode6),
            (Kind::Mode7, self.mode7),
        ]
    }

    /// Adds what `other` has counted.
    pub fn add(&mut self, other: &Self) {
        for (kind, more) in other.all() {
            let Some(sum) = self.of_mut(kind) else { continue };
            sum.sent += more.sent;
            sum.answered += more.answered;
            sum.octets_sent += more.octets_sent;
            sum.octets_answered += more.octets_answered;
        }
    }
}

/// Longest packet made here.
pub(crate) const PACKET_LEN_MAX: usize = LONG_LEN;

/// One octet less than a header.
const SHORT_LEN: usize = HEADER_LEN - 1;
/// No whole number of words: neither fields nor a code.
const LONG_LEN: usize = 1_011;
const BAD_FIELD_LEN: usize = 32;
/// Header of a control message (RFC 9327 section 2).
const CONTROL_LEN: usize = 12;
/// What a scanner for amplifiers sends.
const PRIVATE_LEN: usize = 8;
/// How many numbers may be drawn.
const DRAWS: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use timeball_wire::Trailer;

    use super::*;

    #[test]
    fn draws_fall_on_the_kinds_in_their_shares() {
        let mix: Mix = "v4=60,v3=20,symmetric=10,mode6=10".parse().unwrap();
        let mut counts = [0u32; Kind::ALL.len()];
        // Evenly over all numbers, the first and the last among them.
        (0..=10_000u32).for_each(|k| counts[mix.kind(k * 429_496 + k / 2) as usize] += 1);
        counts[mix.kind(u32::MAX) as usize] += 1;
        for (kind, share) in [(Kind::V4, 6_000), (Kind::V3, 2_000), (Kind::Symmetric, 1_000)] {
            assert!(counts[kind as usize].abs_diff(share) < 10, "{kind:?}: {counts:?}");
        }
        assert!(counts[Kind::Mode6 as usize].abs_diff(1_000) < 10, "{counts:?}");
        assert_eq!(mix.kind(0), Kind::V4);
        assert_eq!(mix.kind(u32::MAX), Kind::Mode6);
    }

    #[test]
    fn one_kind_alone_needs_no_draw() {
        assert_eq!(Mix::plain().only(), Some(Kind::V4));
        assert_eq!("v3=1".parse::<Mix>().unwrap().only(), Some(Kind::V3));
        assert_eq!("v3=1,v4=1".parse::<Mix>().unwrap().only(), None);
        assert_eq!(Mix::plain().kind(u32::MAX), Kind::V4);
    }

    #[test]
    fn a_mix_that_measures_nothing_or_is_misspelt_is_refused() {
        let error = |text: &str| text.parse::<Mix>().unwrap_err();
        assert_eq!(error("mode6=1"), MixError::NoRequests);
        assert_eq!(error("v4=-1,v3=2"), MixError::Weight);
        assert_eq!(error("v4=inf"), MixError::Weight);
        assert!(matches!(error("v4=x"), MixError::Text { .. }));
        assert!(matches!(error("v4"), MixError::Text { .. }));
        assert!(matches!(error("v5=1"), MixError::Kind { .. }));
    }

    #[test]
    fn requests_are_bare_headers_of_their_version_and_hostile_packets_are_malformed() {
        for kind in Kind::ALL {
            let packet = kind.packet();
            assert!(packet.len() <= PACKET_LEN_MAX, "{kind:?}");
            let flags = Flags::from_octet(packet[0]);
            assert_eq!((flags.version, flags.mode), (kind.version(), kind.mode()), "{kind:?}");
            let well_formed = Trailer::parse(flags.version, &packet).is_ok()
                && !matches!(flags.mode, Mode::Control | Mode::Private);
            assert_eq!(well_formed, !kind.is_hostile(), "{kind:?}");
            assert_eq!(packet.len() == HEADER_LEN, !kind.is_hostile(), "{kind:?}");
        }
    }

    #[test]
    fn provocations_add_up_kind_by_kind() {
        let mut sum = Provocations::default();
        for (times, kind) in Kind::HOSTILE.into_iter().enumerate() {
            let mut one = Provocations::default();
            one.of_mut(kind).unwrap().answered = times as u64 + 1;
            sum.add(&one);
        }
        for (times, (_, provocation)) in sum.all().into_iter().enumerate() {
            assert_eq!(provocation.answered, times as u64 + 1);
        }
        assert_eq!(sum.of_mut(Kind::V4), None);
    }
}
