//! From the configured plan to what the lower crates are told: one conversion for each.
//!
//! The config speaks the operator's words and the crates below speak their own; this is the one place
//! where both are known.
//!
//! Must never: decide anything; a choice belongs in the config or in the crate.

use std::sync::Arc;

use timeball_discipline::limits::SOURCES_MAX;
use timeball_discipline::{Config, LocalConfig, SourceConfig, Steering, Target};
use timeball_wire::Keys;

use crate::config::{
    Backend, Host, LeapMode, LogLevel, Plan, Source, Spread, Transmit, UringReplies,
};

impl Plan {
    /// How many places there are for servers that are heard of.
    fn places(&self) -> usize {
        let free = SOURCES_MAX.saturating_sub(self.asked().count());
        if self.lan.finds_sources() { PLACES_MAX.min(free) } else { 0 }
    }

    /// The sources as configured, then the places for those heard of: in the discipline's order.
    pub(super) fn source_names(&self) -> Vec<String> {
        let places = (1..=self.places()).map(|number| format!("heard {number}"));
        let asked = self.asked().map(|(source, one)| match source.max_sources {
            1 => source.endpoint.to_string(),
            _ => format!("{} ({one})", source.endpoint),
        });
        asked.chain(places).collect()
    }

    /// Of each source of the discipline that is configured, what the configuration says of it.
    pub(super) fn asked_sources(&self) -> Vec<Source> {
        self.asked().map(|(source, _)| source.clone()).collect()
    }

    /// What the discipline is told; `keys` has every key that a source uses.
    pub(super) fn discipline(&self, steering: Steering, keys: &Keys) -> Config {
        let places = (0..self.places()).map(|_| SourceConfig::new(Target::Heard));
        Config {
            sources: self.asked().map(|(one, _)| source(one, keys)).chain(places).collect(),
            local: self
                .local
                .as_ref()
                .map(|local| LocalConfig { stratum: local.stratum, wait: local.wait }),
            steering,
            step_threshold: self.clock.step_threshold,
            step_limit: self.clock.step_limit,
            panic_threshold: self.clock.panic_threshold,
            max_root_distance: self.clock.max_root_distance,
            slew_leaps: self.clock.leap_second == LeapMode::Slew,
            ..Config::default()
        }
    }
}

/// As many as ntpd follows (its `tos maxclock`).
const PLACES_MAX: usize = 10;

fn source(source: &Source, keys: &Keys) -> SourceConfig {
    let port = source.endpoint.port;
    let target = match &source.endpoint.host {
        Host::Address(address) => Target::Address((*address, port).into()),
        Host::Name(name) if source.max_sources > 1 => Target::Pool { host: name.clone(), port },
        Host::Name(name) => Target::Name { host: name.clone(), port },
    };
    SourceConfig {
        target,
        iburst: source.iburst,
        min_poll: source.poll.min(),
        max_poll: source.poll.max(),
        prefer: source.prefer,
        key: source.key.and_then(|used| keys.by_id(used.id)).cloned().map(Arc::new),
    }
}

impl From<Spread> for timeball_sys::Spread {
    fn from(spread: Spread) -> Self {
        match spread {
            Spread::SourceAddress => Self::SourceAddress,
            Spread::Cpu => Self::Cpu,
            Spread::Kernel => Self::Kernel,
        }
    }
}

impl From<Backend> for timeball_sys::Backend {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Auto => Self::Auto,
            Backend::Uring => Self::Uring,
            Backend::Mmsg => Self::Mmsg,
        }
    }
}

impl From<UringReplies> for timeball_sys::ReplyPath {
    fn from(replies: UringReplies) -> Self {
        match replies {
            UringReplies::Auto => Self::default(),
            UringReplies::Ring => Self::Ring,
            UringReplies::Sendmmsg => Self::Sendmmsg,
        }
    }
}

impl Transmit {
    /// Around the kernel's IP layer how; `None`: not at all.
    pub(super) const fn raw(self) -> Option<timeball_sys::Transmit> {
        match self {
            Self::Socket => None,
            Self::Xdp => Some(timeball_sys::Transmit::Xdp),
            Self::Packet => Some(timeball_sys::Transmit::Packet),
        }
    }
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}
