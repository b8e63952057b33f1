//! A sitting: one server in its seat, offered one load after the other, on one network.
//!
//! Every measurement is made of these, so that a figure means the same in whichever table it stands.
//!
//! Must never: give the figures of a server that has ended meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use timeball_load::{Expectation, Load};
use timeball_time::Interval;

use crate::accompanied::Accompanied;
use crate::cli::CommonOptions;
use crate::error::BenchError;
use crate::load::{self, Outcome, Spec};
use crate::place::Place;
use crate::server::{Change, Seat, Seated, Server};

/// One server, freshly started and answering.
#[derive(Debug)]
pub(crate) struct Sitting<'a> {
    place: &'a Place,
    server: &'a Server,
    seated: Seated,
    base: Spec,
    stop: &'a AtomicBool,
}

impl<'a> Sitting<'a> {
    /// Starts `server` in `seat` and waits for its first answer.
    pub(crate) fn begin(
        place: &'a Place,
        server: &'a Server,
        seat: Seat,
        common: &CommonOptions,
        stop: &'a AtomicBool,
    ) -> Result<Self, BenchError> {
        let base = closed_loop(place, common);
        let seated = server.start(place, seat, &base, stop)?;
        let (expectation, signed) = (server.expectation(), server.is_signed());
        let base = Spec { target: seated.address, expectation, signed, ..base };
        Ok(Self { place, server, seated, base, stop })
    }

    /// The closed loop that every other load is a variation of.
    pub(crate) const fn base(&self) -> &Spec {
        &self.base
    }

    /// Offers the closed loop for so long: the server runs at its own pace, and is not overloaded.
    pub(crate) fn saturate(&mut self, duration_s: f64) -> Result<Outcome, BenchError> {
        self.offer(&Spec { duration_s, ..self.base.clone() })
    }

    /// The same, after so much of it that does not count.
    pub(crate) fn saturate_warm(
        &mut self,
        warm_up_s: f64,
        duration_s: f64,
    ) -> Result<Outcome, BenchError> {
        self.offer(&Spec { warm_up_s, duration_s, ..self.base.clone() })
    }

    /// Offers a load.
    pub(crate) fn offer(&mut self, spec: &Spec) -> Result<Outcome, BenchError> {
        let outcome = load::offer(self.place, spec, self.stop)?;
        match self.seated.ended() {
            Some(cause) => {
                let (server, address) = (self.server.name.clone(), self.seated.address);
                Err(BenchError::Silent { server, address, cause })
            }
            None => Ok(outcome),
        }
    }

    /// Offers a load through a change of the server, which begins so long `after` the load does.
    pub(crate) fn offer_through(
        &mut self,
        spec: &Spec,
        change: Change,
        after: Duration,
    ) -> Result<Outcome, BenchError> {
        let start = timeball_sys::realtime() + Interval::from_secs(START_S);
        let end = start + Interval::from_nanos((spec.duration_s * 1e9) as i64);
        let spec = Spec { start_at_ns: Some(start.nanos()), ..spec.clone() };
        let (place, stop) = (self.place, self.stop);
        std::thread::scope(|scope| {
            let load = scope.spawn(move || load::offer(place, &spec, stop));
            std::thread::sleep(Duration::from_secs(START_S as u64) + after);
            let changed = self.seated.change(change);
            let is_over = timeball_sys::realtime() >= end;
            let outcome = load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            changed?;
            if is_over {
                let cause = "it took longer than the load that was to show what it costs";
                return Err(BenchError::Usage(format!("{change:?}: {cause}")));
            }
            Ok(outcome)
        })
    }

    /// How the server was started.
    pub(crate) fn recipe(&self) -> String {
        self.seated.recipe()
    }
}

/// One server, freshly started in the seat that `common` names, warmed up, saturated for so long and
/// stopped.
pub(crate) fn saturated(
    place: &Place,
    server: &Server,
    common: &CommonOptions,
    duration_s: f64,
    stop: &AtomicBool,
) -> Result<Outcome, BenchError> {
    let seat = Seat::on(common.server_core);
    Sitting::begin(place, server, seat, common, stop)?.saturate_warm(WARM_UP_S, duration_s)
}

/// The closed loop from the clients of `place`, whom it asks still to be named.
pub(crate) fn closed_loop(place: &Place, common: &CommonOptions) -> Spec {
    let (network, prefix_len) = place.population();
    Spec {
        target: SocketAddr::new(network, 0),
        network,
        prefix_len,
        clients: common.clients,
        load: Load::Closed { window: common.window },
        warm_up_s: 0.0,
        duration_s: CAPACITY_S,
        requests_max: u32::MAX,
        batch: 64,
        segments: common.segments,
        frames: false,
        in_kernel: false,
        stamp_one_in: 0,
        timeout_s: TIMEOUT_S,
        expectation: Expectation::Server,
        signed: false,
        company: Accompanied::Alone,
        start_at_ns: None,
        core: common.client_core,
        server_core: common.server_core,
    }
}

/// The generator is ready within this, in seconds.
const START_S: i64 = 1;
/// How long a server's capacity is measured where only other figures are wanted, in seconds.
pub(crate) const CAPACITY_S: f64 = 1.0;
/// As much load as a fresh server takes to come to its pace: caches, frequency, neighbour entries; seconds.
pub(crate) const WARM_UP_S: f64 = 0.3;
/// A request without a reply for this long is lost, and its place in the window free again.
const TIMEOUT_S: f64 = 0.1;
