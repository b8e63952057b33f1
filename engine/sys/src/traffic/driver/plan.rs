//! What is to be sent to whom and when, in the form the programs take: addresses as they are on the wire, and
//! sums of everything that is the same in all requests.
//!
//! Must never: leave anything to a program that is the same for every request.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use timeball_time::{NtpTimestamp, Realtime, Timestamp};
use timeball_wire::{Flags, HEADER_LEN, field};

use super::company::Company;
use super::shared::{
    Course, Gaps, PATTERN_BURSTS, PATTERN_CONSTANT, PATTERN_CROWD, PATTERN_POISSON, Plan,
};
use crate::headers::{HOPS, Headers, UDP_LEN, headers_len};
use crate::traffic::Link;

/// What load the kernel is to make.
#[derive(Clone, Debug)]
pub struct DriverOptions {
    /// Where every request goes.
    pub target: SocketAddr,
    /// The link, with the clients' ports.
    pub link: Link,
    /// The network that the clients are in, and the length of its prefix.
    pub network: (IpAddr, u8),
    /// The first client; the others follow it.
    pub first_client: IpAddr,
    /// How many clients there are, at least 1. They take turns.
    pub clients: u32,
    /// A request; its transmit timestamp is for the nonce.
    pub request: [u8; HEADER_LEN],
    /// The mode of the replies.
    pub reply_mode: u8,
    /// When requests are sent.
    pub moments: Moments,
    /// Frames between two looks of the kernel at whatever else its core has to do, 1 to 256. Those of a batch
    /// leave sixteen by sixteen and at its end: the fewer, the nearer to its time does each leave.
    pub batch: u32,
    /// Requests after which no more are sent.
    pub requests_max: u32,
    /// Room for so many requests in flight, at least 1.
    pub room: usize,
    /// Replies are held to mode, version and origin, not to their times.
    pub is_echo: bool,
    /// T1 ≤ T2 ≤ T3 ≤ T4 must hold, and errors are measured.
    pub has_one_clock: bool,
    /// What goes along with requests.
    pub company: Company,
    /// Tells this run's replies from another's.
    pub salt: u64,
    /// Of everything that is drawn.
    pub seed: u64,
}

/// When requests are sent; rates are per second and at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moments {
    /// At equal gaps.
    Constant(u32),
    /// At exponential gaps.
    Poisson(u32),
    /// So many at once, at this rate.
    Bursts(u32, u32),
    /// All requests of a second at its turn.
    Crowd(u32),
    /// Whenever fewer than this are in flight, at least 1.
    Window(u32),
}

impl Moments {
    const fn rate_hz(self) -> u32 {
        match self {
            Self::Constant(rate) | Self::Poisson(rate) | Self::Crowd(rate) => rate,
            Self::Bursts(_, rate) => rate,
            Self::Window(_) => 1,
        }
    }
}

impl DriverOptions {
    /// The plan, with times after `base`, at which CLOCK_TAI shows `base_tai_ns`.
    pub(super) fn plan(&self, base: Timestamp<Realtime>, base_tai_ns: u64) -> Plan {
        let (frame, ip_sum, udp_sum) = self.frame();
        let (window, burst, pattern) = match self.moments {
            Moments::Constant(_) => (0, 1, PATTERN_CONSTANT),
            Moments::Poisson(_) => (0, 1, PATTERN_POISSON),
            Moments::Bursts(size, _) => (0, size, PATTERN_BURSTS),
            Moments::Crowd(_) => (0, 1, PATTERN_CROWD),
            Moments::Window(window) => (window, 1, PATTERN_CONSTANT),
        };
        let bits = self.room.max(2).next_power_of_two().ilog2();
        Plan {
            base_tai_ns,
            salt: self.salt,
            requests_max: self.requests_max.into(),
            window: window.into(),
            // Single requests would cost the server more, by their wake-ups.
            quantum: (u64::from(window) / 4).max(1),
            rate_hz: self.moments.rate_hz().max(1).into(),
            burst: burst.max(1).into(),
            flights_mask: (1 << bits) - 1,
            flights_bits: bits,
            pattern,
            base_ntp_s: (NtpTimestamp::floor(base).to_bits() >> 32) as u32,
            clients: self.clients.max(1),
            first_client: low_bits(self.first_client),
            first_port: self.link.first_port.into(),
            ports: self.link.ports.max(1).into(),
            target_port: self.target.port().to_be().into(),
            is_v6: self.target.is_ipv6().into(),
            is_echo: self.is_echo.into(),
            has_one_clock: self.has_one_clock.into(),
            version: Flags::from_octet(self.request[0]).version.into(),
            reply_mode: self.reply_mode.into(),
            ip_sum,
            udp_sum,
            companions: self.company.members.len() as u32,
            along_each: if self.company.members.is_empty() { 0 } else { self.company.each },
            along_with: self.company.with,
            along_port: self.company_port().into(),
            along_len: (UDP_LEN + self.company.reply_len) as u32,
            target: words(octets(self.target.ip())),
            network: words(self.masked()),
            mask: words(self.mask()),
            frame,
        }
    }

    /// Where replies to companions go: behind the ports of the clients.
    pub(super) const fn company_port(&self) -> u16 {
        self.link.first_port + self.link.ports
    }

    /// A request without what differs from one to the next, and the sums of its headers.
    fn frame(&self) -> ([u64; super::shared::FRAME_WORDS], u32, u32) {
        let is_v6 = self.target.is_ipv6();
        let len = headers_len(is_v6) + HEADER_LEN;
        let mut bytes = [0; super::shared::FRAME_WORDS * 8];
        let mut request = self.request;
        request[field::TRANSMIT..].fill(0);
        bytes[len - HEADER_LEN..len].copy_from_slice(&request);
        let source = match self.first_client {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(first) => {
                let mut octets = first.octets();
                octets[12..].fill(0);
                IpAddr::from(octets)
            }
        };
        let headers = Headers {
            local: self.link.local,
            next_hop: self.link.next_hop,
            hops: HOPS,
            source: SocketAddr::new(source, 0),
            target: self.target,
        };
        headers.write(false, &mut bytes[..len]);
        let mut sum_at = |at: usize| {
            let checksum = u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
            bytes[at..at + 2].fill(0);
            u32::from(!checksum)
        };
        let ip_sum = if is_v6 { 0 } else { sum_at(V4_CHECKSUM) };
        let udp_sum = sum_at(headers_len(is_v6) - 2);
        (words(bytes), ip_sum, udp_sum)
    }

    fn mask(&self) -> [u8; 16] {
        let bits = u32::from(self.network.1);
        (u128::MAX.checked_shl(128 - bits).unwrap_or(0)).to_be_bytes()
    }

    fn masked(&self) -> [u8; 16] {
        let (octets, mask) = (octets(self.network.0), self.mask());
        std::array::from_fn(|at| octets[at] & mask[at])
    }

    /// Sets a run up that starts at `start_ns` and offers until `end_ns`.
    pub(super) fn begin(&self, course: &Course, gaps: &Gaps, (start_ns, end_ns): (i64, i64)) {
        let mut due_ns = start_ns;
        if let Moments::Poisson(rate_hz) = self.moments {
            fill(gaps, rate_hz);
            due_ns +=
                (gaps.0[self.seed as usize % gaps.0.len()].load(Ordering::Relaxed) >> 16) as i64;
        }
        // Xorshift stands still at zero.
        course.random.store(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, Ordering::Relaxed);
        course.due_ns.store(due_ns, Ordering::Relaxed);
        course.end_ns.store(end_ns, Ordering::Relaxed);
        course.start_ns.store(start_ns, Ordering::Release);
    }

    /// Requests that were due before the end and not sent: `next` is the number of the first, due at
    /// `due_ns`. Of exponential gaps it is the number expected, for nobody has drawn them.
    pub(super) fn missed(&self, next: u64, due_ns: i64, (start_ns, end_ns): (i64, i64)) -> u64 {
        let rate_hz = u64::from(self.moments.rate_hz().max(1));
        // The end itself is past the end.
        let last_ns = (end_ns - start_ns).max(0) as u128;
        let before = |unit: u128, of_unit: u128| (last_ns.div_ceil(unit) * of_unit) as u64;
        let due = match self.moments {
            Moments::Window(_) => next,
            Moments::Constant(_) => {
                (last_ns * u128::from(rate_hz)).div_ceil(u128::from(NANOS_PER_S)) as u64
            }
            Moments::Bursts(size, _) => {
                let size = u128::from(size.max(1));
                let bursts =
                    (last_ns * u128::from(rate_hz)).div_ceil(size * u128::from(NANOS_PER_S));
                (bursts * size) as u64
            }
            Moments::Crowd(_) => before(NANOS_PER_S.into(), rate_hz.into()),
            Moments::Poisson(_) if due_ns >= end_ns => next,
            Moments::Poisson(_) => {
                next + 1
                    + ((end_ns - due_ns) as u128 * u128::from(rate_hz) / u128::from(NANOS_PER_S))
                        as u64
            }
        };
        due.min(self.requests_max.into()).saturating_sub(next)
    }
}

/// Exponential gaps at the middles of even quantiles, scaled so that their mean is right to the last digit.
fn fill(gaps: &Gaps, rate_hz: u32) {
    let count = gaps.0.len() as f64;
    let quantile = |at: usize| -(1.0 - (at as f64 + 0.5) / count).ln();
    let mean = (0..gaps.0.len()).map(quantile).sum::<f64>() / count;
    let unit = NANOS_PER_S as f64 * 65_536.0 / f64::from(rate_hz) / mean;
    let set = |(at, gap): (usize, &AtomicU64)| {
        gap.store((quantile(at) * unit).round() as u64, Ordering::Relaxed);
    };
    gaps.0.iter().enumerate().for_each(set);
}

/// An IPv4 address is in the first four octets.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            octets
        }
        IpAddr::V6(address) => address.octets(),
    }
}

fn low_bits(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => address.to_bits() as u32,
    }
}

/// Octets as the words that a program copies.
fn words<const OCTETS: usize, const WORDS: usize>(octets: [u8; OCTETS]) -> [u64; WORDS] {
    std::array::from_fn(|at| {
        octets[at * 8..].first_chunk().map_or(0, |octets| u64::from_ne_bytes(*octets))
    })
}

/// Where an IPv4 frame has its header's checksum.
const V4_CHECKSUM: usize = 24;
const NANOS_PER_S: u64 = 1_000_000_000;
