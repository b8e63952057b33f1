//! `[metrics]`: its settings, what they become, and how they are read.
//!
//! Must never: open the page to anybody the file does not name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use timeball_wire::Network;
use toml::de::DeTable;

use super::access::parse_network;
use super::kind::{Presence, Section, Setting, Texts};
use super::parse::read_addresses;
use super::section::{Document, Noted, SectionReader, all};

/// The page of metrics, and who may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// TCP addresses; never empty, none twice.
    pub listen: Vec<SocketAddr>,
    /// Who may read it besides this machine.
    pub allow: Vec<Network>,
}

impl Metrics {
    /// Whether the host at `address` may read it.
    pub fn admits(&self, address: IpAddr) -> bool {
        // A socket for both families shows IPv4 as mapped.
        let address = address.to_canonical();
        address.is_loopback() || self.allow.iter().any(|network| network.contains(address))
    }

    /// For programs, by the names of the file.
    pub(crate) fn to_json(&self) -> Value {
        let listen: Vec<_> = self.listen.iter().map(ToString::to_string).collect();
        let allow: Vec<_> = self.allow.iter().map(ToString::to_string).collect();
        json!({ "listen": listen, "allow": allow })
    }
}

impl fmt::Display for Metrics {
    /// As in `timeball check`: who is told where.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listen: Vec<_> = self.listen.iter().map(ToString::to_string).collect();
        let allow = self.allow.iter().map(ToString::to_string);
        let allow: Vec<_> = std::iter::once("this machine".to_owned()).chain(allow).collect();
        write!(f, "metrics at {} to {}", listen.join(", "), allow.join(", "))
    }
}

/// The page of metrics.
pub(super) static METRICS: Section = Section {
    name: "metrics",
    about: "A page of metrics for Prometheus, by HTTP: /metrics; and /ready and /health for load \
            balancers. Without this section there is none.",
    presence: Presence::Optional,
    settings: &[&LISTEN, &ALLOW],
};

pub(super) static LISTEN: Setting<Texts> = Setting {
    key: "listen",
    about: "TCP addresses to answer on. Others than those of this machine alone (127.0.0.1, ::1) \
            need `allow`. [::] is both families.",
    kind: Texts {
        form: "addresses with a port",
        count: 1..=ADDRESSES_MAX,
        absent: "default: 127.0.0.1:9559",
        example: &["127.0.0.1:9559"],
    },
};

pub(super) static ALLOW: Setting<Texts> = Setting {
    key: "allow",
    about: "Who may read it besides this machine; anybody else gets a 403, and is counted.",
    kind: Texts {
        form: "networks as ADDRESS/LENGTH, or addresses",
        count: 1..=NETWORKS_MAX,
        absent: "default: nobody",
        example: &["192.0.2.0/24"],
    },
};

/// The section, if it is there.
pub(super) fn read_metrics<'t>(
    document: &Document<'t>,
    root: &DeTable<'t>,
) -> Result<Option<Metrics>, Noted> {
    let section = document.section(root, &METRICS)?;
    if !root.contains_key(METRICS.name) {
        return Ok(None);
    }
    let (listen, allow) = (read_listen(&section), read_allow(&section));
    let (listen, allow) = (listen?, allow?);
    if allow.is_empty()
        && let Some(open) = listen.iter().find(|address| !address.ip().is_loopback())
    {
        let position = section.texts(&LISTEN)?.map_or(section.position, |listed| listed.position);
        let cause = format!("{open} can be reached from elsewhere, and nobody there may read it");
        let remedy = format!("name who may, as in `allow = {:?}`", ALLOW.kind.example);
        return Err(section.note(position, cause, remedy));
    }
    Ok(Some(Metrics { listen, allow }))
}

fn read_listen(section: &SectionReader<'_, '_>) -> Result<Vec<SocketAddr>, Noted> {
    let listen = read_addresses(section, &LISTEN, &[])?;
    Ok(if listen.is_empty() { vec![(Ipv4Addr::LOCALHOST, PORT).into()] } else { listen })
}

fn read_allow(section: &SectionReader<'_, '_>) -> Result<Vec<Network>, Noted> {
    let Some(listed) = section.texts(&ALLOW)? else { return Ok(Vec::new()) };
    let networks = listed.value.into_iter().map(|entry| {
        parse_network(entry.value).map_err(|cause| {
            let cause = format!("{:?} {cause}", entry.value);
            section.note(entry.position, cause, "write it as \"192.0.2.0/24\" or \"192.0.2.7\"")
        })
    });
    all(networks.collect())
}

/// Nobody else's by common use.
const PORT: u16 = 9559;
const ADDRESSES_MAX: usize = 8;
const NETWORKS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::plan::{Machine, Plan};
    use super::*;

    fn parse(text: &str) -> Result<Option<Metrics>, String> {
        let plan = Plan::parse(Path::new("t.toml"), text, &Machine::with_cores(vec![0]));
        plan.map(|plan| plan.metrics).map_err(|problems| problems.to_string())
    }

    #[test]
    fn there_is_no_page_unless_asked_for_and_then_on_this_machine_alone() {
        assert_eq!(parse(""), Ok(None));
        let metrics = parse("[metrics]\n").unwrap().unwrap();
        assert_eq!(metrics.listen, ["127.0.0.1:9559".parse().unwrap()]);
        for (address, may) in [("127.0.0.9", true), ("::1", true), ("192.0.2.1", false)] {
            assert_eq!(metrics.admits(address.parse().unwrap()), may, "{address}");
        }
    }

    #[test]
    fn who_can_reach_it_has_to_be_named() {
        let listen = "[metrics]\nlisten = [\"127.0.0.1:1\", \"192.0.2.5:9559\"]\n";
        let error = parse(listen).unwrap_err();
        assert!(error.contains("t.toml:2:") && error.contains("192.0.2.5:9559"), "{error}");
        let allow = "allow = [\"198.51.100.0/24\", \"2001:db8::7\"]\n";
        let metrics = parse(&format!("{listen}{allow}")).unwrap().unwrap();
        for (address, may) in [
            ("198.51.100.255", true),
            ("::ffff:198.51.100.1", true),
            ("198.51.101.0", false),
            ("2001:db8::7", true),
            ("2001:db8::8", false),
            ("127.0.0.1", true),
        ] {
            assert_eq!(metrics.admits(address.parse().unwrap()), may, "{address}");
        }
        assert!(metrics.to_string().contains("to this machine, 198.51.100.0/24"), "{metrics}");
        let error = parse("[metrics]\nallow = [\"everybody\"]\n").unwrap_err();
        assert!(error.contains("\"everybody\""), "{error}");
    }
}
