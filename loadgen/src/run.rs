//! A run: everything is set up, then all senders start at one moment, each on its own core.
//!
//! The calling thread does not send. It collects what the senders hand over, so that nothing on their
//! cores waits for whoever watches.
//!
//! Must never: start before every sender is ready, or report figures taken over a step of the clock.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use timeball_sys::traffic::{Link, Traffic, TrafficOptions, Way};
use timeball_sys::{Stamping, realtime};
use timeball_time::{Interval, Realtime, Timestamp};

use crate::in_kernel;
use crate::mix::PACKET_LEN_MAX;
use crate::probe::probe;
use crate::recorder::{Recorder, recorders};
use crate::sender::{HostileLane, Lanes, Sender};
use crate::{Kind, Load, LoadError, Options, Part, Path, Pattern, Report, Senders, Slice};

/// Offers the load and reports. If `stop` is raised, offering ends there and what was counted until
/// then is reported as interrupted.
pub fn run(options: &Options, stop: &AtomicBool) -> Result<Report, LoadError> {
    let senders = run_watched(options, stop, Duration::ZERO, &mut |_| {})?;
    let mut total = Report::default();
    senders.iter().for_each(|report| total.merge(report));
    Ok(total)
}

/// The same, with what each sender counted shown to `notice` every interval of `every` (never if
/// zero) and at the end; returns the report of each sender.
pub fn run_watched(
    options: &Options,
    stop: &AtomicBool,
    every: Duration,
    notice: &mut dyn FnMut(&Slice),
) -> Result<Vec<Report>, LoadError> {
    options.check()?;
    check_cores(&options.senders)?;
    if options.probe {
        probe(options.target)?;
    }
    // Before the schedule starts, so that the first replies are stamped like the rest.
    let _stamping = Stamping::in_force();
    let ground = Ground::survey(options)?;
    let before = timeball_sys::reading();
    let reports = match (options.path, ground.link) {
        (Path::InKernel { .. }, Some(link)) => {
            let salt = before.realtime.nanos() as u64;
            let driver =
                in_kernel::prepare(options, Link { first_port: ground.first_port, ..link }, salt)?;
            let start = || start(options, realtime());
            vec![in_kernel::run(options, &driver, stop, start, (every, notice))?]
        }
        _ => run_senders(options, stop, &ground, (every, notice))?,
    };
    let after = timeball_sys::reading();
    let set_by = (after.realtime - before.realtime) - (after.monotonic - before.monotonic);
    if set_by.abs() > CLOCK_SET_MIN {
        return Err(LoadError::ClockSet(set_by));
    }
    Ok(reports)
}

/// The senders of user space, each in a thread of its own.
fn run_senders(
    options: &Options,
    stop: &AtomicBool,
    ground: &Ground,
    (every, notice): (Duration, &mut dyn FnMut(&Slice)),
) -> Result<Vec<Report>, LoadError> {
    let senders = options.senders.count();
    let (recorders, collector) = recorders(senders, every);
    let start = start(options, realtime())?;
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        let failed = &failed;
        let threads: Vec<_> = (recorders.into_iter().zip(0..))
            .map(|(recorder, index)| {
                let part = Part { index, of: senders as u32 };
                scope.spawn(move || {
                    let result = send(options, [stop, failed], (part, start), ground, recorder);
                    // What one cannot do the others need not go on with.
                    result.inspect_err(|_| failed.store(true, Ordering::Relaxed))
                })
            })
            .collect();
        let reports = collector.collect(notice);
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(reports)
    })
}

/// What one sender's thread does.
fn send(
    options: &Options,
    stops: [&AtomicBool; 2],
    (part, start): (Part, Timestamp<Realtime>),
    ground: &Ground,
    recorder: Recorder,
) -> Result<(), LoadError> {
    if let Some(core) = options.senders.core(part.index as usize)
        && timeball_sys::pin(core).is_err()
    {
        return Err(LoadError::Core(core));
    }
    let lanes = ground.open(options, part.index as u16)?;
    // The salt tells this run's replies from an earlier one's; a clock reading is salt enough.
    let salt = ((start.nanos() >> 10) as u32).rotate_left(8) ^ part.index;
    let sender = Sender::new(options, part, (lanes, realtime, recorder), start, salt);
    let is_stopped = || stops.iter().any(|stop| stop.load(Ordering::Relaxed));
    while realtime() < start - AWAKE_BEFORE && !is_stopped() {
        thread::sleep(NAP);
    }
    let preempted = preemptions();
    let mut recorder = sender.run(stops)?;
    recorder.report().preempted = preemptions().saturating_sub(preempted);
    recorder.finish();
    Ok(())
}

/// When all senders start: as soon as they can be ready, not before they are asked to, and for a crowd at
/// the turn of a second.
fn start(options: &Options, now: Timestamp<Realtime>) -> Result<Timestamp<Realtime>, LoadError> {
    let ready =
        now + Interval::from_nanos(READY_NS + READY_PER_SENDER_NS * options.senders.count() as i64);
    let start = options.start_at.map_or(ready, |start_at| start_at.max(ready));
    if start - now > START_MAX {
        return Err(LoadError::Option("the start must lie within the next hour"));
    }
    Ok(match options.load {
        Load::Open { pattern: Pattern::Crowd, .. } => {
            let past_turn = start.nanos().rem_euclid(NANOS_PER_S);
            start + Interval::from_nanos((NANOS_PER_S - past_turn) % NANOS_PER_S)
        }
        _ => start,
    })
}

/// What all senders' lanes have in common.
struct Ground {
    /// For frames.
    link: Option<Link>,
    first_port: u16,
}

impl Ground {
    fn survey(options: &Options) -> Result<Self, LoadError> {
        let link = match options.path {
            Path::Sockets => None,
            Path::Frames { next_hop } | Path::InKernel { next_hop } => {
                Some(Link::towards(options.target, next_hop)?)
            }
        };
        // Two generators on one link must not take each other's replies.
        let spread = (realtime().nanos() >> 10) as u16 % FRAME_PORTS_SPREAD;
        Ok(Self { link, first_port: FRAME_PORT_FIRST + spread })
    }

    /// Opens the lanes of sender `index`.
    fn open(&self, options: &Options, index: u16) -> Result<Lanes<Traffic>, LoadError> {
        let hostile: Vec<Kind> = options.mix.kinds().filter(|kind| kind.is_hostile()).collect();
        let ports = options.ports as u16;
        let first_port = self.first_port + index * (ports + hostile.len() as u16);
        let (count, ports_each) = if self.link.is_some() { (1, ports) } else { (ports, 1) };
        let requests =
            (0..count).map(|_| self.lane(options, (first_port, ports_each), options.request_len()));
        let hostile = hostile.into_iter().zip(first_port + ports..).map(|(kind, port)| {
            let lane = self.lane(options, (port, 1), PACKET_LEN_MAX)?;
            Ok(HostileLane { kind, lane, port })
        });
        Ok(Lanes {
            requests: requests.collect::<Result<_, LoadError>>()?,
            hostile: hostile.collect::<Result<_, LoadError>>()?,
            ports: (first_port, ports_each),
        })
    }

    fn lane(
        &self,
        options: &Options,
        (first_port, ports): (u16, u16),
        len_max: usize,
    ) -> Result<Traffic, LoadError> {
        let link = self.link.map(|link| Link { first_port, ports, ..link });
        let traffic = TrafficOptions {
            target: options.target,
            way: link.map_or(Way::Udp, Way::Link),
            batch: options.batch,
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
            departure_stamps: options.stamp_one_in > 0,
            segments: options.segments,
        };
        Traffic::open(traffic, len_max).map_err(|cause| match cause.kind() {
            io::ErrorKind::PermissionDenied if link.is_some() => LoadError::NoRawSockets,
            _ => LoadError::Socket(cause),
        })
    }
}

/// Fails with the first core that this process may not use.
fn check_cores(senders: &Senders) -> Result<(), LoadError> {
    let Senders::Pinned(cores) = senders else { return Ok(()) };
    let allowed = timeball_sys::allowed_cores();
    match cores.iter().find(|core| !allowed.contains(core)) {
        Some(core) => Err(LoadError::Core(*core)),
        None => Ok(()),
    }
}

/// How often the calling thread had to leave its core to somebody else; 0 where the kernel does not say.
pub(crate) fn preemptions() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Holds some twenty thousand replies: a generator that is held up must not lose what it asked for.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;
/// A change of realtime against monotonic that no slewing explains.
const CLOCK_SET_MIN: Interval = Interval::from_micros(100);
/// Threads are started and their tables laid out within this.
const READY_NS: i64 = 20_000_000;
const READY_PER_SENDER_NS: i64 = 2_000_000;
const START_MAX: Interval = Interval::from_secs(3_600);
/// Senders sleep until so long before the start, in naps, so that they see a raised flag.
const AWAKE_BEFORE: Interval = Interval::from_millis(5);
pub(crate) const NAP: Duration = Duration::from_millis(1);
/// Above the ports that services have; with all spread and ports there may be, below the last one.
const FRAME_PORT_FIRST: u16 = 16_384;
const FRAME_PORTS_SPREAD: u16 = 16_384;
const _: () = assert!(
    FRAME_PORT_FIRST as usize
        + FRAME_PORTS_SPREAD as usize
        + Options::FRAME_PORTS_MAX
        + Options::SENDERS_MAX * crate::Kind::HOSTILE.len()
        < u16::MAX as usize
);
const NANOS_PER_S: i64 = 1_000_000_000;
