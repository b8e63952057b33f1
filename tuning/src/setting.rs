//! One thing of a machine that can be read and written: the only kind of thing that is ever changed.
//!
//! Must never: have a value that can be written but not read: it could not be put back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::scene::{Thread, napi_threads};
use crate::{Host, Unseen};

/// A thing that can be set, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Setting {
    /// A file of one value under `/proc/sys` or `/sys`.
    File {
        /// Where.
        path: String,
    },
    /// Packets that the receive ring of a network device holds.
    Ring {
        /// The device.
        interface: String,
    },
    /// Queues of a network device, each for both directions.
    Queues {
        /// The device.
        interface: String,
    },
    /// How long a network device gathers packets before it interrupts: `adaptive=off usecs=50`.
    Coalescing {
        /// The device.
        interface: String,
    },
    /// By what a network device spreads packets over its queues, in `ethtool`'s letters: `sd` is source and
    /// destination address, `sdfn` the ports, too.
    HashFields {
        /// The device.
        interface: String,
        /// `udp4` or `udp6`.
        flow: String,
    },
    /// Generic receive offload of a network device, without which a veth has no NAPI: `on` or `off`.
    ReceiveOffload {
        /// The device.
        interface: String,
    },
    /// Core and priority of each thread that polls a network device: `0 fifo 10, 1 fifo 10`. When
    /// written with fewer
    /// entries than there are threads, they are taken in turns.
    NapiThreads {
        /// The device.
        interface: String,
    },
    /// Whether NTP is kept out of the connection table: `present` or `absent`.
    NoTrack,
}

impl Setting {
    /// A file of one value.
    pub fn file(path: impl Into<String>) -> Self {
        Self::File { path: path.into() }
    }

    /// The value now.
    ///
    /// # Errors
    /// Why it cannot be seen.
    pub fn read(&self, host: &dyn Host) -> Result<String, Unseen> {
        match self {
            Self::File { path } => host.read(path),
            Self::Ring { interface } => current(&host.ask(&["ethtool", "-g", interface])?, "RX"),
            Self::Queues { interface } => {
                current(&host.ask(&["ethtool", "-l", interface])?, "Combined")
            }
            Self::Coalescing { interface } => coalescing(&host.ask(&["ethtool", "-c", interface])?),
            Self::HashFields { interface, flow } => {
                hash_fields(&host.ask(&["ethtool", "-n", interface, "rx-flow-hash", flow])?)
            }
            Self::ReceiveOffload { interface } => {
                let text = host.ask(&["ethtool", "-k", interface])?;
                let value = field(&text, "generic-receive-offload");
                let value = value.and_then(|value| value.split(' ').next());
                value.map(str::to_owned).ok_or_else(|| Unseen::Absent(self.to_string()))
            }
            Self::NapiThreads { interface } => {
                let threads = napi_threads(host, interface)?;
                if threads.is_empty() {
                    return Err(Unseen::Absent(self.to_string()));
                }
                Ok(threads.iter().map(Thread::placing).collect::<Vec<_>>().join(", "))
            }
            Self::NoTrack => match host.ask(&["nft", "list", "table", "inet", NOTRACK_TABLE]) {
                Ok(_) => Ok(PRESENT.to_owned()),
                Err(Unseen::Failed(why)) if why.contains("No such file") => Ok("absent".to_owned()),
                Err(other) => Err(other),
            },
        }
    }

    /// Sets it to `value`, which is one that [`Setting::read`] can return.
    ///
    /// # Errors
    /// What the machine says against it.
    pub fn write(&self, host: &dyn Host, value: &str) -> Result<(), Unseen> {
        match self {
            Self::File { path } => host.write(path, value),
            Self::Ring { interface } => host.run(&["ethtool", "-G", interface, "rx", value], ""),
            Self::Queues { interface } => {
                host.run(&["ethtool", "-L", interface, "combined", value], "")
            }
            Self::Coalescing { interface } => {
                let mut command = vec!["ethtool", "-C", interface];
                for word in value.split(' ') {
                    match word.split_once('=') {
                        Some(("adaptive", value)) => command.extend(["adaptive-rx", value]),
                        Some((_, value)) => command.extend(["rx-usecs", value]),
                        None => return Err(Unseen::Failed(format!("\"{value}\" means nothing"))),
                    }
                }
                host.run(&command, "")
            }
            Self::HashFields { interface, flow } => {
                host.run(&["ethtool", "-N", interface, "rx-flow-hash", flow, value], "")
            }
            Self::ReceiveOffload { interface } => {
                host.run(&["ethtool", "-K", interface, "gro", value], "")
            }
            Self::NapiThreads { interface } => place_threads(host, interface, value),
            Self::NoTrack if value == PRESENT => host.run(&["nft", "-f", "-"], NOTRACK_RULES),
            Self::NoTrack => host.run(&["nft", "delete", "table", "inet", NOTRACK_TABLE], ""),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } => f.write_str(path),
            Self::Ring { interface } => write!(f, "{interface}'s receive ring"),
            Self::Queues { interface } => write!(f, "{interface}'s number of queues"),
            Self::Coalescing { interface } => write!(f, "{interface}'s interrupt coalescing"),
            Self::HashFields { interface, flow } => write!(f, "{interface}'s {flow} hash fields"),
            Self::ReceiveOffload { interface } => write!(f, "{interface}'s receive offload (gro)"),
            Self::NapiThreads { interface } => write!(f, "{interface}'s NAPI threads"),
            Self::NoTrack => f.write_str("nftables table timeball_notrack"),
        }
    }
}

/// The value of `name: value`, in the first line that has it.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let named = |line: &'a str| line.trim().strip_prefix(name)?.strip_prefix(':');
    text.lines().find_map(named).map(str::trim)
}

/// The value of `name` below the heading under which `ethtool` puts what is in force.
fn current(text: &str, name: &str) -> Result<String, Unseen> {
    let now = text.split_once("Current hardware settings:").map_or("", |(_, now)| now);
    known(field(now, name))
        .ok_or_else(|| Unseen::Absent(format!("a setting \"{name}\" of this device")))
}

/// The most that a device allows of `name`.
pub(crate) fn maximum(text: &str, name: &str) -> Option<usize> {
    let (most, _) = text.split_once("Current hardware settings:")?;
    known(field(most, name))?.parse().ok()
}

fn coalescing(text: &str) -> Result<String, Unseen> {
    let adaptive = field(text, "Adaptive RX").and_then(|rest| rest.split_whitespace().next());
    let adaptive = known(adaptive).map(|value| format!("adaptive={value}"));
    let usecs = known(field(text, "rx-usecs")).map(|value| format!("usecs={value}"));
    let words: Vec<_> = adaptive.into_iter().chain(usecs).collect();
    if words.is_empty() {
        return Err(Unseen::Absent("interrupt coalescing of this device".to_owned()));
    }
    Ok(words.join(" "))
}

fn known(value: Option<&str>) -> Option<String> {
    value.filter(|value| *value != "n/a").map(str::to_owned)
}

fn hash_fields(text: &str) -> Result<String, Unseen> {
    const FIELDS: [(&str, char); 4] =
        [("IP SA", 's'), ("IP DA", 'd'), ("L4 bytes 0 & 1", 'f'), ("L4 bytes 2 & 3", 'n')];
    let has = |name: &str| text.lines().any(|line| line.trim().starts_with(name));
    let letters: String =
        FIELDS.iter().filter(|(name, _)| has(name)).map(|(_, letter)| letter).collect();
    if letters.is_empty() {
        return Err(Unseen::Absent("a hash of addresses in this device".to_owned()));
    }
    Ok(letters)
}

fn place_threads(host: &dyn Host, interface: &str, value: &str) -> Result<(), Unseen> {
    let places: Vec<_> = value.split(", ").collect();
    for (thread, place) in napi_threads(host, interface)?.iter().zip(places.iter().cycle()) {
        let words: Vec<_> = place.split(' ').collect();
        let &[cores, policy, priority] = words.as_slice() else {
            return Err(Unseen::Failed(format!("\"{place}\" is not: CORES POLICY PRIORITY")));
        };
        let id = thread.id.to_string();
        host.run(&["taskset", "-p", "-c", cores, &id], "")?;
        host.run(&["chrt", &format!("--{policy}"), "-p", priority, &id], "")?;
    }
    Ok(())
}

const PRESENT: &str = "present";
const NOTRACK_TABLE: &str = "timeball_notrack";
const NOTRACK_RULES: &str = include_str!("../nftables/timeball-notrack.nft");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordedHost;

    const RING: &str = "== ask ethtool -g eth0\nRing parameters for eth0:\nPre-set maximums:\nRX:\t\t4096\n\
        TX:\t\t4096\nCurrent hardware settings:\nRX:\t\t2048\nTX:\t\t512\n";

    fn read(setting: &Setting, recording: &str) -> Result<String, Unseen> {
        setting.read(&RecordedHost::parse("a.host", recording).unwrap())
    }

    #[test]
    fn what_ethtool_prints_is_understood() {
        let interface = || "eth0".to_owned();
        let ring = Setting::Ring { interface: interface() };
        assert_eq!(read(&ring, RING).unwrap(), "2048");
        assert_eq!(maximum(RING, "RX"), Some(4096));
        let coalescing = Setting::Coalescing { interface: interface() };
        let text = "== ask ethtool -c eth0\nAdaptive RX: on  TX: off\nrx-usecs: 8\n";
        assert_eq!(read(&coalescing, text).unwrap(), "adaptive=on usecs=8");
        let text = "== ask ethtool -c eth0\nAdaptive RX: n/a  TX: n/a\nrx-usecs: n/a\n";
        assert!(read(&coalescing, text).is_err());
        let fields = Setting::HashFields { interface: interface(), flow: "udp4".into() };
        let text = "== ask ethtool -n eth0 rx-flow-hash udp4\nUDP over IPV4 flows use these fields for \
            computing Hash flow key:\nIP SA\nIP DA\nL4 bytes 0 & 1 [TCP/UDP src port]\n";
        assert_eq!(read(&fields, text).unwrap(), "sdf");
        let offload = Setting::ReceiveOffload { interface: interface() };
        let text =
            "== ask ethtool -k eth0\nFeatures for eth0:\ngeneric-receive-offload: off [fixed]\n";
        assert_eq!(read(&offload, text).unwrap(), "off");
    }

    #[test]
    fn a_value_is_written_in_the_tool_s_own_words() {
        let host = RecordedHost::default();
        let interface = || "eth0".to_owned();
        Setting::Coalescing { interface: interface() }
            .write(&host, "adaptive=off usecs=0")
            .unwrap();
        Setting::HashFields { interface: interface(), flow: "udp6".into() }
            .write(&host, "sd")
            .unwrap();
        Setting::NoTrack.write(&host, "present").unwrap();
        Setting::NoTrack.write(&host, "absent").unwrap();
        let expected = [
            "ethtool -C eth0 adaptive-rx off rx-usecs 0",
            "ethtool -N eth0 rx-flow-hash udp6 sd",
            "nft -f -",
            "nft delete table inet timeball_notrack",
        ];
        assert_eq!(host.commands(), expected);
    }
}
