//! Load from inside the kernel: programs make requests and check replies, so that one core offers millions a
//! second.
//!
//! The kernel runs one program over and over (`BPF_PROG_TEST_RUN` with live frames), which makes a request
//! whenever one is due; it leaves by the device's own way for frames of programs. Another, on the same
//! device, takes the replies out of what arrives and holds each to its request. Both count into memory that
//! is mapped here, distributions in HdrHistogram's own buckets. The programs, their links and their memory
//! are gone with this process, whatever becomes of it.
//!
//! Needs root outside of user namespaces, and Linux 6.1.
//!
//! Must never: take the place of somebody else's program, or leave anything in the kernel behind.

mod company;
mod error;
mod lent;
mod plan;
mod shared;
mod watch;

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use aya::maps::Map;
use aya::programs::{ProgramError, RawTracePoint, Xdp};
use aya::{Ebpf, EbpfLoader, TestRun, TestRunAttrs, TestRunOptions, include_bytes_aligned};
use timeball_time::{Interval, Realtime, Timestamp};

pub use company::{Companion, Company, Flaw};
pub use error::DriverError;
use error::os_error;
use lent::Lent;
pub use plan::{DriverOptions, Moments};
pub use shared::FAULTS;
use shared::{Course, Flight, Gaps, Tally};
pub use watch::{Account, Measure, Value, Watch};

use crate::headers::headers_len;
use crate::netlink::Netlink;
use crate::xdp::mapped::{Mapped, Shared};
use crate::xdp::{Attached, Mode, XdpError};

/// The programs in the kernel, at their device; gone when dropped.
#[derive(Debug)]
pub struct Driver {
    options: DriverOptions,
    programs: Ebpf,
    /// Held for what closing it does.
    _attached: Attached,
    device: String,
    course: Mapped<Course>,
    flights: Mapped<Flight>,
    tallies: Mapped<Tally>,
    gaps: Mapped<Gaps>,
    base: Timestamp<Realtime>,
    lent: Lent,
}

impl Driver {
    /// Loads the programs and attaches them to the link's device, in this thread's network namespace.
    /// Nothing is sent before [`Driver::begin`].
    ///
    /// # Errors
    /// [`DriverError`].
    pub fn open(options: DriverOptions) -> Result<Self, DriverError> {
        let device = Netlink::open()
            .and_then(|mut netlink| netlink.device(options.link.interface))
            .map_err(|error| DriverError::Unfit(error.to_string()))?
            .name;
        let now = crate::realtime();
        let base = now - Interval::from_nanos(now.nanos().rem_euclid(NANOS_PER_S));
        let plan = options.plan(base, (base + crate::clock::tai_ahead()).nanos() as u64);
        let cores =
            aya::util::nr_cpus().map_err(|(_, cause)| DriverError::Unfit(cause.to_string()))?;
        let mut programs = EbpfLoader::new()
            .override_global("plan", &plan, true)
            .map_max_entries("flights", plan.flights_mask as u32 + 1)
            .map_max_entries("companions", plan.companions.max(1))
            .map_max_entries("tallies", cores as u32)
            .load(OBJECT)
            .map_err(|error| DriverError::of_maps(&error))?;
        load(&mut programs)?;
        let course: Mapped<Course> = mapped(&programs, "the_course")?;
        let companions: Mapped<shared::Companion> = mapped(&programs, "companions")?;
        options.company.write(&options, companions.values());
        course.values()[0].start_ns.store(i64::MAX, Ordering::Relaxed);
        Ok(Self {
            lent: Lent::new()?,
            course,
            _attached: attach(&programs, options.link.interface, &device)?,
            flights: mapped(&programs, "flights")?,
            tallies: mapped(&programs, "tallies")?,
            gaps: mapped(&programs, "the_gaps")?,
            options,
            programs,
            device,
            base,
        })
    }

    /// Has requests sent from `start` on until `end`, by the thread that is in [`Driver::offer`].
    pub fn begin(&self, start: Timestamp<Realtime>, end: Timestamp<Realtime>) {
        let times = ((start - self.base).nanos(), (end - self.base).nanos());
        self.options.begin(self.course(), &self.gaps.values()[0], times);
    }

    /// Lends this thread and its core to the kernel until [`Driver::recall`], or for some minutes.
    ///
    /// # Errors
    /// [`DriverError::NotPermitted`], [`DriverError::Run`].
    pub fn offer(&self) -> Result<(), DriverError> {
        let frame = [0; FRAME_LEN_MAX];
        let len = headers_len(self.options.target.is_ipv6()) + self.options.request.len();
        let context = context(len as u32, self.options.link.interface);
        let run = TestRunOptions {
            data_in: Some(&frame[..len]),
            ctx_in: Some(&context),
            repeat: u32::MAX,
            attrs: TestRunAttrs::new().xdp_live_frames(self.options.batch),
            ..TestRunOptions::new()
        };
        let program = xdp(&self.programs, "offer")?;
        let _lent = self.lent.lend();
        match program.test_run(run) {
            Ok(_) => Ok(()),
            Err(error) => match os_error(&error) {
                // Recalled, or something else happened that is not for us.
                Some(libc::EINTR) => Ok(()),
                Some(libc::EPERM) => Err(DriverError::NotPermitted),
                _ => Err(DriverError::of_run(&error)),
            },
        }
    }

    /// Whether the kernel has begun with what a thread was lent for: it takes some hundredths of a second.
    pub fn is_awake(&self) -> bool {
        self.course().last_ns.load(Ordering::Relaxed) != 0
    }

    /// Has the thread in [`Driver::offer`] come back, if it is there already.
    pub fn recall(&self) {
        self.lent.recall();
    }

    /// Has no more requests sent from now on.
    pub fn stop(&self) {
        self.course().is_stopped.store(1, Ordering::Relaxed);
    }

    /// When sending ended, if it has.
    pub fn ended(&self) -> Option<Timestamp<Realtime>> {
        match self.course().ended_ns.load(Ordering::Acquire) {
            0 => None,
            ended_ns => Some(self.base + Interval::from_nanos(ended_ns)),
        }
    }

    fn course(&self) -> &Course {
        &self.course.values()[0]
    }

    /// Whoever reads what the programs count.
    pub fn watch(&self) -> Watch<'_> {
        Watch::new(self)
    }
}

/// Loads all three programs, and has the kernel tell one of them what becomes of frames.
fn load(programs: &mut Ebpf) -> Result<(), DriverError> {
    let of_program = |error: ProgramError| DriverError::of_program(&error);
    for name in ["offer", "check"] {
        let program: &mut Xdp = program_mut(programs, name)?;
        program.load().map_err(of_program)?;
    }
    let left: &mut RawTracePoint = program_mut(programs, "left")?;
    left.load().map_err(of_program)?;
    left.attach("xdp_devmap_xmit").map(drop).map_err(of_program)
}

/// Has replies checked where they arrive: in the driver, or if it knows no programs, behind it.
fn attach(programs: &Ebpf, interface: u32, device: &str) -> Result<Attached, DriverError> {
    let program = xdp(programs, "check")?.fd();
    let program = program.map_err(|error| DriverError::of_program(&error))?.as_fd();
    let attached = match Attached::new(program, interface, Mode::Native) {
        Err(XdpError::NoNativeMode) => Attached::new(program, interface, Mode::Generic),
        attached => attached,
    };
    attached.map_err(|error| DriverError::of_attaching(device, error))
}

/// The values of map `name`.
fn mapped<T: Shared>(programs: &Ebpf, name: &'static str) -> Result<Mapped<T>, DriverError> {
    let strange = || DriverError::Memory { name, cause: io::ErrorKind::InvalidData.into() };
    let Some(Map::Array(map)) = programs.map(name) else { return Err(strange()) };
    let info = map.info().map_err(|_| strange())?;
    if info.value_size() as usize != size_of::<T>() {
        return Err(strange());
    }
    Mapped::new(map.fd().as_fd(), info.max_entries() as usize)
        .map_err(|cause| DriverError::Memory { name, cause })
}

fn xdp<'a>(programs: &'a Ebpf, name: &str) -> Result<&'a Xdp, DriverError> {
    let missing = || DriverError::Unfit(format!("no program {name}"));
    programs.program(name).and_then(|program| program.try_into().ok()).ok_or_else(missing)
}

fn program_mut<'a, P>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut P, DriverError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    let missing = || DriverError::Unfit(format!("no program {name}"));
    programs.program_mut(name).and_then(|program| program.try_into().ok()).ok_or_else(missing)
}

/// `struct xdp_md` of a frame of `len` octets that came by `interface`.
fn context(len: u32, interface: u32) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[4..8].copy_from_slice(&len.to_ne_bytes());
    bytes[12..16].copy_from_slice(&interface.to_ne_bytes());
    bytes
}

const OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/generator.o"));
const FRAME_LEN_MAX: usize = 128;
const NANOS_PER_S: i64 = 1_000_000_000;
