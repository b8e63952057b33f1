//! One exchange, and the reply to it that is as it should be.

use timeball_time::{Leap, NtpShort, NtpTimestamp, Realtime, ReferenceId, Timestamp};
use timeball_wire::{Flags, Header, Mode};

/// What the request carries.
pub(crate) const NONCE: u64 = 0x0123_4567_89AB_CDEF;
/// When it left.
pub(crate) const T1: i64 = 1_764_000_000_000_000_000;

pub(crate) fn at(nanos: i64) -> Timestamp<Realtime> {
    Timestamp::from_nanos(nanos)
}

/// A good reply, but for its origin.
pub(crate) fn reply(origin: u64) -> Header {
    let server = |nanos: i64| NtpTimestamp::floor(at(T1 + nanos));
    Header {
        stratum: 2,
        precision: -24,
        root_dispersion: NtpShort::from_bits(200),
        reference_id: ReferenceId::from_octets([192, 0, 2, 9]),
        reference: server(-10_000_000_000),
        origin: NtpTimestamp::from_bits(origin),
        receive: server(1_000_000),
        transmit: server(1_500_000),
        ..Header::new(Flags { leap: Leap::None, version: 4, mode: Mode::Server })
    }
}
