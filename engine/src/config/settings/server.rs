//! Settings of the sockets and the workers.
//!
//! Must never: leave a setting without a unit (where it is a number), a range and a default.

use crate::config::kind::{
    Choice, Presence, Seconds, Section, Setting, Text, Texts, Whole, Wholes,
};
use crate::config::plan::{Backend, Spread, Transmit, UringReplies};

/// Sockets and workers.
pub(in crate::config) static SERVER: Section = Section {
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
        &TRANSMIT,
        &SPREAD,
        &RECEIVE_BUFFER_BYTES,
        &WORKER_PRIORITY,
        &USER,
    ],
};

pub(in crate::config) static LISTEN: Setting<Texts> = Setting {
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

pub(in crate::config) static LISTEN_SMEARED: Setting<Texts> = Setting {
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

pub(in crate::config) static SMEAR_S: Setting<Seconds> = Setting {
    key: "smear_s",
    about: "How long a leap second is smeared, half of it before midnight. All servers of a client \
            must do the same; 86400, noon to noon UTC, is what the public clouds do.",
    kind: Seconds { range: 3600.0..=172_800.0, default: 86_400.0 },
};

pub(in crate::config) static WORKERS: Setting<Whole> = Setting {
    key: "workers",
    about: "Workers at most; each has a core to itself, so there are never more than cores this \
            process may use. 0 is one for each of those.",
    kind: Whole { unit: "threads", range: 0..=CORES_MAX as i64, default: 0 },
};

pub(in crate::config) static CORES: Setting<Wholes> = Setting {
    key: "cores",
    about: "The cores to run on, one worker each. Give `workers` or `cores`, not two that differ.",
    kind: Wholes {
        form: "core numbers, each among those this process may use",
        count: 1..=CORES_MAX,
        absent: "default: the first `workers` cores this process may use",
        example: &[0],
    },
};

pub(in crate::config) static BACKEND: Setting<Choice<Backend>> = Setting {
    key: "backend",
    about: "How datagrams are carried. \"auto\" is io_uring where kernel and container allow it, \
            else recvmmsg and sendmmsg; \"uring\" and \"mmsg\" insist, and fail to start where \
            impossible.",
    kind: Choice { default: Backend::Auto },
};

pub(in crate::config) static URING_REPLIES: Setting<Choice<UringReplies>> = Setting {
    key: "uring_replies",
    about: "How replies leave when requests come by io_uring: through the \"ring\" too, by \
            \"sendmmsg\", or \"auto\", which is the one that measured faster.",
    kind: Choice { default: UringReplies::Auto },
};

pub(in crate::config) static TRANSMIT: Setting<Choice<Transmit>> = Setting {
    key: "transmit",
    about: "How replies leave: by their \"socket\", or around the kernel's UDP and IP layers as Ethernet \
            frames, which costs less. \"xdp\" is by AF_XDP, \"packet\" by AF_PACKET. Netfilter's output \
            rules (NAT among them), queueing disciplines and IPsec do not apply to such replies. A reply \
            without a plain way goes by its socket. Needs CAP_NET_RAW at the start.",
    kind: Choice { default: Transmit::Socket },
};

pub(in crate::config) static SPREAD: Setting<Choice<Spread>> = Setting {
    key: "spread",
    about: "Which worker gets a packet. \"source-address\" keeps each client on one worker; \
            \"cpu\" is the core that received it (sound only if the NIC hashes addresses, not \
            ports); \"kernel\" is by address and port as in the kernel's own hash, which scatters a client \
            over all workers.",
    kind: Choice { default: Spread::SourceAddress },
};

pub(in crate::config) static RECEIVE_BUFFER_BYTES: Setting<Whole> = Setting {
    key: "receive_buffer_bytes",
    about: "Receive buffer of each socket. A burst that outruns the workers waits there; the \
            default holds 200 to 600 requests, by network card; more only makes late answers.",
    kind: Whole { unit: "bytes", range: 65_536..=67_108_864, default: 262_144 },
};

pub(in crate::config) static WORKER_PRIORITY: Setting<Whole> = Setting {
    key: "worker_priority",
    about: "Real-time priority (SCHED_FIFO) of the workers; 0 is ordinary scheduling. Above the \
            NIC's threaded NAPI it keeps answers coming in an overload. Needs CAP_SYS_NICE.",
    kind: Whole { unit: "priority", range: 0..=99, default: 0 },
};

pub(in crate::config) static USER: Setting<Text> = Setting {
    key: "user",
    about: "User to become once the sockets are open. Needs to be started as root.",
    kind: Text {
        form: "a user name of 1 to 32 characters",
        absent: "default: stay the user that started it",
        example: "timeball",
    },
};

/// Sockets are opened for each address and each worker.
const LISTEN_MAX: usize = 32;
/// As many cores as the largest machines have.
const CORES_MAX: usize = 1024;
