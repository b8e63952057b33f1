//! Settings of the broadcast family.
//!
//! Must never: leave a setting without a unit (where it is a number), a range and a default.

use super::sources::{KEY, POLL_EXPONENTS};
use crate::config::kind::{Flag, Presence, Seconds, Section, Setting, Text, Texts, Whole};

/// Where broadcasts are sent.
pub(in crate::config) static BROADCAST: Section = Section {
    name: "broadcast",
    about: "Broadcast or multicast the time at an interval; repeat for each address. Nothing is sent \
            while the time is not synchronised.",
    presence: Presence::Repeated,
    settings: &[&BROADCAST_ADDRESS, &BROADCAST_POLL, &BROADCAST_TTL, &KEY],
};

pub(in crate::config) static BROADCAST_ADDRESS: Setting<Text> = Setting {
    key: "address",
    about: "The broadcast address of a network, or a multicast group, with a UDP port if it is not \
            123. A group is sent to on every interface.",
    kind: Text {
        form: "an IPv4 broadcast address or a multicast address",
        absent: "required",
        example: "224.0.1.1",
    },
};

pub(in crate::config) static BROADCAST_POLL: Setting<Whole> = Setting {
    key: "poll",
    about: "Time between two.",
    kind: Whole { unit: "log2 of seconds", range: POLL_EXPONENTS, default: 6 },
};

pub(in crate::config) static BROADCAST_TTL: Setting<Whole> = Setting {
    key: "ttl",
    about: "How many routers may pass it on, and one.",
    kind: Whole { unit: "hops", range: 1..=255, default: 1 },
};

/// How broadcasts are heard.
pub(in crate::config) static BROADCAST_CLIENT: Section = Section {
    name: "broadcast_client",
    about: "Hear broadcasts, and follow whoever sends them (up to 10 servers). A server is asked at \
            first, until it is known how far it is; then only heard.",
    presence: Presence::Optional,
    settings: &[&HEARD_GROUPS, &DELAY_S, &AUTHENTICATE],
};

pub(in crate::config) static HEARD_GROUPS: Setting<Texts> = Setting {
    key: "groups",
    about: "Multicast groups to hear, besides broadcasts.",
    kind: Texts {
        form: "multicast addresses",
        count: 1..=GROUPS_MAX,
        absent: "default: none",
        example: &["224.0.1.1", "ff05::101"],
    },
};

pub(in crate::config) static DELAY_S: Setting<Seconds> = Setting {
    key: "delay_s",
    about: "How long a broadcast is on its way, where servers cannot be asked; 0 measures it by \
            asking them.",
    kind: Seconds { range: 0.0..=1.0, default: 0.0 },
};

pub(in crate::config) static AUTHENTICATE: Setting<Flag> = Setting {
    key: "authenticate",
    about: "Believe only what is signed with a trusted key. Without it anybody on the network can \
            set this clock.",
    kind: Flag { default: true },
};

/// Groups in which requests are answered.
pub(in crate::config) static MANYCAST_SERVER: Section = Section {
    name: "manycast_server",
    about: "Let clients find this server by asking a group. It answers while it is synchronised and \
            of a lower stratum than the client.",
    presence: Presence::Optional,
    settings: &[&ANSWERED_GROUPS],
};

pub(in crate::config) static ANSWERED_GROUPS: Setting<Texts> = Setting {
    key: "groups",
    about: "The groups.",
    kind: Texts {
        form: "multicast addresses",
        count: 1..=GROUPS_MAX,
        absent: "required",
        example: &["239.255.254.254"],
    },
};

/// Groups that are asked for servers.
pub(in crate::config) static MANYCAST_CLIENT: Section = Section {
    name: "manycast_client",
    about: "Find servers by asking a group, further and further away until enough have answered; \
            then once an hour. Repeat for each group.",
    presence: Presence::Repeated,
    settings: &[&MANYCAST_ADDRESS, &BROADCAST_POLL, &MANYCAST_TTL, &SERVERS, &KEY, &AUTHENTICATE],
};

pub(in crate::config) static MANYCAST_ADDRESS: Setting<Text> = Setting {
    key: "address",
    about: "The group, with a UDP port if it is not 123.",
    kind: Text { form: "a multicast address", absent: "required", example: "239.255.254.254" },
};

pub(in crate::config) static MANYCAST_TTL: Setting<Whole> = Setting {
    key: "ttl",
    about: "How far away to ask at the most; the first request goes one hop.",
    kind: Whole { unit: "hops", range: 1..=255, default: 32 },
};

pub(in crate::config) static SERVERS: Setting<Whole> = Setting {
    key: "servers",
    about: "How many servers are enough.",
    kind: Whole { unit: "servers", range: 1..=10, default: 3 },
};

const GROUPS_MAX: usize = 16;
