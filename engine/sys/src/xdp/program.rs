//! The BPF program in the kernel, with its tables.
//!
//! Loaded by aya from an object that is part of this binary. Everything that takes a privilege happens here
//! and in [`Program::attach`]; afterwards the mirror and the counters are memory, and only a change of
//! endpoints is a system call.
//!
//! Must never: be needed for serving; whoever cannot load it serves by sockets.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{HashMap, Map, MapData, MapError};
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader, TestRun, TestRunOptions};

use super::endpoint::{self, ENDPOINTS_MAX, Key, Usual};
use super::guard::{self, RULES_MAX};
use super::mapped::{Mapped, Shared};
use super::{Attached, Counts, Endpoint, Guard, Link, Mirror, Mode, XdpError};

/// The program that answers plain client requests.
#[derive(Debug)]
pub struct Program {
    /// Program and maps live as long as this does, and as the interfaces they are attached to.
    object: Ebpf,
    processors: usize,
    /// Of the ledger, for each processor.
    sets: usize,
    endpoints: BTreeSet<Endpoint>,
    usual: Mapped<Usual>,
}

/// What the program wants done with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It goes on to the kernel.
    Pass,
    /// It goes nowhere.
    Drop,
    /// It goes back where it came from.
    Transmit,
}

impl Program {
    /// Loads the program for everybody, without rules and limits; it answers nothing until it has endpoints,
    /// a snapshot and an interface.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn load() -> Result<Self, XdpError> {
        let mut program = Self::guarded(0)?;
        // One rule, which withholds nothing.
        program.guard()?.write([0; _], &[[0; 2]]).expect("there is room for one");
        Ok(program)
    }

    /// The same, but it answers nothing until it has a policy, too ([`Program::guard`]), and remembers
    /// `clients` clients on each processor, if there is room for so many.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn guarded(clients: usize) -> Result<Self, XdpError> {
        Self::with(&mut EbpfLoader::new(), OBJECT, clients)
    }

    /// The same from an object that holds more than the program.
    pub(super) fn with(
        loader: &mut EbpfLoader<'_>,
        object: &[u8],
        clients: usize,
    ) -> Result<Self, XdpError> {
        if cfg!(not(target_arch = "x86_64")) {
            return Err(XdpError::Machine);
        }
        let processors = aya::util::nr_cpus()
            .map_err(|(_, cause)| XdpError::of("count the processors", cause))?;
        let sets = guard::sets(clients, processors);
        let loader = loader.map_max_entries(COUNTS, processors as u32);
        let loader = loader.map_max_entries(LEDGER, (processors * sets) as u32);
        let object = loader.load(object).map_err(|error| refused(&error))?;
        let usual = mapped(&object, USUAL_ENDPOINTS, 1)?;
        let endpoints = BTreeSet::new();
        let mut program = Self { object, processors, sets, endpoints, usual };
        program.xdp_mut().load().map_err(|error| refused(&error.into()))?;
        Ok(program)
    }

    /// Runs the program at interface number `interface` for as long as what is returned lives.
    ///
    /// # Errors
    /// [`XdpError`]; a program of somebody else is not replaced.
    pub fn attach(&self, interface: u32, mode: Mode) -> Result<Attached, XdpError> {
        Attached::new(self.fd()?, interface, mode)
    }

    /// Runs the program in the place of the one that `link` has at an interface, from one frame to the next,
    /// for as long as what is returned lives.
    ///
    /// # Errors
    /// [`XdpError`]; then all is as it was.
    pub fn replace(&self, link: Link) -> Result<Attached, XdpError> {
        Attached::replacing(link, self.fd()?)
    }

    /// The copy of the snapshot that the program reads. There may be one, and its publisher has it
    /// ([`timeball_time::Publisher::set_mirror`]).
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn mirror(&mut self) -> Result<Mirror, XdpError> {
        mapped(&self.object, PUBLISHED, 1).map(Mirror::new)
    }

    /// Where the policy is put that the program goes by. There may be one.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn guard(&mut self) -> Result<Guard, XdpError> {
        let (policies, rules) =
            (mapped(&self.object, POLICIES, 1)?, mapped(&self.object, RULES, 2 * RULES_MAX)?);
        Ok(Guard::new(policies, rules, self.sets))
    }

    /// What has become of frames.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn counts(&self) -> Result<Counts, XdpError> {
        mapped(&self.object, COUNTS, self.processors).map(Counts::new)
    }

    /// Makes `endpoints` those at which requests are answered. Those that stay are answered at throughout.
    ///
    /// # Errors [`XdpError::TooManyEndpoints`], and then nothing has changed; others, and then the change
    /// is not complete.
    pub fn set_endpoints(&mut self, endpoints: BTreeSet<Endpoint>) -> Result<(), XdpError> {
        if endpoints.len() > ENDPOINTS_MAX {
            return Err(XdpError::TooManyEndpoints(ENDPOINTS_MAX));
        }
        let map = self.object.map_mut(ENDPOINTS).expect(IN_OBJECT);
        let mut table: HashMap<&mut MapData, Key, u8> = HashMap::try_from(map).expect(IN_OBJECT);
        let explain = |error| map_failed("change which requests are answered", error);
        // Whoever stays, and is not yet or no longer among these, is in the table.
        self.usual.values()[0].write(endpoint::usual(&endpoints));
        // What goes makes room for what comes.
        for gone in self.endpoints.difference(&endpoints) {
            table.remove(&gone.key()).map_err(explain)?;
        }
        for new in endpoints.difference(&self.endpoints) {
            table.insert(new.key(), 1, 0).map_err(explain)?;
        }
        self.endpoints = endpoints;
        Ok(())
    }

    /// Runs the program once on `frame`, at no interface, and puts what it makes of it into `out`; returns
    /// its verdict and the length. Frames of less than 14 octets do not exist.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn run(&self, frame: &[u8], out: &mut [u8]) -> Result<(Verdict, usize), XdpError> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(out);
        let ran = self.xdp().test_run(options);
        let ran = ran.map_err(|error| program_failed("run the BPF program", error))?;
        let verdict = match ran.return_value {
            XDP_TX => Verdict::Transmit,
            XDP_DROP => Verdict::Drop,
            _ => Verdict::Pass,
        };
        Ok((verdict, ran.data_size_out as usize))
    }

    fn fd(&self) -> Result<BorrowedFd<'_>, XdpError> {
        let fd = self.xdp().fd().map_err(|error| program_failed("use the BPF program", error))?;
        Ok(fd.as_fd())
    }

    /// What was loaded with the program.
    #[cfg(feature = "baseline")]
    pub(super) const fn object(&mut self) -> &mut Ebpf {
        &mut self.object
    }

    fn xdp(&self) -> &Xdp {
        self.object.program(PROGRAM).and_then(|program| program.try_into().ok()).expect(IN_OBJECT)
    }

    fn xdp_mut(&mut self) -> &mut Xdp {
        let program = self.object.program_mut(PROGRAM);
        program.and_then(|program| program.try_into().ok()).expect(IN_OBJECT)
    }
}

/// The memory of the array `name`, which has `count` values.
fn mapped<T: Shared>(object: &Ebpf, name: &str, count: usize) -> Result<Mapped<T>, XdpError> {
    let Some(Map::Array(map)) = object.map(name) else { panic!("{IN_OBJECT}") };
    Mapped::new(map.fd().as_fd(), count)
        .map_err(|cause| XdpError::of("map the BPF program's memory", cause))
}

/// Why the kernel did not take the object.
pub(super) fn refused(error: &EbpfError) -> XdpError {
    const STEP: &str = "load the BPF program";
    if let EbpfError::ProgramError(ProgramError::LoadError { verifier_log, io_error }) = error
        && !matches!(io_error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS))
    {
        let text = verifier_log.to_string();
        // What comes after the fault are statistics.
        let statistics = ["processed", "stack depth", "verification time"];
        let is_fault =
            |line: &&str| !line.is_empty() && !statistics.iter().any(|s| line.starts_with(s));
        let last = text.lines().rev().find(is_fault);
        return XdpError::Refused { log: last.map_or_else(|| io_error.to_string(), str::to_owned) };
    }
    XdpError::of(STEP, system_error(error))
}

pub(super) fn program_failed(step: &'static str, error: ProgramError) -> XdpError {
    XdpError::of(step, system_error(&error))
}

fn map_failed(step: &'static str, error: MapError) -> XdpError {
    XdpError::of(step, system_error(&error))
}

/// The system's error at the root of the loader's, or the loader's own words.
fn system_error(error: &(dyn core::error::Error + 'static)) -> std::io::Error {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let code = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        if let Some(code) = code {
            return std::io::Error::from_raw_os_error(code);
        }
        cause = error.source();
    }
    std::io::Error::other(error.to_string())
}

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fast_path.o"));

/// Names in the object.
const PROGRAM: &str = "fast_path";
const PUBLISHED: &str = "published";
const COUNTS: &str = "counts";
const ENDPOINTS: &str = "endpoints";
const USUAL_ENDPOINTS: &str = "usual_endpoints";
const POLICIES: &str = "policies";
const RULES: &str = "rules";
const LEDGER: &str = "ledger";
const IN_OBJECT: &str = "the object in this binary has it: tested";

/// `enum xdp_action` (uapi/linux/bpf.h).
const XDP_DROP: u32 = 1;
pub(super) const XDP_TX: u32 = 3;
