//! Settings of the servers that are asked.
//!
//! Must never: leave a setting without a unit (where it is a number), a range and a default.

use std::ops::RangeInclusive;

use crate::config::kind::{Choice, Flag, Presence, Section, Setting, Text, Whole};
use crate::config::plan::Family;

/// One upstream server.
pub(in crate::config) static SOURCE: Section = Section {
    name: "source",
    about: "An upstream server; repeat for each, up to 64. Four or more let a wrong one be \
            outvoted.",
    presence: Presence::Repeated,
    settings: &[&ADDRESS, &IBURST, &MIN_POLL, &MAX_POLL, &PREFER, &FAMILY, &KEY, &MAX_SOURCES],
};

pub(in crate::config) static ADDRESS: Setting<Text> = Setting {
    key: "address",
    about: "Whom to ask: a name or an address, with a UDP port if it is not 123. A name is \
            resolved again when its server fails.",
    kind: Text {
        form: "a host name, IPv4 or IPv6 address, with or without a port from 1 to 65535",
        absent: "required",
        example: "ntp1.example.net",
    },
};

pub(in crate::config) static IBURST: Setting<Flag> = Setting {
    key: "iburst",
    about: "Send a burst at the start, and whenever the server does not answer.",
    kind: Flag { default: true },
};

pub(in crate::config) static MIN_POLL: Setting<Whole> = Setting {
    key: "min_poll",
    about: "Shortest polling interval. Below 6 (64 s) only for servers of your own.",
    kind: Whole { unit: "log2 of seconds", range: POLL_EXPONENTS, default: 6 },
};

pub(in crate::config) static MAX_POLL: Setting<Whole> = Setting {
    key: "max_poll",
    about: "Longest polling interval; not below `min_poll`.",
    kind: Whole { unit: "log2 of seconds", range: POLL_EXPONENTS, default: 10 },
};

pub(in crate::config) static PREFER: Setting<Flag> = Setting {
    key: "prefer",
    about: "Let this source win over other good ones; one source at most.",
    kind: Flag { default: false },
};

pub(in crate::config) static FAMILY: Setting<Choice<Family>> = Setting {
    key: "family",
    about: "Which addresses of a name to use.",
    kind: Choice { default: Family::Any },
};

pub(in crate::config) static KEY: Setting<Whole> = Setting {
    key: "key",
    about: "Number of the key that requests are signed with, and without which no reply is \
            believed; 0 is none.",
    kind: Whole { unit: "key number", range: 0..=u32::MAX as i64, default: 0 },
};

pub(in crate::config) static MAX_SOURCES: Setting<Whole> = Setting {
    key: "max_sources",
    about: "How many of the addresses behind a name are asked at the same time, each as a source of \
            its own, as for a pool of servers; one that fails is replaced by another.",
    kind: Whole { unit: "servers", range: 1..=16, default: 1 },
};

/// RFC 5905 section 7.3 has MAXPOLL 17; below its MINPOLL 4 is for tests and servers of one's own.
pub(in crate::config) const POLL_EXPONENTS: RangeInclusive<i64> = 0..=17;
/// Selection looks at every pair of sources.
pub(crate) const SOURCES_MAX: usize = 64;
