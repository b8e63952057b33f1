//! What an answer in the driver is made of: each part of the program a program of its own, to be timed.
//!
//! The kernel runs a part some thousand times in a row and says what one took (`BPF_PROG_TEST_RUN`). That is
//! the price with everything in the cache: of an answer at an interface it is the least.
//!
//! Must never: be part of the server.

use std::time::Duration;

use aya::programs::Xdp;
use aya::{EbpfLoader, TestRun, TestRunOptions};

use super::program::{program_failed, refused};
use super::{Endpoint, Mirror, POLICY_WORDS, Program, XdpError};

/// The parts, loaded.
#[derive(Debug)]
pub struct Parts {
    program: Program,
    request: [u8; REQUEST_LEN],
}

impl Parts {
    /// Loads them; what they are asked is `request`, a plain one over IPv4, and what they are is `endpoint`.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn load(request: [u8; REQUEST_LEN], endpoint: Endpoint) -> Result<Self, XdpError> {
        let mut padded = [0; 96];
        padded[..REQUEST_LEN].copy_from_slice(&request);
        let mut loader = EbpfLoader::new();
        let object = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/parts.o"));
        let mut program =
            Program::with(loader.override_global("request_frame", &padded, true), object, CLIENTS)?;
        program.guard()?.write(POLICY, &[RULE]).expect("there is room for one");
        program.set_endpoints([endpoint].into())?;
        for name in PARTS {
            let part = program.object().program_mut(name).expect(IN_OBJECT);
            let part: &mut Xdp = part.try_into().expect(IN_OBJECT);
            part.load().map_err(|error| refused(&error.into()))?;
        }
        Ok(Self { program, request })
    }

    /// The copy of the snapshot that they read.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn mirror(&mut self) -> Result<Mirror, XdpError> {
        self.program.mirror()
    }

    /// What one run of the part called `name`, one of [`PARTS`], took, of `runs` in a row; `None` if it did
    /// not do what it is for.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn time(&mut self, name: &str, runs: u32) -> Result<Option<Duration>, XdpError> {
        let mut out = [0; 256];
        let mut options = TestRunOptions::new();
        options.data_in = Some(&self.request);
        options.data_out = Some(&mut out);
        options.repeat = runs;
        let part = self.program.object().program(name).expect(IN_OBJECT);
        let part: &Xdp = part.try_into().expect(IN_OBJECT);
        let ran = part.test_run(options);
        let ran = ran.map_err(|error| program_failed("run the BPF program", error))?;
        Ok((ran.return_value == super::program::XDP_TX).then_some(ran.duration))
    }
}

/// The parts by their names in bpf/parts.c.
pub const PARTS: [&str; 13] = [
    "nothing",
    "request",
    "clock",
    "ours",
    "ours_by_hash",
    "checksums",
    "access",
    "limits",
    "limits_of_many",
    "snapshot",
    "reply",
    "tally",
    "whole",
];

/// Clients that each processor remembers; so many ask in `limits_of_many`.
const CLIENTS: usize = 1 << 20;
/// Limits (mode, leak, a client's interval and tolerance in ticks) that nobody reaches, and a rule by which
/// they are for all.
const POLICY: [u64; POLICY_WORDS] = [0, 0, 2, 4, 1, 1 << 37, 1, 1 << 37, 0x0123_4567_89AB_CDEF, 42];
const RULE: [u64; 2] = [0, 1 << 4];

/// Octets of a plain request over IPv4, from the Ethernet header on.
pub const REQUEST_LEN: usize = 90;

const IN_OBJECT: &str = "the object has it";
