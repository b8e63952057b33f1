//! Settings of who may have what, and by which keys they are known.
//!
//! Must never: leave a setting without a unit (where it is a number), a range and a default.

use crate::config::kind::{Choice, Flag, Presence, Section, Setting, Text, Texts};
use crate::config::plan::KeyFormat;

/// One access rule.
pub(in crate::config) static ACCESS: Section = Section {
    name: "access",
    about: "Who may have what; repeat for each network. The rule for the smallest network counts, \
            whatever the order. Whom no rule is about may have the time, and on this machine itself \
            (127.0.0.0/8 and ::1) query too, as often as they like.",
    presence: Presence::Repeated,
    settings: &[&NETWORK, &ALLOW, &REQUIRE, &FROM_PORT_123, &KISS],
};

pub(in crate::config) static NETWORK: Setting<Text> = Setting {
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

pub(in crate::config) static ALLOW: Setting<Texts> = Setting {
    key: "allow",
    about: "What they may have: \"time\"; \"query\", the state of this server, by ntpq; and the time \
            \"unlimited\", whatever [limits] says. An empty list is nothing at all.",
    kind: Texts {
        form: "of \"time\", \"query\" and \"unlimited\"",
        count: 0..=3,
        absent: "default: \"time\" alone",
        example: &["time"],
    },
};

pub(in crate::config) static REQUIRE: Setting<Texts> = Setting {
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

pub(in crate::config) static FROM_PORT_123: Setting<Flag> = Setting {
    key: "from_port_123",
    about: "The rule is only about packets from UDP port 123, as servers send them; there it goes \
            before the rule for the same network without this.",
    kind: Flag { default: false },
};

pub(in crate::config) static KISS: Setting<Flag> = Setting {
    key: "kiss",
    about: "Tell who asks more than [limits] allow, by a kiss of death (RATE) of at most ten a second \
            from each worker. Pool monitors mark a server down for it.",
    kind: Flag { default: false },
};

/// The symmetric keys.
pub(in crate::config) static KEYS: Section = Section {
    name: "keys",
    about: "Symmetric keys. A request signed with one of them is answered signed with the same; a \
            source with `key` is believed only when its replies are signed.",
    presence: Presence::Optional,
    settings: &[&KEY_FILE, &KEY_FORMAT, &TRUSTED],
};

pub(in crate::config) static KEY_FILE: Setting<Text> = Setting {
    key: "file",
    about: "The key file, read at the start and on reload. It should be readable by root alone.",
    kind: Text { form: "an absolute path", absent: "required", example: "/etc/timeball/keys" },
};

pub(in crate::config) static KEY_FORMAT: Setting<Choice<KeyFormat>> = Setting {
    key: "format",
    about: "How a key without HEX: or ASCII: before it is meant: \"ntpd\" takes more than 20 \
            characters for hexadecimal, \"chrony\" takes any number for text.",
    kind: Choice { default: KeyFormat::Ntpd },
};

pub(in crate::config) static TRUSTED: Setting<Texts> = Setting {
    key: "trusted",
    about: "The keys of the file that count, by number; the others are as good as unknown.",
    kind: Texts {
        form: "key numbers from 1, or ranges of them",
        count: 1..=TRUSTED_MAX,
        absent: "default: all",
        example: &["4", "8", "10-19"],
    },
};

/// One line of an ntp.conf holds fewer.
const TRUSTED_MAX: usize = 256;
/// As many as a list of networks of a whole country.
pub(in crate::config) const ACCESS_MAX: usize = 100_000;
