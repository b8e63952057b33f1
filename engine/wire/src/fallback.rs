//! Why a reply that was to leave around the kernel's IP layer left by its socket.
//!
//! Must never: be a reason not to answer.

/// The reasons.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Fallback {
    /// The kernel's routes are not known, or have not been looked at for long.
    Unready,
    /// To this machine itself, or to nobody in particular.
    Local,
    /// The way is not a simple route: policy rules, several ways, a tunnel, or none at all.
    Routing,
    /// The device is no plain Ethernet (a VLAN, a bridge, a bond, a tunnel), or is down.
    Device,
    /// The kernel does not know the next hop's Ethernet address.
    Unknown,
    /// The kernel has not heard of the next hop for long and would ask whether it is still there.
    Stale,
    /// Longer than one packet may be on its way.
    Long,
    /// What sends around the IP layer had no room, or was refused.
    Full,
}

impl Fallback {
    /// All of them, in the order of [`IoTally::by_socket`](crate::IoTally::by_socket).
    pub const ALL: [Self; 8] = [
        Self::Unready,
        Self::Local,
        Self::Routing,
        Self::Device,
        Self::Unknown,
        Self::Stale,
        Self::Long,
        Self::Full,
    ];

    /// One word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unready => "unready",
            Self::Local => "local",
            Self::Routing => "routing",
            Self::Device => "device",
            Self::Unknown => "unknown",
            Self::Stale => "stale",
            Self::Long => "long",
            Self::Full => "full",
        }
    }
}

// The reasons index their counters by their discriminant.
const _: () = {
    let mut i = 0;
    while i < Fallback::ALL.len() {
        assert!(Fallback::ALL[i] as usize == i);
        i += 1;
    }
};
