//! Settings of how much a client may ask for.
//!
//! Must never: leave a setting without a unit (where it is a number), a range and a default.

use timeball_responder::{LimitMode, LimitSettings};

use crate::config::kind::{Choice, Presence, Seconds, Section, Setting, Whole};

/// The limits.
pub(in crate::config) static LIMITS: Section = Section {
    name: "limits",
    about: "How much a client may ask for. A client is an IPv4 address or an IPv6 /64; a whole IPv6 \
            /48 has 64 times as much. Who signs with a key, who asks from this machine, and whom a \
            rule under [[access]] says to be \"unlimited\" is not limited.",
    presence: Presence::Always,
    settings: &[&LIMIT_MODE, &INTERVAL_S, &BURST, &LEAK, &CLIENTS],
};

pub(in crate::config) static LIMIT_MODE: Setting<Choice<LimitMode>> = Setting {
    key: "mode",
    about: "Whether the limits are in force (\"on\"); or only counted, what would go unanswered \
            being answered (\"observe\"); or not there at all (\"off\").",
    kind: Choice { default: LimitSettings::USUAL.mode },
};

pub(in crate::config) static INTERVAL_S: Setting<Seconds> = Setting {
    key: "interval_s",
    about: "Mean time between two requests of one client that may go on for ever. One address may \
            have thousands of devices behind it.",
    kind: Seconds { range: 0.001..=131_072.0, default: 0.0625 },
};

pub(in crate::config) static BURST: Setting<Whole> = Setting {
    key: "burst",
    about: "How many requests a client may send at once after a pause.",
    kind: Whole {
        unit: "requests",
        range: 1..=1_000_000,
        default: LimitSettings::USUAL.burst.get() as i64,
    },
};

pub(in crate::config) static LEAK: Setting<Whole> = Setting {
    key: "leak",
    about: "One in so many of the requests over the limit is answered all the same, by chance. \
            Without that, whoever can forge a client's address could silence it.",
    kind: Whole {
        unit: "requests",
        range: 2..=64,
        default: LimitSettings::USUAL.leak.get() as i64,
    },
};

pub(in crate::config) static CLIENTS: Setting<Whole> = Setting {
    key: "clients",
    about: "How many clients each worker remembers, 8 octets each; rounded up to a power of two. \
            Whom it has forgotten begins with the whole allowance. With [fast_path] the driver remembers as \
            many on each processor, within 64 MiB together, as were configured at the start.",
    kind: Whole {
        unit: "clients",
        range: 8..=1 << 28,
        default: LimitSettings::USUAL.clients as i64,
    },
};
