//! One datagram in, its reply in the same memory, or a reason why not.
//!
//! Two steps, because time passes between them: [`answer`] writes all but the transmit timestamp when the
//! request is looked at, [`stamp`] writes that one when the reply is about to leave (a batch of 60 stamped
//! in one go would be wrong by tens of microseconds at its end).
//!
//! Must never: make the reply longer than the request, or let T2 be early, T3 late, or T3 before T2.

use timeball_time::{Interval, Leap, NtpTimestamp, Realtime, ReferenceId, Snapshot, Timestamp};
use timeball_wire::{CRYPTO_NAK_LEN, Datagram, Flags, HEADER_LEN, KEY_ID_LEN, KeyId, Mode, field};

use crate::gate::{DropReason, Request, Signature, admit};
use crate::limiter::{Limiter, Pace};
use crate::{Announcement, Caller, Policy, Restrictions};

/// What becomes of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Its first `len` octets are now the reply.
    Reply {
        /// Octets to send, at most as many as were received.
        len: usize,
        /// What was answered, for the counters.
        answered: Answered,
    },
    /// No reply.
    Drop(DropReason),
}

/// What kind of answer was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered {
    /// Version of request and reply, 1 to 4.
    pub version: u8,
    /// To a symmetric active request (mode 1) instead of a client's.
    pub symmetric: bool,
    /// The request was signed, and so will the reply be, with the same key.
    pub signed: bool,
    /// The reply refuses the request's key (RFC 5905 section 9.2: crypto-NAK).
    pub crypto_nak: bool,
    /// The reply only says that the client asks too often (RFC 5905 section 7.4: RATE).
    pub kiss: bool,
}

/// Judges `datagram` by `policy`, and its sender, who is `caller`, by what `limiter` remembers, and writes
/// its reply over it, all but the transmit timestamp.
///
/// `announcement` and `snapshot` are those of the moment `now`, which also stands in for the arrival if
/// the kernel gave no stamp or an impossible one.
#[inline]
pub fn answer(
    announcement: &Announcement,
    snapshot: &Snapshot,
    policy: &Policy,
    limiter: &mut Limiter,
    caller: Caller,
    now: Timestamp<Realtime>,
    datagram: &mut Datagram<'_>,
) -> Verdict {
    let request = match admit(datagram, policy) {
        Ok(request) => request,
        Err(reason) => return Verdict::Drop(reason),
    };
    let kiss = match pace(request, policy, limiter, caller, now) {
        Pace::Answer => false,
        // Most of what this one sends was dropped before: the share that is promised him has come through.
        Pace::TooOften if is_sifted(policy, caller, datagram) => {
            limiter.count_sifted();
            false
        }
        Pace::Kiss => true,
        Pace::TooOften => return Verdict::Drop(DropReason::Limited),
        Pace::Stranger => return Verdict::Drop(DropReason::Stranger),
    };
    let arrival = plausible_arrival(datagram.received, now).unwrap_or(now);
    write_header(announcement, request, snapshot.served(arrival), datagram.bytes);
    if kiss {
        write_kiss(policy.limits.kiss_poll(), datagram.bytes);
    }
    // A kiss is the header alone.
    let signature = if kiss { Signature::Absent } else { request.signature };
    let len = HEADER_LEN + write_code(signature, datagram.bytes);
    let answered = Answered {
        version: request.version,
        symmetric: request.reply_mode == Mode::SymmetricPassive,
        signed: matches!(signature, Signature::Good { .. }),
        crypto_nak: signature == Signature::Bad,
        kiss,
    };
    Verdict::Reply { len, answered }
}

/// What the sender of `request` gets. Who signs with a key of ours is somebody we have an agreement with.
#[inline]
fn pace(
    request: Request,
    policy: &Policy,
    limiter: &mut Limiter,
    caller: Caller,
    now: Timestamp<Realtime>,
) -> Pace {
    let signed = matches!(request.signature, Signature::Good { .. });
    if signed || !request.restrictions.contains(Restrictions::LIMITED) {
        return Pace::Answer;
    }
    let kiss = request.restrictions.contains(Restrictions::KISSED);
    limiter.judge(caller, kiss, &policy.limits, now)
}

/// Whether the sender's datagrams like this one are sifted before they come here.
#[inline]
fn is_sifted(policy: &Policy, caller: Caller, datagram: &Datagram<'_>) -> bool {
    // Where there are keys, what could be signed is not sifted.
    let may_be_signed = !policy.keys.is_empty() && datagram.bytes.len() > HEADER_LEN;
    !may_be_signed && policy.sifted.has(caller)
}

/// Turns the header of a reply into a kiss of death: no time, and how long to wait.
fn write_kiss(poll: i8, bytes: &mut [u8]) {
    let flags = Flags::from_octet(bytes[field::FLAGS]);
    bytes[field::FLAGS] = Flags { leap: Leap::Unsynchronised, ..flags }.to_octet();
    bytes[field::STRATUM] = 0;
    bytes[field::POLL] = (bytes[field::POLL] as i8).max(poll) as u8;
    bytes[field::REFERENCE_ID..field::REFERENCE].copy_from_slice(&ReferenceId::RATE.octets());
}

/// Writes what follows the header but for the digest, which covers the transmit timestamp and is made
/// with it; returns its length.
#[inline]
fn write_code(signature: Signature, bytes: &mut [u8]) -> usize {
    match signature {
        Signature::Absent => 0,
        Signature::Good { code_len } => {
            let code = bytes.len() - code_len;
            bytes.copy_within(code..code + KEY_ID_LEN, HEADER_LEN);
            code_len
        }
        Signature::Bad => {
            // A client must not take silence for loss (RFC 5905 section 9.2).
            bytes[HEADER_LEN..HEADER_LEN + CRYPTO_NAK_LEN].fill(0);
            CRYPTO_NAK_LEN
        }
    }
}

/// The kernel's stamp, unless the clock was set between the stamp and `now`.
#[inline]
pub(crate) fn plausible_arrival(
    received: Option<Timestamp<Realtime>>,
    now: Timestamp<Realtime>,
) -> Option<Timestamp<Realtime>> {
    received.filter(|&received| {
        let waited = now - received;
        waited >= Interval::ZERO && waited <= WAITED_MAX
    })
}

#[inline]
fn write_header(
    announcement: &Announcement,
    request: Request,
    arrival: Timestamp<timeball_time::Served>,
    bytes: &mut [u8],
) {
    let poll = (bytes[field::POLL] as i8).clamp(POLL_MIN, POLL_MAX);
    bytes.copy_within(field::TRANSMIT..HEADER_LEN, field::ORIGIN);
    bytes[..field::ORIGIN].copy_from_slice(announcement.octets());
    bytes[field::FLAGS] =
        Flags { leap: announcement.leap(), version: request.version, mode: request.reply_mode }
            .to_octet();
    bytes[field::POLL] = poll as u8;
    // The lowest bit tells our receive stamps from our transmit stamps: a client that asks for
    // interleaved mode sends one of them back as origin, and the bit says which.
    let receive = NtpTimestamp::ceil(arrival).to_bits() | 1;
    bytes[field::RECEIVE..field::TRANSMIT].copy_from_slice(&receive.to_be_bytes());
}

/// Writes the transmit timestamp of a reply that leaves at the kernel time `departure` at the earliest,
/// and signs it if [`answer`], by the same `policy`, said so. Returns how long the request stayed here by
/// the reply's own account, T3 − T2.
///
/// If the kernel clock was set back since the request arrived, the reply leaves "at once": T3 is never
/// before T2.
#[inline]
pub fn stamp(
    snapshot: &Snapshot,
    policy: &Policy,
    departure: Timestamp<Realtime>,
    reply: &mut [u8],
) -> Interval {
    let Some(header) = reply.first_chunk_mut::<HEADER_LEN>() else { return Interval::ZERO };
    let mut receive = [0; 8];
    receive.copy_from_slice(&header[field::RECEIVE..field::TRANSMIT]);
    let receive = u64::from_be_bytes(receive);
    let transmit = NtpTimestamp::floor(snapshot.served(departure)).to_bits() & !1;
    let backwards = (transmit.wrapping_sub(receive) as i64) < 0;
    // The receive stamp is odd, so the next unit is even, as a transmit stamp must be.
    let transmit = if backwards { receive.wrapping_add(1) } else { transmit };
    header[field::TRANSMIT..].copy_from_slice(&transmit.to_be_bytes());
    if reply.len() > HEADER_LEN + CRYPTO_NAK_LEN {
        let key = KeyId::of_code(&reply[HEADER_LEN..]).and_then(|id| policy.keys.by_id(id));
        // The policy has not changed since the request was verified with this key.
        debug_assert!(key.is_some());
        if let Some(key) = key {
            key.sign(reply, reply.len() - HEADER_LEN);
        }
    }
    NtpTimestamp::from_bits(transmit).since(NtpTimestamp::from_bits(receive))
}

/// The longest a request can have waited in a socket buffer sized for a few hundred packets.
const WAITED_MAX: Interval = Interval::from_secs(1);
/// Poll exponents echoed (RFC 5905 section 7.3 has 17 as the largest).
const POLL_MIN: i8 = 0;
const POLL_MAX: i8 = 17;
