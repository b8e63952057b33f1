//! What is done for and on the local network: broadcasts sent and heard, servers found by asking a group.
//!
//! Must never: let anything unsigned be believed unless the file says so in so many words.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use timeball_time::Interval;
use toml::de::DeTable;

use super::address::parse_group;
use super::keys::read_key;
use super::kind::{Setting, Text, Texts};
use super::plan::{KeyUse, Listen};
use super::section::{Document, Noted, SectionReader, all};
use super::settings::*;

/// Everything about the local network.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Lan {
    /// Where broadcasts are sent.
    pub broadcasts: Vec<BroadcastTo>,
    /// Whether broadcasts are heard.
    pub listens: Option<BroadcastClient>,
    /// The groups in which requests are answered.
    pub answers: Vec<IpAddr>,
    /// The groups that are asked for servers.
    pub asks: Vec<ManycastClient>,
}

impl Lan {
    /// For programs, by the names of the file.
    pub(crate) fn to_json(&self) -> Value {
        let texts = |groups: &[IpAddr]| groups.iter().map(ToString::to_string).collect::<Vec<_>>();
        json!({
            "broadcast": self.broadcasts.iter().map(|to| json!({
                "address": to.target.to_string(),
                "poll": to.poll,
                "ttl": to.ttl,
                "key": to.key.map(|key| key.id.0),
            })).collect::<Vec<_>>(),
            "broadcast_client": self.listens.as_ref().map(|listens| json!({
                "groups": texts(&listens.groups),
                "delay_s": listens.delay.map_or(0.0, |delay| delay.as_secs_f64()),
                "authenticate": listens.authenticate,
            })),
            "manycast_server": { "groups": texts(&self.answers) },
            "manycast_client": self.asks.iter().map(|asked| json!({
                "address": asked.group.to_string(),
                "poll": asked.poll,
                "ttl": asked.ttl,
                "servers": asked.servers,
                "key": asked.key.map(|key| key.id.0),
            })).collect::<Vec<_>>(),
        })
    }

    /// True if servers may be heard of.
    pub fn finds_sources(&self) -> bool {
        self.listens.is_some() || !self.asks.is_empty()
    }

    /// True if there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.broadcasts.is_empty() && self.answers.is_empty() && !self.finds_sources()
    }

    /// Every use of a key.
    pub(super) fn key_uses(&self) -> impl Iterator<Item = KeyUse> {
        let sent = self.broadcasts.iter().filter_map(|broadcast| broadcast.key);
        sent.chain(self.asks.iter().filter_map(|asked| asked.key))
    }
}

impl fmt::Display for Lan {
    /// A line of a plan for each thing done.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signed = |key: Option<KeyUse>| {
            key.map_or("unsigned".to_owned(), |key| format!("signed with key {}", key.id))
        };
        for to in &self.broadcasts {
            let (seconds, key) = (1u32 << to.poll, signed(to.key));
            writeln!(f, "  broadcast   to {} every {seconds} s, {key}", to.target)?;
        }
        if let Some(BroadcastClient { groups, authenticate, .. }) = &self.listens {
            let whose = if *authenticate { "signed with a trusted key" } else { "from anybody" };
            let groups: String = groups.iter().map(|group| format!(" and {group}")).collect();
            writeln!(f, "  hear        broadcasts{groups}, {whose}")?;
        }
        for group in &self.answers {
            writeln!(f, "  be found    by who asks {group}")?;
        }
        for asked in &self.asks {
            let (servers, key) = (asked.servers, signed(asked.key));
            writeln!(f, "  find        {servers} servers by asking {}, {key}", asked.group)?;
        }
        Ok(())
    }
}

/// Where broadcasts are sent, how often, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastTo {
    /// A broadcast address, or a group.
    pub target: SocketAddr,
    /// log2 of seconds between two.
    pub poll: i8,
    /// Hops at the most.
    pub ttl: u8,
    /// The key they are signed with.
    pub key: Option<KeyUse>,
}

/// How broadcasts are heard.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BroadcastClient {
    /// Groups to join.
    pub groups: Vec<IpAddr>,
    /// How long a broadcast is on its way; `None` to measure it.
    pub delay: Option<Interval>,
    /// Whether a broadcast must be signed.
    pub authenticate: bool,
}

/// A group that is asked for servers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManycastClient {
    /// The group.
    pub group: SocketAddr,
    /// log2 of seconds between two requests until enough have answered.
    pub poll: i8,
    /// Hops at the most.
    pub ttl: u8,
    /// How many servers are enough.
    pub servers: usize,
    /// The key requests are signed with and answers must be; `None` if the file wants none.
    pub key: Option<KeyUse>,
}

pub(super) fn read_lan<'t>(document: &Document<'t>, root: &DeTable<'t>) -> Result<Lan, Noted> {
    let broadcasts = document
        .repeated(root, &BROADCAST)
        .and_then(|sections| all(sections.iter().map(read_broadcast).collect()));
    let listens = document
        .section(root, &BROADCAST_CLIENT)
        .and_then(|section| read_broadcast_client(&section));
    let answers = document
        .section(root, &MANYCAST_SERVER)
        .and_then(|section| read_groups(&section, &ANSWERED_GROUPS));
    let asks = document
        .repeated(root, &MANYCAST_CLIENT)
        .and_then(|sections| all(sections.iter().map(read_manycast_client).collect()));
    let (listens, answers) = (listens?, answers?);
    Ok(Lan {
        broadcasts: broadcasts?,
        listens: root.contains_key(BROADCAST_CLIENT.name).then_some(listens),
        answers,
        asks: asks?,
    })
}

fn read_broadcast(section: &SectionReader<'_, '_>) -> Result<BroadcastTo, Noted> {
    let target = required(section, &BROADCAST_ADDRESS, false);
    let (poll, ttl) = (section.whole(&BROADCAST_POLL), section.whole(&BROADCAST_TTL));
    let key = read_key(section);
    let (target, poll, ttl) = (target?, poll?.value as i8, ttl?.value as u8);
    Ok(BroadcastTo { target, poll, ttl, key: key? })
}

fn read_broadcast_client(section: &SectionReader<'_, '_>) -> Result<BroadcastClient, Noted> {
    let groups = read_groups(section, &HEARD_GROUPS);
    let (delay, authenticate) = (section.seconds(&DELAY_S), section.flag(&AUTHENTICATE));
    let delay = delay?.value;
    Ok(BroadcastClient {
        groups: groups?,
        delay: (delay != Interval::ZERO).then_some(delay),
        authenticate: authenticate?.value,
    })
}

fn read_manycast_client(section: &SectionReader<'_, '_>) -> Result<ManycastClient, Noted> {
    let group = required(section, &MANYCAST_ADDRESS, true);
    let (poll, ttl) = (section.whole(&BROADCAST_POLL), section.whole(&MANYCAST_TTL));
    let (servers, key) = (section.whole(&SERVERS), read_key(section));
    let authenticate = section.flag(&AUTHENTICATE);
    let (key, authenticate) = (key?, authenticate?);
    if key.is_none() && authenticate.value {
        let cause = "a manycast client without `key` would believe anybody";
        let remedy = "give it a key, or write `authenticate = false`";
        return Err(section.note(section.position, cause, remedy));
    }
    let (group, poll, ttl) = (group?, poll?.value as i8, ttl?.value as u8);
    Ok(ManycastClient { group, poll, ttl, servers: servers?.value as usize, key })
}

/// The address a section cannot do without.
fn required(
    section: &SectionReader<'_, '_>,
    setting: &Setting<Text>,
    multicast: bool,
) -> Result<SocketAddr, Noted> {
    let Some(address) = section.text(setting)? else {
        let remedy = format!("add `{} = {:?}`", setting.key, setting.kind.example);
        return Err(section.note(section.position, "the address is missing", remedy));
    };
    let group = parse_group(address.value, Listen::PORT)
        .filter(|group| group.ip().is_multicast() || (!multicast && group.is_ipv4()));
    group.ok_or_else(|| {
        let cause = format!("{:?} is not {}", address.value, setting.kind.form);
        let remedy = format!("write one as in {:?}", setting.kind.example);
        section.note(address.position, cause, remedy)
    })
}

fn read_groups(
    section: &SectionReader<'_, '_>,
    setting: &Setting<Texts>,
) -> Result<Vec<IpAddr>, Noted> {
    let Some(entries) = section.texts(setting)? else { return Ok(Vec::new()) };
    let group = |entry: &super::section::Written<&str>| {
        let address = entry.value.parse().ok().filter(IpAddr::is_multicast);
        address.ok_or_else(|| {
            let cause = format!("{:?} is not a multicast address", entry.value);
            section.note(entry.position, cause, "write one as in \"224.0.1.1\" or \"ff05::101\"")
        })
    };
    all(entries.value.iter().map(group).collect())
}
