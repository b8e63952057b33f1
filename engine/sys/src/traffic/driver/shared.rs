//! What the programs and user space share; engine/sys/bpf/generator.h has the same in C.
//!
//! Times are nanoseconds after the plan's base. The loader compares the sizes of both sides.
//!
//! Must never: differ from the header.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64};

use crate::xdp::mapped::Shared;

/// What is decided before the programs are loaded.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Plan {
    pub(super) base_tai_ns: u64,
    pub(super) salt: u64,
    pub(super) requests_max: u64,
    pub(super) window: u64,
    pub(super) quantum: u64,
    pub(super) rate_hz: u64,
    pub(super) burst: u64,
    pub(super) flights_mask: u64,
    pub(super) flights_bits: u32,
    pub(super) pattern: u32,
    pub(super) base_ntp_s: u32,
    pub(super) clients: u32,
    pub(super) first_client: u32,
    pub(super) first_port: u32,
    pub(super) ports: u32,
    pub(super) target_port: u32,
    pub(super) is_v6: u32,
    pub(super) is_echo: u32,
    pub(super) has_one_clock: u32,
    pub(super) version: u32,
    pub(super) reply_mode: u32,
    pub(super) ip_sum: u32,
    pub(super) udp_sum: u32,
    pub(super) companions: u32,
    pub(super) along_each: u32,
    pub(super) along_with: u32,
    pub(super) along_port: u32,
    pub(super) along_len: u32,
    pub(super) target: [u64; 2],
    pub(super) network: [u64; 2],
    pub(super) mask: [u64; 2],
    pub(super) frame: [u64; FRAME_WORDS],
}

// SAFETY: integers without padding between them: every byte is initialised.
unsafe impl aya::Pod for Plan {}

/// The run.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Course {
    pub(super) start_ns: AtomicI64,
    pub(super) end_ns: AtomicI64,
    pub(super) is_stopped: AtomicU64,
    pub(super) given_up: AtomicU64,
    padding_1: [AtomicU64; 4],
    pub(super) next: AtomicU64,
    pub(super) due_ns: AtomicI64,
    due_fraction: AtomicU64,
    pub(super) random: AtomicU64,
    pub(super) last_ns: AtomicI64,
    pub(super) ended_ns: AtomicI64,
    pub(super) idle_ns: AtomicU64,
    pub(super) evicted: AtomicU64,
    client: AtomicU64,
    pub(super) pending: AtomicU64,
    pub(super) dropped: AtomicU64,
    core: AtomicU32,
    port: AtomicU32,
    was_idle: AtomicU32,
    is_filling: AtomicU32,
    pub(super) along: AtomicU64,
    along_owed: AtomicU32,
    along_turn: AtomicU32,
    landed: AtomicU64,
    padding_3: [AtomicU64; 7],
}

// SAFETY: atomics without padding.
unsafe impl Shared for Course {}

/// A request: its state is intended time × 2⁶ + generation × 2² + stage.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Flight {
    pub(super) state: AtomicU64,
    pub(super) sent_ns: AtomicI64,
}

// SAFETY: atomics without padding.
unsafe impl Shared for Flight {}

/// What one core counts.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Tally {
    pub(super) answered: AtomicU64,
    pub(super) answered_in_time: AtomicU64,
    pub(super) causality_violations: AtomicU64,
    pub(super) along_answered: AtomicU64,
    pub(super) faults: [AtomicU64; FAULTS],
    pub(super) sums_ns: [AtomicI64; MEASURES],
    pub(super) above: [[AtomicU32; BUCKETS]; MEASURES],
    pub(super) below: [[AtomicU32; BUCKETS]; MEASURES],
}

// SAFETY: atomics without padding: the arrays of halves have even lengths.
unsafe impl Shared for Tally {}

/// A frame that goes along with requests.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Companion {
    pub(super) len: AtomicU64,
    pub(super) octets: [AtomicU8; COMPANION_LEN_MAX],
}

// SAFETY: atomics without padding.
unsafe impl Shared for Companion {}

/// Exponential gaps at even quantiles, in parts of 2⁻¹⁶ ns.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Gaps(pub(super) [AtomicU64; GAPS]);

// SAFETY: atomics without padding.
unsafe impl Shared for Gaps {}

/// Octets of the longest request, in words.
pub(super) const FRAME_WORDS: usize = 14;
/// Reasons for which a reply is not valid.
pub const FAULTS: usize = 17;
/// Distributions.
pub(super) const MEASURES: usize = 6;
pub(super) const COMPANION_LEN_MAX: usize = 504;
pub(super) const GAPS: usize = 8_192;

pub(super) const BUCKET_BITS: u32 = 10;
pub(super) const BUCKETS: usize = (36 - BUCKET_BITS as usize + 1) << BUCKET_BITS;
const _: () = assert!(BUCKETS.is_multiple_of(2));

pub(super) const STAGES: u64 = 4;
pub(super) const PENDING: u64 = 1;
pub(super) const GIVEN_UP: u64 = 3;
pub(super) const GENERATIONS: u64 = 16;
pub(super) const PATTERN_CONSTANT: u32 = 0;
pub(super) const PATTERN_POISSON: u32 = 1;
pub(super) const PATTERN_BURSTS: u32 = 2;
pub(super) const PATTERN_CROWD: u32 = 3;
