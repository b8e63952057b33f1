//! What the discipline asks its host to do, and what it has to tell.
//!
//! Must never: grow without bound ([`ACTIONS_MAX`]); hold an event per packet.

use core::fmt;
use core::net::SocketAddr;

use timeball_time::{Interval, LeapSecond, Rate, Snapshot};

use crate::limits::{ACTIONS_MAX, ACTIONS_RESERVED};
use crate::rejection::{Kiss, Rejection};
use crate::request::Request;
use crate::state::State;

/// The position of a source in [`crate::Config::sources`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(pub u16);

impl SourceId {
    /// As an index into the configured sources.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}", self.0)
    }
}

/// One thing for the host to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Action {
    /// Send `request` to `remote` from a fresh socket with a random port, closing this source's
    /// last one; report the kernel's stamp by `on_transmitted`, a failure by `on_send_failed`.
    Send {
        /// Whose request it is.
        source: SourceId,
        /// Where to.
        remote: SocketAddr,
        /// The octets.
        request: Request,
    },
    /// Look up the name of this source and report by `on_resolved`.
    Resolve {
        /// Whose name; it is in the configuration.
        source: SourceId,
    },
    /// Make this what workers serve from now on.
    Publish(Snapshot),
    /// Steer the kernel clock and report by `on_steered`; at most one is under way.
    Steer(Steer),
    /// Keep this frequency for the next start.
    SaveDrift(Rate),
    /// Keep this for a next start soon.
    SaveState(State),
    /// Tell the operator.
    Note(Event),
}

/// A command to the kernel clock.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Steer {
    /// Apply this frequency from now on, within ±500 ppm; it contains what is being slewed.
    Frequency(Rate),
    /// Add this to CLOCK_REALTIME at once.
    Step(Interval),
}

/// What became of a [`Steer`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Steered {
    /// The frequency the kernel applies now, read back: as commanded, rounded or clamped.
    Frequency(Rate),
    /// The clock was stepped by this.
    Stepped(Interval),
    /// The kernel refused (no CAP_SYS_TIME); nothing was changed.
    Refused,
}

/// The actions of one or more calls, in order.
#[derive(Clone, Debug, Default)]
pub struct Actions {
    items: Vec<Action>,
    dropped: u64,
}

impl Actions {
    /// An empty buffer with all the memory it will ever need.
    pub fn new() -> Self {
        Self { items: Vec::with_capacity(ACTIONS_MAX), dropped: 0 }
    }

    /// Takes the actions out, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = Action> + '_ {
        self.items.drain(..)
    }

    /// The actions, oldest first.
    pub fn as_slice(&self) -> &[Action] {
        &self.items
    }

    /// Actions lost because nobody drained the buffer.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether a request may still be added without crowding out a snapshot.
    pub(crate) fn has_room(&self) -> bool {
        self.items.len() + ACTIONS_RESERVED < ACTIONS_MAX
    }

    pub(crate) fn push(&mut self, action: Action) {
        if self.items.len() < ACTIONS_MAX {
            self.items.push(action);
        } else {
            self.dropped += 1;
        }
    }

    pub(crate) fn note(&mut self, event: Event) {
        self.push(Action::Note(event));
    }
}

/// Something an operator may want to read in the log; never one per packet.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Event {
    /// A source answered for the first time, or again.
    Reachable {
        /// Which.
        source: SourceId,
    },
    /// A source marks its time as smeared: not UTC for hours around a leap second.
    Smeared {
        /// Which.
        source: SourceId,
    },
    /// A source has not answered its last eight requests.
    Unreachable {
        /// Which.
        source: SourceId,
    },
    /// A name did not resolve.
    ResolveFailed {
        /// Which.
        source: SourceId,
    },
    /// A source is now asked at another address.
    AddressChanged {
        /// Which.
        source: SourceId,
        /// Where.
        remote: SocketAddr,
    },
    /// A source asked us, in answer to our own request, to ask less or not at all.
    KissReceived {
        /// Which.
        source: SourceId,
        /// What it wants.
        kiss: Kiss,
    },
    /// A source's replies are not signed with its key, or it refuses that key; told once.
    NotAuthentic {
        /// Which.
        source: SourceId,
        /// What is wrong with them.
        rejection: Rejection,
    },
    /// A source's clock moved; its history starts anew.
    SourceJumped {
        /// Which.
        source: SourceId,
    },
    /// A source disagrees with the majority.
    Falseticker {
        /// Which.
        source: SourceId,
    },
    /// A source is not used because it has its time from us.
    Loop {
        /// Which.
        source: SourceId,
    },
    /// The source whose stratum and reference we announce.
    PeerSelected {
        /// Which.
        source: SourceId,
    },
    /// There are usable sources but no majority of them agrees.
    NoMajority,
    /// The time served is synchronised from now on.
    Synchronised {
        /// How far the served time moved, all at once, when it became so.
        moved: Interval,
    },
    /// The time served is that of the local clock from now on.
    LocalClock,
    /// The served time was stepped.
    Stepped {
        /// By how much.
        amount: Interval,
    },
    /// A revision larger than the panic threshold was refused; the time is not served as
    /// synchronised.
    Panic {
        /// What the sources want.
        amount: Interval,
    },
    /// The error bound has passed the limit: not synchronised any more.
    Lost,
    /// Somebody else stepped the kernel clock; the served time does not follow.
    ForeignStep {
        /// By how much.
        amount: Interval,
    },
    /// Somebody else changed the kernel clock's frequency.
    ForeignFrequency {
        /// What it is now.
        frequency: Rate,
    },
    /// The machine was suspended; the time is not known until sources have answered.
    Suspended {
        /// For how long, by the kernel's count.
        length: Interval,
    },
    /// The time goes on where the last run left off.
    Restored {
        /// How long ago that was.
        age: Interval,
    },
    /// There is a leap second at the end of this day.
    LeapAhead {
        /// Which.
        leap: LeapSecond,
    },
    /// There is none after all.
    LeapWithdrawn {
        /// Which.
        leap: LeapSecond,
    },
    /// The leap second has been made.
    LeapMade {
        /// Which.
        leap: LeapSecond,
    },
    /// The kernel does not let us steer its clock.
    SteeringRefused,
    /// The kernel applies another frequency than commanded.
    SteeringClamped {
        /// What it applies.
        frequency: Rate,
    },
}

impl Event {
    /// The source it is about, if it is about one.
    pub const fn source(&self) -> Option<SourceId> {
        match self {
            Self::Reachable { source }
            | Self::Smeared { source }
            | Self::Unreachable { source }
            | Self::ResolveFailed { source }
            | Self::AddressChanged { source, .. }
            | Self::KissReceived { source, .. }
            | Self::NotAuthentic { source, .. }
            | Self::SourceJumped { source }
            | Self::Falseticker { source }
            | Self::Loop { source }
            | Self::PeerSelected { source } => Some(*source),
            _ => None,
        }
    }
}

impl Event {
    /// Whether an operator should look at it, rather than be told.
    pub const fn is_trouble(&self) -> bool {
        match self {
            Self::Smeared { .. }
            | Self::Unreachable { .. }
            | Self::KissReceived { .. }
            | Self::NotAuthentic { .. }
            | Self::SourceJumped { .. }
            | Self::Falseticker { .. }
            | Self::Loop { .. }
            | Self::NoMajority
            | Self::LocalClock
            | Self::Panic { .. }
            | Self::Lost
            | Self::ForeignStep { .. }
            | Self::ForeignFrequency { .. }
            | Self::Suspended { .. }
            | Self::SteeringRefused
            | Self::SteeringClamped { .. } => true,
            // Whoever looked the name up has said why, and louder.
            Self::ResolveFailed { .. }
            | Self::Reachable { .. }
            | Self::AddressChanged { .. }
            | Self::PeerSelected { .. }
            | Self::Synchronised { .. }
            | Self::Stepped { .. }
            | Self::Restored { .. }
            | Self::LeapAhead { .. }
            | Self::LeapWithdrawn { .. }
            | Self::LeapMade { .. } => false,
        }
    }
}

impl fmt::Display for Event {
    /// What happened, to be read after the name of the source it is about, if it is about one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reachable { .. } => f.write_str("answers"),
            Self::Smeared { .. } => f.write_str(
                "smears leap seconds (reference ID 254.x.y.z): all sources must do so, or none",
            ),
            Self::Unreachable { .. } => f.write_str("has stopped answering"),
            Self::ResolveFailed { .. } => f.write_str("its name does not resolve"),
            Self::AddressChanged { remote, .. } => write!(f, "is asked at {remote}"),
            Self::KissReceived { kiss, .. } => kiss.fmt(f),
            Self::NotAuthentic { rejection, .. } => write!(f, "not believed: {rejection}"),
            Self::SourceJumped { .. } => f.write_str("its clock has jumped; starting over with it"),
            Self::Falseticker { .. } => f.write_str("disagrees with the majority: not believed"),
            Self::Loop { .. } => f.write_str("has its time from us: not used"),
            Self::PeerSelected { .. } => f.write_str("is the system peer"),
            Self::NoMajority => f.write_str("the sources disagree and none is believed"),
            Self::Synchronised { moved } => {
                write!(f, "synchronised; served time moved by {:+.9} s", moved.as_secs_f64())
            }
            Self::LocalClock => f.write_str("serving the local clock: no source is usable"),
            Self::Stepped { amount } => {
                write!(f, "served time stepped by {:+.9} s", amount.as_secs_f64())
            }
            Self::Panic { amount } => write!(
                f,
                "sources want a change of {:+.3} s: refused; check them, then restart",
                amount.as_secs_f64()
            ),
            Self::Lost => f.write_str("not synchronised any more: the error bound is too large"),
            Self::ForeignStep { amount } => write!(
                f,
                "somebody stepped the kernel clock by {:+.6} s; served time is unaffected",
                amount.as_secs_f64()
            ),
            Self::ForeignFrequency { frequency } => write!(
                f,
                "somebody set the kernel clock's frequency to {:+.3} ppm",
                frequency.as_ppm()
            ),
            Self::Suspended { length } => {
                write!(f, "suspended for {:.1} s: not synchronised", length.as_secs_f64())
            }
            Self::Restored { age } => write!(
                f,
                "serving by what was known {:.1} s ago until sources have answered",
                age.as_secs_f64()
            ),
            Self::LeapAhead { leap } => write!(f, "leap second tonight: {leap}"),
            Self::LeapWithdrawn { .. } => f.write_str("no leap second tonight after all"),
            Self::LeapMade { leap } => write!(f, "leap second: {leap} just now"),
            Self::SteeringRefused => f.write_str(
                "the kernel refuses to be steered (no CAP_SYS_TIME?): correcting replies only",
            ),
            Self::SteeringClamped { frequency } => {
                write!(f, "the kernel applies only {:+.3} ppm", frequency.as_ppm())
            }
        }
    }
}
