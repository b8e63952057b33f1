//! What is opened at the start, while there are privileges; from then on there are none but those that some
//! thread still needs.
//!
//! Must never: start a thread; privileges belong to threads, and are given up before there is a second one.

use timeball_discipline as discipline;
use timeball_sys::{
    Capability, Exits, KernelClock, Passed, Pilot, ReadClock, SteerError, User, drop_privileges,
};
use timeball_wire::Keys;

use std::io;

use super::StartError;
use super::fast_path::{FastPath, Wanted};
use super::handover::{Inheritance, kept};
use super::lan::LanSockets;
use super::listen::Listening;
use super::pilot;
use super::whereabouts::Whereabouts;
use crate::config::{KeyFile, Plan, Steering};
use crate::control::{Door, DoorError};
use crate::metrics::{MetricsError, MetricsSockets};

/// Sockets, and what else needs to be had before privileges are gone.
pub(super) struct Premises {
    pub(super) listening: Listening,
    /// What was there already; the service manager may keep some that are not needed any more.
    pub(super) inherited: Listening,
    pub(super) lan: LanSockets,
    pub(super) door: Option<Door>,
    /// The control socket is the predecessor's.
    pub(super) has_door: bool,
    pub(super) page: Option<MetricsSockets>,
    /// What replies leave by besides their sockets.
    pub(super) exits: Option<(Exits, Pilot)>,
    pub(super) whereabouts: Whereabouts,
    pub(super) fast_path: FastPath,
    /// What the discipline is told.
    pub(super) clock: discipline::Config,
}

impl Premises {
    /// Opens what `plan` asks for, as far as it was not inherited, and gives up the privileges for it.
    ///
    /// # Errors
    /// The first thing that is refused; what was opened is closed again.
    pub(super) fn open(
        plan: &Plan,
        keys: &KeyFile,
        passed: Vec<Passed>,
        mut inheritance: Option<Inheritance>,
    ) -> Result<Self, StartError> {
        let spread_key = getrandom::u32().map_err(io::Error::other);
        let spread_key = spread_key.map_err(StartError::system("no randomness"))?;
        let beside = inheritance.is_some();
        let inherited = match &mut inheritance {
            Some(inheritance) => inheritance.listening(&plan.server)?,
            None => kept::listening(passed, &plan.server, spread_key)?,
        };
        let mut listening = inherited.of(&plan.server, None)?;
        listening.notes.extend_from_slice(&inherited.notes);
        if let (Some(address), false) = (listening.widened(&inherited), plan.lan.is_idle()) {
            return Err(StartError::BesideBroadcasts(address));
        }
        let socket = plan.control.socket.as_ref();
        let door = inheritance.as_mut().and_then(|inheritance| inheritance.door(socket));
        let has_door = door.is_some();
        let clock = discipline_config(plan, &keys.keys)?;
        let whereabouts = Whereabouts::new(listening.addresses());
        let lan = LanSockets::open(&plan.lan, &listening.addresses().collect::<Vec<_>>())?;
        let user = plan.server.user.as_deref().map(User::named).transpose()?;
        let door = match door {
            Some(door) => Some(door),
            None => open_door(plan, user.as_ref(), &mut listening.notes)?,
        };
        let page = open_page(plan, None, beside)?;
        let exits = pilot::open(plan, &mut listening.notes);
        let lent = inheritance.map(Inheritance::links);
        let fast_path = FastPath::open(Wanted::of(plan, &listening), lent);
        drop_privileges(user.as_ref(), &needed_capabilities(plan))?;
        Ok(Self {
            listening,
            inherited,
            lan,
            door,
            has_door,
            page,
            exits,
            whereabouts,
            fast_path,
            clock,
        })
    }
}

/// The control socket: where it was asked for, or wherever there can be one.
pub(super) fn open_door(
    plan: &Plan,
    user: Option<&User>,
    notes: &mut Vec<String>,
) -> Result<Option<Door>, DoorError> {
    if let Some(path) = &plan.control.socket {
        return Door::open(path, user).map(Some);
    }
    Ok(Door::open_usual(user)
        .inspect_err(|error| notes.push(format!("no `timeball status` here: {error}")))
        .ok())
}

/// The sockets of the page of metrics, if there is to be one; those that `before` has already are shared, and
/// `beside`: those of the process that is to be replaced.
pub(super) fn open_page(
    plan: &Plan,
    before: Option<&MetricsSockets>,
    beside: bool,
) -> Result<Option<MetricsSockets>, MetricsError> {
    plan.metrics.as_ref().map(|settings| MetricsSockets::open(settings, before, beside)).transpose()
}

/// What the discipline is told of the plan.
pub(super) fn discipline_config(
    plan: &Plan,
    keys: &Keys,
) -> Result<discipline::Config, StartError> {
    let steering = match plan.clock.steering {
        Steering::Virtual => discipline::Steering::Virtual,
        Steering::Kernel => {
            let able = caps::has_cap(None, caps::CapSet::Effective, Capability::CAP_SYS_TIME);
            if !able.unwrap_or(false) {
                return Err(SteerError::MissingCapability.into());
            }
            discipline::Steering::Kernel { frequency: KernelClock::new().state()?.frequency }
        }
    };
    Ok(plan.discipline(steering, keys))
}

/// What the threads still have to do that needs a privilege; each of them drops the rest.
fn needed_capabilities(plan: &Plan) -> Vec<Capability> {
    let steering = plan.clock.steering == Steering::Kernel;
    let priority = plan.server.worker_priority.is_some();
    let time = steering.then_some(Capability::CAP_SYS_TIME);
    time.into_iter().chain(priority.then_some(Capability::CAP_SYS_NICE)).collect()
}
