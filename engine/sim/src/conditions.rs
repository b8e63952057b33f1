//! Conditions that must hold whatever the figures: chrony's own suite has them too.
//!
//! Each is a world with what must be true of it at the end; promises are watched besides.
//!
//! Must never: pass because nothing happened: each names what must have been seen.

use timeball_discipline::{Event, Waiting};
use timeball_time::{LeapKind, LeapMaker, LeapSecond, Timestamp};

use crate::S;
use crate::clock::{ClockModel, EPOCH};
use crate::scenario::{Incident, Scenario};
use crate::server::{Server, Shift};
use crate::world::{Kernel, World};

/// A condition with a name.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Said as a sentence.
    pub name: String,
    /// The world it is about.
    pub scenario: Scenario,
    /// What must be true at the end.
    pub outcome: Outcome,
}

/// How a world must end.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Outcome {
    /// Synchronised from this second on (but for a suspend), and off by at most so many seconds.
    Right {
        /// The second.
        from: usize,
        /// Seconds.
        within: f64,
    },
    /// The same, and a leap second was made.
    Leapt {
        /// The second.
        from: usize,
        /// Seconds.
        within: f64,
    },
    /// Never called synchronised, for want of a majority.
    NoMajority,
    /// Never called synchronised, whatever the reason.
    Refused,
    /// Called synchronised or not, but never off by more than was claimed, nor than so many seconds.
    Modest {
        /// Seconds.
        within: f64,
    },
}

impl Outcome {
    /// What of it is not true of `world`, which has ended.
    pub fn fault(self, world: &World) -> Option<String> {
        match self {
            Self::Right { from, within } => not_right(world, from, within),
            Self::Leapt { from, within } => {
                let leaps = world.count(|event| matches!(event, Event::LeapMade { .. }));
                let fault = (leaps != 1).then(|| format!("{leaps} leap seconds were made"));
                fault.or_else(|| not_right(world, from, within))
            }
            Self::NoMajority => followed(world).or_else(|| {
                let waiting = world.discipline.status(world.reading()).waiting;
                let right = matches!(waiting, Waiting::Majority(_));
                (!right).then(|| format!("it waits for {waiting}"))
            }),
            Self::Refused => followed(world),
            Self::Modest { within } => {
                let mut claimed = world.looks.iter().filter(|look| look.synchronised);
                let wrong = claimed.find(|look| look.error.abs() > within)?;
                Some(format!("off by {} s while claiming to be right", wrong.error))
            }
        }
    }
}

fn not_right(world: &World, from: usize, within: f64) -> Option<String> {
    let looks = world.looks.get(from..).unwrap_or_default();
    if looks.is_empty() {
        return Some("it ended too early".to_owned());
    }
    let seconds = || (from..).zip(looks);
    if let Some((second, _)) = seconds().find(|(_, look)| !look.synchronised) {
        return Some(format!("not synchronised at {second} s"));
    }
    let worst = seconds().max_by(|a, b| a.1.error.abs().total_cmp(&b.1.error.abs()));
    worst
        .filter(|(_, look)| !matches!(look.error.abs().partial_cmp(&within), Some(o) if o.is_le()))
        .map(|(second, look)| format!("off by {} s at {second} s", look.error))
}

fn followed(world: &World) -> Option<String> {
    world.synchronised_at().map(|second| format!("called synchronised at {second} s"))
}

/// All of them.
pub fn conditions() -> Vec<Condition> {
    let mut all = clocks();
    all.extend(liars());
    all.extend(networks());
    all.extend(eras());
    all.extend(leaps());
    all
}

fn condition(name: impl Into<String>, scenario: Scenario, outcome: Outcome) -> Condition {
    Condition { name: name.into(), scenario, outcome }
}

fn one() -> Scenario {
    Scenario::new(vec![Server::default()]).with_burst()
}

fn clocks() -> Vec<Condition> {
    let clock = |clock| Scenario { clock, ..one() };
    let fast = |frequency| clock(ClockModel { frequency, ..ClockModel::default() });
    let ahead = |offset| clock(ClockModel { offset, ..ClockModel::default() });
    let slewed = |offset| {
        let mut scenario = ahead(offset);
        scenario.config.step_limit = Some(0);
        scenario
    };
    let right = |from, within| Outcome::Right { from, within };
    let mut all = Vec::new();
    for sign in [1.0, -1.0] {
        let way = if sign > 0.0 { "ahead" } else { "behind" };
        let speed = if sign > 0.0 { "fast" } else { "slow" };
        let name = format!("a clock 5 % {speed} is followed");
        all.push(condition(name, fast(sign * 0.05), right(2_000, 1e-3)));
        let name = format!("a clock 100 s {way} is stepped");
        all.push(condition(name, ahead(sign * 100.0), right(64, 1e-3)));
        let name = format!("a clock 100 s {way} is slewed if it may not be stepped");
        all.push(condition(name, slewed(sign * 100.0), right(1_500, 1e-3)));
        let name = format!("a kernel clock 100 s {way} is stepped once and then steered");
        all.push(condition(name, ahead(sign * 100.0).steered(Kernel::Obeys), right(64, 1e-3)));
    }
    let host = vec![
        (2_000, Incident::FrequencySet(2e-4)),
        (4_000, Incident::FrequencySet(-3e-4)),
        (6_000, Incident::ClockStepped { by_s: 0.3, told: true }),
    ];
    let name = "a kernel clock that somebody else steers does not disturb served time";
    all.push(condition(name, Scenario { incidents: host, ..one() }, right(64, 1e-3)));
    all
}

fn liars() -> Vec<Condition> {
    let five = |liars: usize| {
        let server = |k: usize| Server {
            lie: if k < 5 - liars { 0.0 } else { k as f64 },
            base: 1e-3,
            ..Server::default()
        };
        Scenario::new((0..5).map(server).collect())
    };
    let mut all = Vec::new();
    for count in [1, 2] {
        let name = format!("{count} of 5 that lie are not followed");
        all.push(condition(name, five(count), Outcome::Right { from: 300, within: 1e-3 }));
    }
    for count in [3, 4] {
        let name = format!("with {count} liars of 5 nobody is followed");
        all.push(condition(name, five(count), Outcome::NoMajority));
    }
    let turn = Scenario {
        incidents: vec![(2_000, Incident::Lie { from: 2, lie: 5.0 }), (2_000, Incident::Dishonest)],
        ..five(0)
    };
    let panic = Outcome::Right { from: 300, within: 6.0 };
    all.push(condition(
        "a majority that turns is followed and never crashes anything",
        turn,
        panic,
    ));
    all
}

fn networks() -> Vec<Condition> {
    let with = |server| Scenario::new(vec![server]).with_burst();
    let far = Server { root_dispersion: 3.0, ..Server::default() };
    let wild = Server { jitter: 3.0, ..Server::default() };
    let deaf = Server { loss: 0.95, ..Server::default() };
    let shift = Some(Shift { period_s: 10_000.0, on_s: 1_200.0 });
    let rare = Server { shift, ..Server::default() };
    let long = |server| Scenario { seconds: 60_000, ..with(server) };
    vec![
        condition("a root distance above 3 s is refused", with(far), Outcome::Refused),
        condition(
            "with seconds of jitter nothing is claimed that is not so",
            with(wild),
            Outcome::Modest { within: 1.5 },
        ),
        condition(
            "one request of twenty answered suffices",
            long(deaf),
            Outcome::Right { from: 20_000, within: 0.05 },
        ),
        condition(
            "1200 s of each 10 000 s suffice",
            long(rare),
            Outcome::Right { from: 64, within: 0.05 },
        ),
    ]
}

fn eras() -> Vec<Condition> {
    let mut all = Vec::new();
    for (year, rollover) in [(2036, 2_085_978_496i64), (2038, 1 << 31)] {
        for begin in [-500, 500] {
            for offset in [-700.0, 700.0] {
                let start = (rollover + begin) * S;
                let clock = ClockModel { start, offset, ..ClockModel::default() };
                let scenario = Scenario { clock, seconds: 3_000, ..one() };
                let name = format!("a start {begin:+} s from {year}, {offset:+} s off, is right");
                all.push(condition(name, scenario, Outcome::Right { from: 64, within: 1e-3 }));
            }
        }
    }
    let in_1970 = ClockModel { offset: -(EPOCH as f64 / 1e9), ..ClockModel::default() };
    let scenario = Scenario { clock: in_1970, ..one() };
    let right = Outcome::Right { from: 64, within: 1e-3 };
    all.push(condition("a start in 1970 is right", scenario, right));
    all
}

/// A leap second at the end of 2026, half a second from where anybody looks.
fn leaps() -> Vec<Condition> {
    let midnight = 1_798_761_600 * S;
    let start = midnight - 3_000 * S - S / 2;
    let mut all = Vec::new();
    for (kind, way) in [(LeapKind::Insert, "inserted"), (LeapKind::Delete, "deleted")] {
        let leap = LeapSecond {
            midnight: Timestamp::from_nanos(midnight),
            kind,
            made_by: LeapMaker::Mapping,
        };
        let server =
            Server { leap: kind.indicator(), leap_second: Some(leap), ..Server::default() };
        let base = Scenario {
            leap: Some(leap),
            clock: ClockModel { start, ..ClockModel::default() },
            ..Scenario::new(vec![server; 3]).with_burst()
        };
        let leapt = Outcome::Leapt { from: 1_000, within: 1e-3 };
        let mut slewed = base.clone().steered(Kernel::Obeys);
        slewed.config.slew_leaps = true;
        all.push(condition(format!("a leap second is {way} by the mapping"), base.clone(), leapt));
        let stepped = base.steered(Kernel::Obeys);
        all.push(condition(format!("a leap second is {way} by a step"), stepped, leapt));
        all.push(condition(format!("a leap second is {way} by slewing"), slewed, leapt));
    }
    all
}
