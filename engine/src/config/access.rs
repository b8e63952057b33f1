//! Access rules: whom they are about, and what they withhold.
//!
//! Must never: look a name up; that is for whoever puts the rules into force.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::BitOr;

use timeball_responder::{AccessRule, Network, Restrictions};

use super::address::Host;
use super::kind::{Setting, Texts};
use super::problem::Position;
use super::section::{Noted, SectionReader, Written, all};
use super::settings::{ACCESS_MAX, ALLOW, FROM_PORT_123, KISS, NETWORK, REQUIRE};

/// One access rule as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Access {
    /// Whom it is about.
    pub whom: Whom,
    /// It is only about packets from UDP port 123.
    pub from_ntp_port: bool,
    /// What they may not have.
    pub restrictions: Restrictions,
    /// Where the file says so.
    pub position: Position,
}

/// Whom an access rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whom {
    /// Everybody whom no other rule is about.
    Everybody,
    /// A network, or one address.
    Network(Network),
    /// The addresses of a DNS name.
    Name(String),
    /// The servers that this one has its time from, wherever they are.
    Sources,
}

impl Access {
    /// The rules for `networks`.
    pub fn rules(&self, networks: impl IntoIterator<Item = Network>) -> Vec<AccessRule> {
        let rule = |network| AccessRule {
            network,
            from_ntp_port: self.from_ntp_port,
            restrictions: self.restrictions,
        };
        networks.into_iter().map(rule).collect()
    }

    /// The words of `allow` and of `require` that say this.
    pub fn words(&self) -> [Vec<&'static str>; 2] {
        words_of(self.restrictions)
    }
}

/// The words of `allow` and of `require` that withhold this.
pub fn words_of(restrictions: Restrictions) -> [Vec<&'static str>; 2] {
    let chosen = |list: &[(&'static str, Restrictions)], there: bool| {
        let chosen = list.iter().filter(|(_, less)| restrictions.contains(*less) == there);
        chosen.map(|(word, _)| *word).collect()
    };
    [chosen(&ALLOWANCES, false), chosen(&REQUIREMENTS, true)]
}

/// Everybody, in both families.
pub fn everybody() -> [Network; 2] {
    let all = |address| Network::new(address, 0).expect("no bits are never too many");
    [all(Ipv4Addr::UNSPECIFIED.into()), all(Ipv6Addr::UNSPECIFIED.into())]
}

/// Reads every `[[access]]`.
pub(super) fn read_access(sections: &[SectionReader<'_, '_>]) -> Result<Vec<Access>, Noted> {
    if let Some(excess) = sections.get(ACCESS_MAX) {
        let cause = format!("{} access rules", sections.len());
        return Err(excess.note(excess.position, cause, format!("keep {ACCESS_MAX} at most")));
    }
    let rules = all(sections.iter().map(read_rule).collect())?;
    let mut first = HashMap::new();
    let mut flaw = None;
    for (section, rule) in sections.iter().zip(&rules) {
        let about = (rule.whom.clone(), rule.from_ntp_port);
        if let Some(line) = first.insert(about, rule.position.line) {
            let cause = format!("a rule for the same network is on line {line} already");
            flaw = Some(section.note(rule.position, cause, "keep one of them"));
        }
    }
    flaw.map_or(Ok(rules), Err)
}

fn read_rule(section: &SectionReader<'_, '_>) -> Result<Access, Noted> {
    let whom = read_whom(section);
    let from_ntp_port = section.flag(&FROM_PORT_123);
    let kiss = section.flag(&KISS);
    let allowed = read_words(section, &ALLOW, &ALLOWANCES);
    let required = read_words(section, &REQUIRE, &REQUIREMENTS);
    let (whom, allowed, required) = (whom?, allowed?, required?);
    let withheld = match &allowed {
        Some(allowed) => ALLOWANCES
            .map(|(_, without)| without)
            .into_iter()
            .filter(|without| !allowed.value.contains(without))
            .collect(),
        None => vec![Restrictions::NO_QUERY, Restrictions::LIMITED],
    };
    let mut restrictions = withheld.into_iter().fold(Restrictions::NONE, BitOr::bitor);
    if let Some(required) = required {
        if restrictions.contains(Restrictions::NO_TIME) {
            let cause = format!("`{}` of who may not have the time", REQUIRE.key);
            let remedy = "add \"time\" to `allow`, or leave `require` out";
            return Err(section.note(required.position, cause, remedy));
        }
        restrictions = required.value.into_iter().fold(restrictions, BitOr::bitor);
    }
    if kiss?.value {
        restrictions = restrictions | Restrictions::KISSED;
    }
    let from_ntp_port = from_ntp_port?.value;
    Ok(Access { whom: whom.value, from_ntp_port, restrictions, position: whom.position })
}

fn read_whom(section: &SectionReader<'_, '_>) -> Result<Written<Whom>, Noted> {
    let Some(network) = section.text(&NETWORK)? else {
        let remedy = "add `network = \"…\"` to this [[access]]";
        return Err(section.note(section.position, "an access rule without `network`", remedy));
    };
    match Whom::parse(network.value) {
        Ok(value) => Ok(Written { value, position: network.position }),
        Err(cause) => {
            let cause = format!("{:?} {cause}", network.value);
            Err(section.note(network.position, cause, NETWORK_FORM))
        }
    }
}

impl Whom {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "default" => return Ok(Self::Everybody),
            "source" => return Ok(Self::Sources),
            _ => {}
        }
        if text.contains('/') || text.parse::<IpAddr>().is_ok() {
            return parse_network(text).map(Self::Network);
        }
        Host::name(text).map(Self::Name).ok_or("is no network, address or host name")
    }
}

/// A network as ADDRESS/LENGTH, or one address; else what is wrong with it.
pub(super) fn parse_network(text: &str) -> Result<Network, &'static str> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse().map(Network::host).map_err(|_| "is no network or address");
    };
    let address: IpAddr = address.parse().map_err(|_| "does not begin with an IP address")?;
    let digits = length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|_| digits);
    match length.and_then(|length| Network::new(address, length)) {
        Some(network) if network.address() != address => Err("has bits after its prefix"),
        Some(network) => Ok(network),
        None => Err("does not end in a prefix length"),
    }
}

impl fmt::Display for Whom {
    /// As in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("default"),
            Self::Network(network) => network.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Sources => f.write_str("source"),
        }
    }
}

/// The meanings of the words listed under `setting`.
fn read_words(
    section: &SectionReader<'_, '_>,
    setting: &'static Setting<Texts>,
    words: &[(&str, Restrictions)],
) -> Result<Option<Written<Vec<Restrictions>>>, Noted> {
    let Some(listed) = section.texts(setting)? else { return Ok(None) };
    let meaning = |entry: Written<&str>| {
        let found = words.iter().find(|(word, _)| *word == entry.value);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let cause = format!("{:?} is not a choice", entry.value);
            let quoted: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            section.note(entry.position, cause, format!("write {}", quoted.join(" or ")))
        })
    };
    let value = all(listed.value.into_iter().map(meaning).collect())?;
    Ok(Some(Written { value, position: listed.position }))
}

/// The words of `allow`, each with what is withheld where it is missing.
const ALLOWANCES: [(&str, Restrictions); 3] = [
    ("time", Restrictions::NO_TIME),
    ("query", Restrictions::NO_QUERY),
    ("unlimited", Restrictions::LIMITED),
];
/// The words of `require`, each with what it withholds.
const REQUIREMENTS: [(&str, Restrictions); 2] =
    [("key", Restrictions::KEYED_ONLY), ("version-4", Restrictions::CURRENT_VERSION_ONLY)];
const NETWORK_FORM: &str =
    "write \"192.0.2.0/24\", \"2001:db8::/32\", a host name, \"default\" or \"source\"";
