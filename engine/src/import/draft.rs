//! The configuration being made: what lines have asked for so far, and the TOML that says it.
//!
//! Must never: write a value that the configuration's own reader would refuse without saying so in the
//! finding of the line it comes from.

use timeball_responder::Restrictions;

use super::dialect::Dialect;
use super::entry::Entry;
use super::finding::{Finding, Place, Verdict};
use super::keyring::{self, Keyring};
use super::lan::Lan;
use super::toml::Text;
use crate::config::{Family, Whom, everybody};

/// What has been asked for so far.
pub(super) struct Draft {
    pub(super) dialect: Dialect,
    /// The beginning of the file: where what no line says comes from.
    top: Place,
    /// What the file does not say, but its daemon does.
    pub(super) remarks: Vec<String>,
    pub(super) settings: Vec<Setting>,
    pub(super) sources: Vec<Source>,
    pub(super) access: Vec<Access>,
    pub(super) keyring: Keyring,
    pub(super) lan: Lan,
    pub(super) statistics: super::ntp::statistics::Wanted,
    /// Reference clocks named so far (ntpd's 127.127.t.u), which `fudge` lines are about.
    pub(super) clocks: Vec<Clock>,
    /// The port to listen on and the addresses, if not all.
    pub(super) port: Option<(u16, Place)>,
    pub(super) listen: Vec<(std::net::IpAddr, Place)>,
}

/// One setting of a section that is there once.
pub(super) struct Setting {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    /// As TOML writes it.
    pub(super) value: String,
    pub(super) place: Place,
}

/// An upstream server.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) min_poll: i64,
    pub(super) max_poll: i64,
    pub(super) prefer: bool,
    pub(super) family: Family,
    /// Requests are to be signed with this key.
    pub(super) key: Option<u32>,
    /// How many of its addresses are to be asked at a time.
    pub(super) max_sources: u8,
    pub(super) place: Place,
}

/// An access rule.
pub(super) struct Access {
    pub(super) whom: Whom,
    pub(super) from_ntp_port: bool,
    pub(super) restrictions: Restrictions,
    pub(super) place: Place,
}

/// A reference clock of ntpd's.
pub(super) struct Clock {
    pub(super) address: std::net::Ipv4Addr,
    /// Said by a `fudge` line or an option.
    pub(super) stratum: Option<u8>,
    /// There is a `server` line for it.
    pub(super) configured: Option<Place>,
}

impl Draft {
    pub(super) fn new(dialect: Dialect, top: Place) -> Self {
        Self {
            dialect,
            top,
            remarks: Vec::new(),
            settings: Vec::new(),
            sources: Vec::new(),
            access: Vec::new(),
            keyring: Keyring::default(),
            lan: Lan::default(),
            statistics: super::ntp::statistics::Wanted::default(),
            clocks: Vec::new(),
            port: None,
            listen: Vec::new(),
        }
    }

    /// Sets `section.key` to `value`, as TOML writes it; of several lines the last counts.
    pub(super) fn set(
        &mut self,
        entry: &mut Entry,
        section: &'static str,
        key: &'static str,
        value: impl Into<String>,
    ) {
        let place = entry.place().clone();
        let setting = Setting { section, key, value: value.into(), place };
        match self.settings.iter_mut().find(|old| old.section == section && old.key == key) {
            Some(old) => {
                if old.value != setting.value {
                    entry.changed(format!("the last such line counts, so not {}", old.place));
                }
                *old = setting;
            }
            None => self.settings.push(setting),
        }
    }

    /// The setting to the path that comes next.
    pub(super) fn set_path(&mut self, entry: &mut Entry, section: &'static str, key: &'static str) {
        if let Some(path) = entry.path() {
            self.set(entry, section, key, quoted(&path));
        }
    }

    /// The setting to `value` seconds, moved into `range` if it is outside.
    pub(super) fn set_seconds(
        &mut self,
        entry: &mut Entry,
        (section, key): (&'static str, &'static str),
        value: f64,
        range: std::ops::RangeInclusive<f64>,
    ) {
        let nearest = value.clamp(*range.start(), *range.end());
        if !(nearest == value) {
            entry.changed(format!("`{key}` is {nearest}, the nearest possible"));
        }
        if nearest.is_finite() {
            self.set(entry, section, key, format!("{nearest:?}"));
        }
    }

    /// Adds an upstream server, unless it is there already or there are too many.
    pub(super) fn add_source(&mut self, entry: &mut Entry, mut source: Source) {
        let same = |other: &&Source| other.host == source.host && other.port == source.port;
        if let Some(twin) = self.sources.iter().find(same) {
            return entry.changed(format!("left out: it is a source already, by {}", twin.place));
        }
        let sum: usize = self.sources.iter().map(|known| usize::from(known.max_sources)).sum();
        if sum + usize::from(source.max_sources) > SOURCES_MAX {
            return entry.refused(
                format!("there would be more than {SOURCES_MAX} sources"),
                "keep the best; more than ten add nothing",
            );
        }
        if let Some(rival) = self.sources.iter().find(|other| other.prefer && source.prefer) {
            entry.changed(format!("not preferred: {} is, by {}", rival.host, rival.place));
            source.prefer = false;
        }
        self.sources.push(source);
    }

    /// Adds an access rule; of rules for the same network, what any withholds is withheld.
    pub(super) fn restrict(&mut self, entry: &mut Entry, rule: Access) {
        let same =
            |old: &&mut Access| old.whom == rule.whom && old.from_ntp_port == rule.from_ntp_port;
        match self.access.iter_mut().find(same) {
            Some(old) => {
                old.restrictions = old.restrictions | rule.restrictions;
                entry.note(format!("together with {}, as ntpd merges them", old.place));
            }
            None => self.access.push(rule),
        }
    }

    /// The clock at `address`.
    pub(super) fn clock(&mut self, address: std::net::Ipv4Addr) -> &mut Clock {
        let at = self.clocks.iter().position(|clock| clock.address == address);
        let at = at.unwrap_or_else(|| {
            self.clocks.push(Clock { address, stratum: None, configured: None });
            self.clocks.len() - 1
        });
        &mut self.clocks[at]
    }

    /// What can only be known at the end of all files.
    pub(super) fn settle(&mut self, findings: &mut [Finding]) {
        let local = self.clocks.iter().find(|clock| clock.is_local() && clock.configured.is_some());
        if let Some((stratum, place)) = local.map(|clock| (clock.stratum, clock.configured.clone()))
        {
            let place = place.expect("configured");
            // A server is one further away than the clock it has its time from.
            let stratum = u8::min(stratum.unwrap_or(LOCAL_STRATUM) + 1, 15);
            self.set_local_stratum(stratum, place, findings);
        }
        for clock in self.clocks.iter().filter(|clock| clock.configured.is_none()) {
            let about = format!("fudge {}", clock.address);
            for finding in findings.iter_mut().filter(|finding| finding.text.starts_with(&about)) {
                finding
                    .add(Verdict::Changed, "no `server` line names this clock, so nothing is done");
            }
        }
        keyring::settle(self, findings);
        super::ntp::statistics::settle(self, findings);
        let found = !self.sources.is_empty() || self.lan.finds_sources();
        if !found && !self.settings.iter().any(|s| s.section == "local") {
            self.remarks.push(NO_SOURCE.to_owned());
        }
        self.limit_the_others();
        if self.dialect == Dialect::Chrony {
            self.deny_the_rest();
        }
        self.guard_loopback();
    }

    /// The local clock at `stratum`, or that of `tos orphan` if it is lower: as in ntpd.
    fn set_local_stratum(&mut self, stratum: u8, place: Place, findings: &mut [Finding]) {
        let orphan =
            |setting: &&mut Setting| (setting.section, setting.key) == ("local", "stratum");
        let orphan = self.settings.iter_mut().find(orphan);
        let lower = orphan.as_ref().and_then(|orphan| orphan.value.parse().ok());
        let note = match lower.filter(|&lower: &u8| lower < stratum) {
            Some(lower) => format!("the local clock, announced as stratum {lower} by `orphan`"),
            None => format!("the local clock, announced as stratum {stratum}, as ntpd does"),
        };
        find(findings, &place, |finding| finding.add(Verdict::Honoured, note));
        let value = stratum.min(lower.unwrap_or(stratum)).to_string();
        let setting = Setting { section: "local", key: "stratum", value, place };
        match orphan {
            Some(orphan) => *orphan = setting,
            None => self.settings.push(setting),
        }
    }

    /// Only a file in which some line limits somebody says by the others that they are not limited.
    fn limit_the_others(&mut self) {
        let limited = Restrictions::LIMITED;
        let says = self.access.iter().any(|rule| rule.restrictions.contains(limited));
        for Access { restrictions, .. } in &mut self.access {
            if !says || restrictions.contains(Restrictions::NO_TIME) {
                *restrictions = *restrictions | limited;
            }
        }
    }

    /// chronyd answers nobody whom no line allows.
    fn deny_the_rest(&mut self) {
        if self.access.is_empty() {
            self.remarks.push(NOBODY_ALLOWED.to_owned());
        }
        for whom in everybody().map(Whom::Network) {
            if !self.access.iter().any(|rule| rule.whom == whom) {
                let restrictions =
                    Restrictions::NO_TIME | Restrictions::NO_QUERY | Restrictions::LIMITED;
                let place = self.top.clone();
                self.access.push(Access { whom, from_ntp_port: false, restrictions, place });
            }
        }
    }

    /// Rules for everybody are for this machine's own requests too; without this, the rule that holds by
    /// default for loopback addresses would go before them.
    fn guard_loopback(&mut self) {
        for (everybody, own) in [("0.0.0.0/0", "127.0.0.0/8"), ("::/0", "::1")] {
            let of = |text: &str| super::numbers::network(text).expect("written above");
            let (everybody, own) = (Whom::Network(of(everybody)), Whom::Network(of(own)));
            let rule = self.access.iter().find(|rule| rule.whom == everybody);
            let limits = Restrictions::LIMITED | Restrictions::KISSED;
            let usual =
                |rule: &&Access| rule.restrictions.without(limits) == Restrictions::NO_QUERY;
            let Some(rule) = rule.filter(|rule| !usual(rule)) else {
                continue;
            };
            let (place, restrictions) = (rule.place.clone(), rule.restrictions);
            if !self.access.iter().any(|rule| rule.whom == own) {
                self.access.push(Access { whom: own, from_ntp_port: false, restrictions, place });
            }
        }
    }

    /// The configuration, and where each of its lines comes from.
    pub(super) fn toml(&self) -> (String, Vec<Option<Place>>) {
        let mut text = Text::default();
        for section in ["server", "clock", "log", "statistics", "local", "limits", "keys"] {
            let mut open = false;
            if section == "server" && (self.port.is_some() || !self.listen.is_empty()) {
                text.section("[server]");
                text.setting("listen", &self.listen_value(), self.listen_place());
                open = true;
            }
            for setting in self.settings.iter().filter(|setting| setting.section == section) {
                if !std::mem::replace(&mut open, true) {
                    text.section(&format!("[{section}]"));
                }
                text.setting(setting.key, &setting.value, Some(&setting.place));
            }
        }
        for rule in &self.access {
            text.access(rule);
        }
        for source in &self.sources {
            text.source(source);
        }
        self.lan.write(&mut text);
        text.finish()
    }

    fn listen_value(&self) -> String {
        let port = self.port.as_ref().map_or(123, |(port, _)| *port);
        let mut addresses: Vec<_> = self.listen.iter().map(|(address, _)| *address).collect();
        // An address of one family says nothing about the other.
        for any in [[0; 4].into(), std::net::IpAddr::from([0u16; 8])] {
            let named = self.listen.iter().any(|(address, _)| address.is_ipv4() == any.is_ipv4());
            if !named && (self.dialect == Dialect::Chrony || self.listen.is_empty()) {
                addresses.push(any);
            }
        }
        let shown =
            addresses.iter().map(|&ip| quoted(&std::net::SocketAddr::new(ip, port).to_string()));
        format!("[{}]", shown.collect::<Vec<_>>().join(", "))
    }

    fn listen_place(&self) -> Option<&Place> {
        self.listen.first().map(|(_, place)| place).or(self.port.as_ref().map(|(_, place)| place))
    }
}

impl Clock {
    /// ntpd's driver 1, the local clock.
    pub(super) fn is_local(&self) -> bool {
        self.address.octets()[2] == 1
    }
}

/// Does something with the finding of a line.
pub(super) fn find(findings: &mut [Finding], place: &Place, then: impl FnOnce(&mut Finding)) {
    if let Some(finding) = findings.iter_mut().find(|finding| finding.place == *place) {
        then(finding);
    }
}

/// `text` as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04X}", c as u32),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// As many as the configuration takes.
const SOURCES_MAX: usize = crate::config::SOURCES_MAX;
const NO_SOURCE: &str = "no source is left, so this machine's own clock is served as it stands, as \
    stratum 10: add a [[source]]";
const NOBODY_ALLOWED: &str = "chronyd answers nobody without an `allow` line, and so nobody is answered \
    here: take out the [[access]] rules to answer everybody";
/// Of ntpd's driver 1.
const LOCAL_STRATUM: u8 = 5;
