//! What every reply of this moment says about the server: the first 24 octets, but for version and mode.
//!
//! Made once per batch from the snapshot. A batch lasts microseconds, in which the root dispersion grows
//! by less than a hundredth of its unit on the wire; it is rounded up, so it stays a bound.
//!
//! Must never: claim to be synchronised past the snapshot's validity. An expired snapshot is announced as
//! leap 3, stratum 0, kiss code `XSTL`: the operator of a client sees why, and nobody believes the time.

use timeball_time::{
    Leap, NtpShort, NtpTimestamp, Realtime, ReferenceId, Snapshot, Stratum, Timestamp,
};
use timeball_wire::{Flags, HEADER_LEN, Header, Mode, field};

/// The reply's octets that do not depend on the request.
#[derive(Clone, Copy, Debug)]
pub struct Announcement {
    octets: [u8; field::ORIGIN],
    leap: Leap,
}

impl Announcement {
    /// What `snapshot` allows to be said at the kernel time `now`.
    pub fn at(snapshot: &Snapshot, now: Timestamp<Realtime>) -> Self {
        let fresh = snapshot.is_valid_at(now);
        let leap = if fresh { snapshot.leap } else { Leap::Unsynchronised };
        let synchronised = leap != Leap::Unsynchronised;
        let stratum = if synchronised { snapshot.stratum } else { Stratum::UNSYNCHRONISED };
        let header = Header {
            stratum: stratum.to_wire(),
            precision: snapshot.precision,
            root_delay: snapshot.root_delay.min(NtpShort::MAX),
            root_dispersion: NtpShort::ceil(snapshot.root_dispersion_at(now)),
            reference_id: if fresh { snapshot.reference_id } else { ReferenceId::STALE },
            reference: if fresh { snapshot.reference_time } else { NtpTimestamp::ZERO },
            ..Header::new(Flags { leap, version: 0, mode: Mode::Reserved })
        };
        let mut octets = [0; field::ORIGIN];
        octets.copy_from_slice(&header.encode()[..field::ORIGIN]);
        Self { octets, leap }
    }

    /// Leap indicator announced.
    pub const fn leap(&self) -> Leap {
        self.leap
    }

    /// The header of a reply that says this: as a client sees it, but for what depends on its request.
    pub fn header(&self) -> Header {
        let mut octets = [0; HEADER_LEN];
        octets[..field::ORIGIN].copy_from_slice(&self.octets);
        octets[field::FLAGS] = Flags { leap: self.leap, version: 4, mode: Mode::Server }.to_octet();
        Header::parse(&octets).expect("as long as a header")
    }

    /// The octets up to the origin timestamp, with version and mode still zero.
    pub(crate) const fn octets(&self) -> &[u8; field::ORIGIN] {
        &self.octets
    }
}
