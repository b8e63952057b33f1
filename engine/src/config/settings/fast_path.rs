//! Settings of answering in the network driver.
//!
//! Must never: leave a setting without a unit (where it is a number), a range and a default.

use crate::config::fast_path::DriverMode;
use crate::config::kind::{Choice, Flag, Presence, Section, Setting, Texts};

/// Answering in the driver.
pub(in crate::config) static FAST_PATH: Section = Section {
    name: "fast_path",
    about: "Plain requests answered in the network driver, by an XDP program that reads the workers' own \
            time; all other packets go to the workers. [[access]] and [limits] hold there as well. \
            Netfilter does not see what is answered there, nor does tcpdump on this machine. Needs Linux \
            6.1, and CAP_BPF and CAP_NET_ADMIN at the start; without, workers answer everything, and one \
            line says why.",
    presence: Presence::Always,
    settings: &[&INTERFACES, &DRIVER_MODE, &REPLACE_FOREIGN],
};

pub(in crate::config) static INTERFACES: Setting<Texts> = Setting {
    key: "interfaces",
    about: "The Ethernet interfaces to answer on in the driver. Not a bond, a bridge, a VLAN interface or \
            a port of one; where VLANs are on top, the card must leave their tags on.",
    kind: Texts {
        form: "names of interfaces",
        count: 1..=INTERFACES_MAX,
        absent: "default: none; workers answer everything",
        example: &["eth0"],
    },
};

pub(in crate::config) static DRIVER_MODE: Setting<Choice<DriverMode>> = Setting {
    key: "mode",
    about: "Where the program runs: \"native\", in the driver itself, or not at all where the driver \
            cannot; \"generic\", in the kernel behind any driver, which is slower, yet still faster than \
            the sockets.",
    kind: Choice { default: DriverMode::Native },
};

pub(in crate::config) static REPLACE_FOREIGN: Setting<Flag> = Setting {
    key: "replace_foreign",
    about: "Whether another XDP program found on an interface at the start is taken off. One that some \
            process holds by a link stays in any case.",
    kind: Flag { default: false },
};

/// Few machines have more ports, and each is looked after.
const INTERFACES_MAX: usize = 32;
