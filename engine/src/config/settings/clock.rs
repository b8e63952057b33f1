//! Settings of how the time is kept.
//!
//! Must never: leave a setting without a unit (where it is a number), a range and a default.

use crate::config::kind::{Choice, Presence, Seconds, Section, Setting, Text, Whole};
use crate::config::plan::{LeapMode, Steering};

/// How the time is kept.
pub(in crate::config) static CLOCK: Section = Section {
    name: "clock",
    about: "How the time is kept.",
    presence: Presence::Always,
    settings: &[
        &STEERING,
        &DRIFT_FILE,
        &STATE_FILE,
        &STEP_THRESHOLD_S,
        &STEP_LIMIT,
        &MAX_ROOT_DISTANCE_S,
        &PANIC_THRESHOLD_S,
        &LEAP_FILE,
        &LEAP_SECOND,
    ],
};

pub(in crate::config) static STEERING: Setting<Choice<Steering>> = Setting {
    key: "steering",
    about: "What is corrected: \"virtual\" only the time that is served, the kernel clock is never \
            touched and no privilege needed; \"kernel\" the kernel clock too, which needs \
            CAP_SYS_TIME and a source.",
    kind: Choice { default: Steering::Virtual },
};

pub(in crate::config) static DRIFT_FILE: Setting<Text> = Setting {
    key: "drift_file",
    about: "Where the clock's frequency error is kept between runs. Files of ntpd and chronyd are \
            read.",
    kind: Text {
        form: "an absolute path",
        absent: "default: not kept",
        example: "/var/lib/timeball/drift",
    },
};

pub(in crate::config) static STATE_FILE: Setting<Text> = Setting {
    key: "state_file",
    about: "Where all that is known of the clock is kept, for a restart on the same machine: with \
            it the server goes on serving at once, while the sources are asked again. Written \
            every five minutes and at the end.",
    kind: Text {
        form: "an absolute path",
        absent: "default: not kept; the time is served again after the sources' first answers",
        example: "/var/lib/timeball/state",
    },
};

pub(in crate::config) static STEP_THRESHOLD_S: Setting<Seconds> = Setting {
    key: "step_threshold_s",
    about: "An offset above this is stepped, below it slewed (RFC 5905: STEPT).",
    kind: Seconds { range: 0.001..=1000.0, default: 0.128 },
};

pub(in crate::config) static STEP_LIMIT: Setting<Whole> = Setting {
    key: "step_limit",
    about: "How many updates of the clock after the start may step it; later ones slew, however \
            large they are, at up to 10 %. 0 never steps, -1 always may.",
    kind: Whole { unit: "updates", range: -1..=1_000_000, default: -1 },
};

pub(in crate::config) static MAX_ROOT_DISTANCE_S: Setting<Seconds> = Setting {
    key: "max_root_distance_s",
    about: "When the bound on the error passes this, the server says that it is not synchronised \
            (RFC 5905: MAXDIST).",
    kind: Seconds { range: 0.001..=16.0, default: 1.5 },
};

pub(in crate::config) static PANIC_THRESHOLD_S: Setting<Seconds> = Setting {
    key: "panic_threshold_s",
    about: "An offset above this is not believed, except at the start (RFC 5905: PANICT); 0 \
            believes any.",
    kind: Seconds { range: 0.0..=1e9, default: 1000.0 },
};

pub(in crate::config) static LEAP_FILE: Setting<Text> = Setting {
    key: "leap_file",
    about: "The list of leap seconds of IERS or NIST (leap-seconds.list), read again when it \
            changes. Until it expires it counts for more than what sources say.",
    kind: Text {
        form: "an absolute path",
        absent: "default: a majority of sources is believed at the end of June and December",
        example: "/usr/share/zoneinfo/leap-seconds.list",
    },
};

pub(in crate::config) static LEAP_SECOND: Setting<Choice<LeapMode>> = Setting {
    key: "leap_second",
    about: "How the kernel clock takes a leap second when it is steered: the \"kernel\" is told and \
            does it, or it is \"step\"ped or \"slew\"ed afterwards. Served time always takes it at \
            its instant.",
    kind: Choice { default: LeapMode::Kernel },
};

/// The local clock.
pub(in crate::config) static LOCAL: Section = Section {
    name: "local",
    about: "The local clock: serve the kernel clock as it stands. Without any [[source]] it is \
            served at once, whether this section is there or not; with sources, this section makes \
            it the fallback when they have all failed.",
    presence: Presence::Optional,
    settings: &[&STRATUM, &WAIT_S],
};

pub(in crate::config) static STRATUM: Setting<Whole> = Setting {
    key: "stratum",
    about: "The stratum announced: high enough that no client prefers it to a real server.",
    kind: Whole { unit: "servers from a reference clock", range: 1..=15, default: 10 },
};

pub(in crate::config) static WAIT_S: Setting<Seconds> = Setting {
    key: "wait_s",
    about: "How long the sources have to answer, after the start, before the local clock is \
            served.",
    kind: Seconds { range: 0.0..=3600.0, default: 10.0 },
};
