//! Every setting there is: its name, meaning, unit, range and default. The one place that says so.
//!
//! Reading enforces these limits, error messages quote them, and the shipped example is printed
//! from them, so none of the three can say anything else. A section lists its settings once, in the
//! order in which the example shows them; a setting that is read but not listed fails every test
//! that reads it.
//!
//! Must never: leave a setting without a unit (where it is a number), a range and a default.

use std::ops::RangeInclusive;

use super::kind::{Choice, Flag, Presence, Seconds, Section, Setting, Text, Texts, Whole, Wholes};
pub(super) use super::lan_settings::*;
use super::plan::{Backend, Family, KeyFormat, LeapMode, LogLevel, Spread, Steering, UringReplies};
use super::statistics::STATISTICS;

/// Every section, in the order of the example.
pub(super) static SECTIONS: [&Section; 13] = [
    &SERVER,
    &CLOCK,
    &LOG,
    &CONTROL,
    &STATISTICS,
    &LOCAL,
    &ACCESS,
    &KEYS,
    &SOURCE,
    &BROADCAST,
    &BROADCAST_CLIENT,
    &MANYCAST_SERVER,
    &MANYCAST_CLIENT,
];

/// Sockets and workers.
pub(super) static SERVER: Section = Section {
    name: "server",
    about: "Sockets, and the workers that answer on them.",
    presence: Presence::Always,
    settings: &[
        &LISTEN,
        &LISTEN_SMEARED,
        &SMEAR_S,
        &WORKERS,
        &CORES,
        &BACKEND,
        &URING_REPLIES,
        &SPREAD,
        &RECEIVE_BUFFER_BYTES,
        &WORKER_PRIORITY,
        &USER,
    ],
};

pub(super) static LISTEN: Setting<Texts> = Setting {
    key: "listen",
    about: "Addresses and UDP ports to answer on: exactly these, or the start fails. The port is \
            123 unless one follows; IPv6 goes in brackets then. Port 0 takes any free port.",
    kind: Texts {
        form: "addresses with a port from 0 to 65535",
        count: 1..=LISTEN_MAX,
        absent: "default: port 123 on every address of both families, or port 11123 with a note \
                 where 123 is not permitted",
        example: &["0.0.0.0:123", "[::]:123"],
    },
};

pub(super) static LISTEN_SMEARED: Setting<Texts> = Setting {
    key: "listen_smeared",
    about: "More addresses and ports, on which leap seconds are smeared: spread over hours, for \
            clients that cannot take one. Smeared time is up to half a second off UTC: never give \
            it to the pool, nor to a client that also asks servers that do not smear. Replies are \
            marked by the reference ID 254.x.y.z.",
    kind: Texts {
        form: "addresses with a port from 0 to 65535",
        count: 1..=LISTEN_MAX,
        absent: "default: leap seconds are not smeared",
        example: &["192.0.2.1:11123"],
    },
};

pub(super) static SMEAR_S: Setting<Seconds> = Setting {
    key: "smear_s",
    about: "How long a leap second is smeared, half of it before midnight. All servers of a client \
            must do the same; 86400, noon to noon UTC, is what the public clouds do.",
    kind: Seconds { range: 3600.0..=172_800.0, default: 86_400.0 },
};

pub(super) static WORKERS: Setting<Whole> = Setting {
    key: "workers",
    about: "Workers at most; each has a core to itself, so there are never more than cores this \
            process may use. 0 is one for each of those.",
    kind: Whole { unit: "threads", range: 0..=CORES_MAX as i64, default: 0 },
};

pub(super) static CORES: Setting<Wholes> = Setting {
    key: "cores",
    about: "The cores to run on, one worker each. Give `workers` or `cores`, not two that differ.",
    kind: Wholes {
        form: "core numbers, each among those this process may use",
        count: 1..=CORES_MAX,
        absent: "default: the first `workers` cores this process may use",
        example: &[0],
    },
};

pub(super) static BACKEND: Setting<Choice<Backend>> = Setting {
    key: "backend",
    about: "How datagrams are carried. \"auto\" is io_uring where kernel and container allow it, \
            else recvmmsg and sendmmsg; \"uring\" and \"mmsg\" insist, and fail to start where \
            impossible.",
    kind: Choice { default: Backend::Auto },
};

pub(super) static URING_REPLIES: Setting<Choice<UringReplies>> = Setting {
    key: "uring_replies",
    about: "How replies leave when requests come by io_uring: through the \"ring\" too, by \
            \"sendmmsg\", or \"auto\", which is the one that measured faster.",
    kind: Choice { default: UringReplies::Auto },
};

pub(super) static SPREAD: Setting<Choice<Spread>> = Setting {
    key: "spread",
    about: "Which worker gets a packet. \"source-address\" keeps each client on one worker; \
            \"cpu\" is the core that received it (sound only if the NIC hashes addresses, not \
            ports); \"kernel\" is by address and port as in the kernel's own hash, which scatters a client \
            over all workers.",
    kind: Choice { default: Spread::SourceAddress },
};

pub(super) static RECEIVE_BUFFER_BYTES: Setting<Whole> = Setting {
    key: "receive_buffer_bytes",
    about: "Receive buffer of each socket. A burst that outruns the workers waits there; the \
            default holds 200 to 600 requests, by network card; more only makes late answers.",
    kind: Whole { unit: "bytes", range: 65_536..=67_108_864, default: 262_144 },
};

pub(super) static WORKER_PRIORITY: Setting<Whole> = Setting {
    key: "worker_priority",
    about: "Real-time priority (SCHED_FIFO) of the workers; 0 is ordinary scheduling. Above the \
            NIC's threaded NAPI it keeps answers coming in an overload. Needs CAP_SYS_NICE.",
    kind: Whole { unit: "priority", range: 0..=99, default: 0 },
};

pub(super) static USER: Setting<Text> = Setting {
    key: "user",
    about: "User to become once the sockets are open. Needs to be started as root.",
    kind: Text {
        form: "a user name of 1 to 32 characters",
        absent: "default: stay the user that started it",
        example: "timeball",
    },
};

/// How the time is kept.
pub(super) static CLOCK: Section = Section {
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

pub(super) static STEERING: Setting<Choice<Steering>> = Setting {
    key: "steering",
    about: "What is corrected: \"virtual\" only the time that is served, the kernel clock is never \
            touched and no privilege needed; \"kernel\" the kernel clock too, which needs \
            CAP_SYS_TIME and a source.",
    kind: Choice { default: Steering::Virtual },
};

pub(super) static DRIFT_FILE: Setting<Text> = Setting {
    key: "drift_file",
    about: "Where the clock's frequency error is kept between runs. Files of ntpd and chronyd are \
            read.",
    kind: Text {
        form: "an absolute path",
        absent: "default: not kept",
        example: "/var/lib/timeball/drift",
    },
};

pub(super) static STATE_FILE: Setting<Text> = Setting {
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

pub(super) static STEP_THRESHOLD_S: Setting<Seconds> = Setting {
    key: "step_threshold_s",
    about: "An offset above this is stepped, below it slewed (RFC 5905: STEPT).",
    kind: Seconds { range: 0.001..=1000.0, default: 0.128 },
};

pub(super) static STEP_LIMIT: Setting<Whole> = Setting {
    key: "step_limit",
    about: "How many updates of the clock after the start may step it; later ones slew, however \
            large they are, at up to 10 %. 0 never steps, -1 always may.",
    kind: Whole { unit: "updates", range: -1..=1_000_000, default: -1 },
};

pub(super) static MAX_ROOT_DISTANCE_S: Setting<Seconds> = Setting {
    key: "max_root_distance_s",
    about: "When the bound on the error passes this, the server says that it is not synchronised \
            (RFC 5905: MAXDIST).",
    kind: Seconds { range: 0.001..=16.0, default: 1.5 },
};

pub(super) static PANIC_THRESHOLD_S: Setting<Seconds> = Setting {
    key: "panic_threshold_s",
    about: "An offset above this is not believed, except at the start (RFC 5905: PANICT); 0 \
            believes any.",
    kind: Seconds { range: 0.0..=1e9, default: 1000.0 },
};

pub(super) static LEAP_FILE: Setting<Text> = Setting {
    key: "leap_file",
    about: "The list of leap seconds of IERS or NIST (leap-seconds.list), read again when it \
            changes. Until it expires it counts for more than what sources say.",
    kind: Text {
        form: "an absolute path",
        absent: "default: a majority of sources is believed at the end of June and December",
        example: "/usr/share/zoneinfo/leap-seconds.list",
    },
};

pub(super) static LEAP_SECOND: Setting<Choice<LeapMode>> = Setting {
    key: "leap_second",
    about: "How the kernel clock takes a leap second when it is steered: the \"kernel\" is told and \
            does it, or it is \"step\"ped or \"slew\"ed afterwards. Served time always takes it at \
            its instant.",
    kind: Choice { default: LeapMode::Kernel },
};

/// What is logged.
pub(super) static LOG: Section = Section {
    name: "log",
    about: "What is logged.",
    presence: Presence::Always,
    settings: &[&LEVEL],
};

pub(super) static LEVEL: Setting<Choice<LogLevel>> = Setting {
    key: "level",
    about: "The least important message that is still logged. Packets are counted, never logged.",
    kind: Choice { default: LogLevel::Info },
};

/// Who may ask the server about itself.
pub(super) static CONTROL: Section = Section {
    name: "control",
    about: "Who may ask the server about itself.",
    presence: Presence::Always,
    settings: &[&CONTROL_SOCKET],
};

pub(super) static CONTROL_SOCKET: Setting<Text> = Setting {
    key: "control_socket",
    about: "Unix socket at which `timeball status` and `timeball why` ask. Its owner is the user the \
            server runs as, its mode 0660.",
    kind: Text {
        form: "an absolute path",
        absent: "default: control.sock in the service manager's RUNTIME_DIRECTORY, in /run/timeball, \
                 or in $XDG_RUNTIME_DIR/timeball, wherever the first can be made",
        example: "/run/timeball/control.sock",
    },
};

/// The local clock.
pub(super) static LOCAL: Section = Section {
    name: "local",
    about: "The local clock: serve the kernel clock as it stands. Without any [[source]] it is \
            served at once, whether this section is there or not; with sources, this section makes \
            it the fallback when they have all failed.",
    presence: Presence::Optional,
    settings: &[&STRATUM, &WAIT_S],
};

pub(super) static STRATUM: Setting<Whole> = Setting {
    key: "stratum",
    about: "The stratum announced: high enough that no client prefers it to a real server.",
    kind: Whole { unit: "servers from a reference clock", range: 1..=15, default: 10 },
};

pub(super) static WAIT_S: Setting<Seconds> = Setting {
    key: "wait_s",
    about: "How long the sources have to answer, after the start, before the local clock is \
            served.",
    kind: Seconds { range: 0.0..=3600.0, default: 10.0 },
};

/// One access rule.
pub(super) static ACCESS: Section = Section {
    name: "access",
    about: "Who may have what; repeat for each network. The rule for the smallest network counts, \
            whatever the order. Whom no rule is about may have the time, and on this machine itself \
            (127.0.0.0/8 and ::1) query too.",
    presence: Presence::Repeated,
    settings: &[&NETWORK, &ALLOW, &REQUIRE, &FROM_PORT_123],
};

pub(super) static NETWORK: Setting<Text> = Setting {
    key: "network",
    about: "Whom the rule is about: a network, an address, a host by its name (looked up again from \
            time to time), \"default\" for everybody else, or \"source\" for the servers that this \
            one has its time from.",
    kind: Text {
        form: "a network as ADDRESS/LENGTH, an address, a host name, \"default\" or \"source\"",
        absent: "required",
        example: "192.0.2.0/24",
    },
};

pub(super) static ALLOW: Setting<Texts> = Setting {
    key: "allow",
    about: "What they may have: \"time\", and \"query\": the state of this server, by ntpq. An empty \
            list is nothing at all.",
    kind: Texts {
        form: "of \"time\" and \"query\"",
        count: 0..=2,
        absent: "default: \"time\" alone",
        example: &["time"],
    },
};

pub(super) static REQUIRE: Setting<Texts> = Setting {
    key: "require",
    about: "What a request for the time must have: \"key\", a valid authentication code; \
            \"version-4\", the current version of the protocol.",
    kind: Texts {
        form: "of \"key\" and \"version-4\"",
        count: 1..=2,
        absent: "default: nothing",
        example: &["version-4"],
    },
};

pub(super) static FROM_PORT_123: Setting<Flag> = Setting {
    key: "from_port_123",
    about: "The rule is only about packets from UDP port 123, as servers send them; there it goes \
            before the rule for the same network without this.",
    kind: Flag { default: false },
};

/// The symmetric keys.
pub(super) static KEYS: Section = Section {
    name: "keys",
    about: "Symmetric keys. A request signed with one of them is answered signed with the same; a \
            source with `key` is believed only when its replies are signed.",
    presence: Presence::Optional,
    settings: &[&KEY_FILE, &KEY_FORMAT, &TRUSTED],
};

pub(super) static KEY_FILE: Setting<Text> = Setting {
    key: "file",
    about: "The key file, read once at the start. It should be readable by root alone.",
    kind: Text { form: "an absolute path", absent: "required", example: "/etc/timeball/keys" },
};

pub(super) static KEY_FORMAT: Setting<Choice<KeyFormat>> = Setting {
    key: "format",
    about: "How a key without HEX: or ASCII: before it is meant: \"ntpd\" takes more than 20 \
            characters for hexadecimal, \"chrony\" takes any number for text.",
    kind: Choice { default: KeyFormat::Ntpd },
};

pub(super) static TRUSTED: Setting<Texts> = Setting {
    key: "trusted",
    about: "The keys of the file that count, by number; the others are as good as unknown.",
    kind: Texts {
        form: "key numbers from 1, or ranges of them",
        count: 1..=TRUSTED_MAX,
        absent: "default: all",
        example: &["4", "8", "10-19"],
    },
};

/// One upstream server.
pub(super) static SOURCE: Section = Section {
    name: "source",
    about: "An upstream server; repeat for each, up to 64. Four or more let a wrong one be \
            outvoted.",
    presence: Presence::Repeated,
    settings: &[&ADDRESS, &IBURST, &MIN_POLL, &MAX_POLL, &PREFER, &FAMILY, &KEY],
};

pub(super) static ADDRESS: Setting<Text> = Setting {
    key: "address",
    about: "Whom to ask: a name or an address, with a UDP port if it is not 123. A name is \
            resolved again when its server fails.",
    kind: Text {
        form: "a host name, IPv4 or IPv6 address, with or without a port from 1 to 65535",
        absent: "required",
        example: "ntp1.example.net",
    },
};

pub(super) static IBURST: Setting<Flag> = Setting {
    key: "iburst",
    about: "Send a burst at the start, and whenever the server does not answer.",
    kind: Flag { default: true },
};

pub(super) static MIN_POLL: Setting<Whole> = Setting {
    key: "min_poll",
    about: "Shortest polling interval. Below 6 (64 s) only for servers of your own.",
    kind: Whole { unit: "log2 of seconds", range: POLL_EXPONENTS, default: 6 },
};

pub(super) static MAX_POLL: Setting<Whole> = Setting {
    key: "max_poll",
    about: "Longest polling interval; not below `min_poll`.",
    kind: Whole { unit: "log2 of seconds", range: POLL_EXPONENTS, default: 10 },
};

pub(super) static PREFER: Setting<Flag> = Setting {
    key: "prefer",
    about: "Let this source win over other good ones; one source at most.",
    kind: Flag { default: false },
};

pub(super) static FAMILY: Setting<Choice<Family>> = Setting {
    key: "family",
    about: "Which addresses of a name to use.",
    kind: Choice { default: Family::Any },
};

pub(super) static KEY: Setting<Whole> = Setting {
    key: "key",
    about: "Number of the key that requests are signed with, and without which no reply is \
            believed; 0 is none.",
    kind: Whole { unit: "key number", range: 0..=u32::MAX as i64, default: 0 },
};

/// RFC 5905 section 7.3 has MAXPOLL 17; below its MINPOLL 4 is for tests and servers of one's own.
pub(super) const POLL_EXPONENTS: RangeInclusive<i64> = 0..=17;
/// Sockets are opened for each address and each worker.
const LISTEN_MAX: usize = 32;
/// One line of an ntp.conf holds fewer.
const TRUSTED_MAX: usize = 256;
/// As many cores as the largest machines have.
const CORES_MAX: usize = 1024;
/// As many as a list of networks of a whole country.
pub(super) const ACCESS_MAX: usize = 100_000;
/// Selection looks at every pair of sources.
pub(crate) const SOURCES_MAX: usize = 64;
