//! The page of metrics, by HTTP: `/metrics` for Prometheus, `/ready` and `/health` for load balancers.
//!
//! A thread of its own, below which nothing depends: whoever asks is answered from one report, drawn at most
//! ten times a second. Visitors are bounded in number, bytes and time, and strangers among them go first when
//! there are too many.
//!
//! Must never: wait for a visitor, or be needed by a worker, the discipline or the control plane.

mod exposition;
mod families;
mod ready;
mod request;
mod visitor;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use timeball_sys::sandbox::{Role, confine};
use timeball_sys::{Waiter, listen_stream, monotonic};
use timeball_time::{Interval, Monotonic, Timestamp};

use crate::config;
use crate::report::{Report, Witness};
use crate::thread::Thread;
use exposition::{Exposition, content_type};
use families::Seen;
use request::{Code, Page, Request, TEXT, answer};
use visitor::Visitor;

pub(crate) use families::document;

/// The sockets of the page, opened before privileges are given up.
#[derive(Debug)]
pub(crate) struct MetricsSockets(Vec<TcpListener>);

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("[metrics] cannot listen on {address}: {cause}; free it, or name another in `listen`")]
pub(crate) struct MetricsError {
    address: SocketAddr,
    cause: io::Error,
}

impl MetricsSockets {
    /// Opens them; those that `before` has already are shared, and `beside`: those of a process that is to
    /// be replaced.
    ///
    /// # Errors
    /// [`MetricsError`] for the first that cannot be had.
    pub(crate) fn open(
        settings: &config::Metrics,
        before: Option<&Self>,
        beside: bool,
    ) -> Result<Self, MetricsError> {
        let open = |&address: &SocketAddr| {
            let is_here =
                |listener: &&TcpListener| listener.local_addr().is_ok_and(|here| here == address);
            let listener = match before.and_then(|before| before.0.iter().find(is_here)) {
                Some(listener) => listener.try_clone(),
                None => listen_stream(address, beside),
            };
            listener.map_err(|cause| MetricsError { address, cause })
        };
        settings.listen.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Where they are.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().filter_map(|listener| listener.local_addr().ok())
    }
}

/// The running page.
#[derive(Debug)]
pub(crate) struct MetricsPage {
    thread: Thread,
    sockets: Arc<MetricsSockets>,
    witness: Arc<Mutex<Witness>>,
}

impl MetricsPage {
    /// Starts the thread that shows what `witness` sees, on `sockets`, to those whom `settings` admit.
    ///
    /// # Errors
    /// When the system refuses a thread or a file descriptor.
    pub(crate) fn start(
        settings: &config::Metrics,
        sockets: MetricsSockets,
        witness: Witness,
    ) -> io::Result<Self> {
        let (witness, sockets) = (Arc::new(Mutex::new(witness)), Arc::new(sockets));
        let (waiter, stop) = (Waiter::new()?, Arc::new(AtomicBool::new(false)));
        let pulse = waiter.pulse();
        let host = Host {
            settings: settings.clone(),
            sockets: Arc::clone(&sockets),
            witness: Arc::clone(&witness),
            visitors: Vec::new(),
            desk: Desk { drawn: None, visits: Tally::default() },
            waiter,
            stop: Arc::clone(&stop),
        };
        let thread = Thread::start("metrics", pulse, stop, move || {
            if let Err(error) = host.run() {
                tracing::error!(
                    "metrics thread: {error}; /metrics and /ready will not be answered"
                );
            }
        })?;
        Ok(Self { thread, sockets, witness })
    }

    /// The thread.
    pub(crate) const fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Its sockets.
    pub(crate) fn sockets(&self) -> &MetricsSockets {
        &self.sockets
    }

    /// Has it show what `witness` sees.
    pub(crate) fn adopt(&self, witness: Witness) {
        if let Ok(mut seen) = self.witness.lock() {
            *seen = witness;
        }
    }

    /// Ends it.
    pub(crate) fn finish(self) {
        self.thread.finish();
    }
}

/// The thread's own.
struct Host {
    settings: config::Metrics,
    sockets: Arc<MetricsSockets>,
    witness: Arc<Mutex<Witness>>,
    /// In the order of their coming.
    visitors: Vec<Visitor>,
    desk: Desk,
    waiter: Waiter,
    stop: Arc<AtomicBool>,
}

impl Host {
    fn run(mut self) -> io::Result<()> {
        // It reads what strangers send.
        confine(Role::Page, &[]).map_err(io::Error::other)?;
        while !self.stop.load(Ordering::Acquire) {
            let now = monotonic();
            let wakeups = self.visitors.iter().map(|visitor| visitor.wakeup(now));
            let deadline = wakeups.fold(now + IDLE, Ord::min);
            let mut fds: Vec<BorrowedFd<'_>> = self.sockets.0.iter().map(AsFd::as_fd).collect();
            // One that does not take its answer is looked at by the clock.
            let asking = self.visitors.iter().filter(|visitor| visitor.is_asking());
            fds.extend(asking.map(AsFd::as_fd));
            self.waiter.wait(deadline, &fds)?;
            self.let_in(monotonic());
            self.attend(monotonic());
        }
        Ok(())
    }

    /// Lets in whoever has come; for one too many a stranger has to go, or else the first.
    fn let_in(&mut self, now: Timestamp<Monotonic>) {
        for listener in &self.sockets.0 {
            for _ in 0..VISITORS_MAX {
                let Ok((stream, from)) = listener.accept() else { break };
                if self.visitors.len() == VISITORS_MAX {
                    let stranger = self.visitors.iter().position(|visitor| visitor.stranger);
                    self.visitors.remove(stranger.unwrap_or(0));
                }
                let stranger = !self.settings.admits(from.ip());
                self.visitors.extend(Visitor::new(stream, stranger, now));
            }
        }
    }

    fn attend(&mut self, now: Timestamp<Monotonic>) {
        let Self { visitors, desk, witness, .. } = self;
        visitors.retain_mut(|visitor| {
            visitor.turn(now, &mut |request, stranger| desk.answer(request, stranger, witness, now))
        });
    }
}

/// Where requests are answered.
struct Desk {
    drawn: Option<(Timestamp<Monotonic>, Option<Report>)>,
    visits: Tally,
}

impl Desk {
    fn answer(
        &mut self,
        request: Result<Request, Code>,
        stranger: bool,
        witness: &Mutex<Witness>,
        now: Timestamp<Monotonic>,
    ) -> Vec<u8> {
        let refuse = |code: Code, text: &str| answer(code, TEXT, text, false);
        let request = match request {
            _ if stranger => {
                self.visits.count(None, Code::Forbidden);
                return refuse(Code::Forbidden, "[metrics] allow does not name you\n");
            }
            Ok(request) => request,
            Err(code) => {
                self.visits.count(None, code);
                return refuse(code, INDEX);
            }
        };
        let report = self.report(witness, now);
        let (code, kind, text) = match request.page {
            Page::Index => (Code::Ok, TEXT, INDEX.to_owned()),
            Page::Ready => judged(ready::ready(report)),
            Page::Health => judged(ready::health(report)),
            Page::Metrics => match report {
                Some(_) => self.metrics(request.open_metrics),
                None => judged(ready::health(None)),
            },
        };
        self.visits.count(Some(request.page), code);
        answer(code, kind, &text, request.head_only)
    }

    fn metrics(&self, open_metrics: bool) -> (Code, &'static str, String) {
        let report = self.drawn.as_ref().and_then(|(_, report)| report.as_ref());
        let seen = Seen { report: report.expect("was just drawn"), visits: &self.visits };
        let text = Exposition::of(families::all(), &seen, open_metrics);
        (Code::Ok, content_type(open_metrics), text)
    }

    /// The server as it was a moment ago.
    fn report(&mut self, witness: &Mutex<Witness>, now: Timestamp<Monotonic>) -> Option<&Report> {
        let fresh = self.drawn.as_ref().is_some_and(|(at, _)| now - *at < FRESH);
        if !fresh {
            let report = witness.lock().map_or(None, |mut witness| witness.report());
            self.drawn = Some((now, report));
        }
        self.drawn.as_ref().and_then(|(_, report)| report.as_ref())
    }
}

fn judged((yes, text): (bool, String)) -> (Code, &'static str, String) {
    (if yes { Code::Ok } else { Code::Unavailable }, TEXT, text)
}

/// How often what was answered how.
#[derive(Debug, Default)]
struct Tally([[u64; Code::ALL.len()]; Page::ALL.len() + 1]);

impl Tally {
    /// `None`: no page was asked for, or the one who asked may not.
    fn count(&mut self, page: Option<Page>, code: Code) {
        let page = page.map_or(Page::ALL.len(), |page| page as usize);
        self.0[page][code as usize] += 1;
    }

    /// Each path and code that can occur together, with its count.
    fn each(&self, mut with: impl FnMut(&str, u16, u64)) {
        let paths = Page::ALL.iter().map(|(page, path)| (*path, page_codes(*page)));
        let paths = paths.chain([("", &REFUSALS[..])]);
        for ((path, codes), counts) in paths.zip(&self.0) {
            codes.iter().for_each(|&code| with(path, code.number(), counts[code as usize]));
        }
    }
}

const fn page_codes(page: Page) -> &'static [Code] {
    match page {
        Page::Index => &[Code::Ok],
        Page::Metrics | Page::Ready | Page::Health => &[Code::Ok, Code::Unavailable],
    }
}

const REFUSALS: [Code; 5] =
    [Code::BadRequest, Code::Forbidden, Code::NotFound, Code::MethodNotAllowed, Code::TooLarge];
const INDEX: &str = "timeball: /metrics for Prometheus, /ready and /health for load balancers\n";
/// Visitors at a time.
const VISITORS_MAX: usize = 32;
/// How old a report may be.
const FRESH: Interval = Interval::from_millis(100);
/// When nothing happens at all.
const IDLE: Interval = Interval::from_secs(60);
