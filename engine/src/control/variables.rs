//! The server's state in the words of ntpq: associations, status words, `name=value` lists.
//!
//! Each source is an association, numbered from 1 in the order of the config; after them comes the local
//! clock, if it has a part. Values are those of the report in ntpd's units: milliseconds, parts per million,
//! NTP timestamps in hexadecimal. What this server does not have is left out rather than made up.
//!
//! Must never: give a variable another meaning than ntpd does.

use std::borrow::Cow;
use std::net::SocketAddr;

use timeball_time::{Interval, NtpTimestamp, Served, Timestamp};

use crate::report::{PastAnswer, Report, Source};

/// Whom a request is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'r> {
    /// Association 0.
    Server,
    /// A source.
    Source(&'r Source),
    /// The local clock, by which this stratum is announced.
    LocalClock(u8),
}

/// Associations and their numbers.
pub(super) fn associations(report: &Report) -> impl Iterator<Item = (u16, Subject<'_>)> {
    let sources = report.sources.iter().map(Subject::Source);
    let local = report.local.as_ref().map(|local| Subject::LocalClock(local.stratum));
    (1..).zip(sources.chain(local))
}

/// The subject with this number.
pub(super) fn find(report: &Report, association: u16) -> Option<Subject<'_>> {
    if association == 0 {
        return Some(Subject::Server);
    }
    associations(report).find(|(id, _)| *id == association).map(|(_, subject)| subject)
}

/// The association whose time is served; 0 if none.
fn system_peer(report: &Report) -> u16 {
    match (report.clock.basis.as_str(), report.clock.system_peer) {
        ("local", _) => report.sources.len() as u16 + 1,
        (_, Some(index)) => index as u16 + 1,
        _ => 0,
    }
}

/// The status word (RFC 9327 section 3).
pub(super) fn status_word(report: &Report, subject: &Subject<'_>) -> u16 {
    match subject {
        Subject::Server => {
            let (source, event) = match report.clock.basis.as_str() {
                "local" => (SOURCE_LOCAL, EVENT_CLOCK_SYNC),
                _ if report.is_serving() => (SOURCE_NTP, EVENT_CLOCK_SYNC),
                _ if report.clock.updates > 0 => (SOURCE_NONE, EVENT_NO_SYSTEM_PEER),
                _ => (SOURCE_NONE, EVENT_RESTART),
            };
            let leap = u16::from(report.header.leap & 3);
            leap << 14 | source << 8 | 1 << 4 | event
        }
        Subject::Source(source) => peer_status_word(source.symbol, source.reach, source.requests),
        Subject::LocalClock(_) if report.clock.basis == "local" => {
            let selection = SELECTED_SYSTEM_PEER << 8;
            PEER_CONFIGURED | PEER_REACH | selection | 1 << 4 | PEER_IS_SYSTEM_PEER
        }
        Subject::LocalClock(_) => PEER_CONFIGURED | PEER_REACH | 1 << 4 | PEER_REACHABLE,
    }
}

/// The status word of a source: what selection made of it, whether it answers, what happened last.
pub(crate) fn peer_status_word(symbol: char, reach: u8, requests: u64) -> u16 {
    let selection = match symbol {
        'x' => 1,
        '.' => 2,
        '-' => 3,
        '+' => 4,
        '*' => SELECTED_SYSTEM_PEER,
        _ => 0,
    };
    let event = match (selection, reach, requests) {
        (SELECTED_SYSTEM_PEER, ..) => PEER_IS_SYSTEM_PEER,
        (_, 1.., _) => PEER_REACHABLE,
        (_, 0, 1..) => PEER_UNREACHABLE,
        (_, 0, 0) => PEER_MOBILISED,
    };
    let reach = if reach == 0 { 0 } else { PEER_REACH };
    PEER_CONFIGURED | reach | selection << 8 | 1 << 4 | event
}

/// Names and values, in order.
#[derive(Default)]
pub(super) struct Variables {
    /// What is told to whoever asks for nothing in particular.
    usual: Vec<Variable>,
    /// What has to be asked for by name.
    others: Vec<Variable>,
}

type Variable = (Cow<'static, str>, String);

impl Variables {
    /// All of `subject`, in ntpd's order.
    pub(super) fn of(report: &Report, subject: &Subject<'_>) -> Self {
        let mut variables = Self::default();
        match subject {
            Subject::Server => server(report, &mut variables),
            Subject::Source(source) => of_source(report, source, &mut variables),
            Subject::LocalClock(stratum) => local_clock(report, *stratum, &mut variables),
        }
        variables
    }

    /// Those of the local clock as a reference clock; `None` for anything else.
    pub(super) fn of_clock(report: &Report, subject: &Subject<'_>) -> Option<Self> {
        let mine = matches!(subject, Subject::LocalClock(_))
            || matches!(subject, Subject::Server) && report.local.is_some();
        let stratum = report.local.as_ref().filter(|_| mine)?.stratum;
        let mut variables = Self::default();
        variables.put("name", "\"LOCAL\"");
        variables.put("device", "\"Undisciplined local clock\"");
        variables.put("stratum", stratum.saturating_sub(1));
        variables.put("refid", "LOCL");
        Some(variables)
    }

    /// Those in the list `names`, or the usual ones if it is empty; `None` if there is not one of them.
    ///
    /// Unlike ntpd, which refuses a list for one name it does not know: ntpq then asks for each by
    /// itself and prints a question mark for what it does not get.
    pub(super) fn named(self, names: &str) -> Option<Self> {
        let mut names = names.split(',').map(str::trim).filter(|name| !name.is_empty()).peekable();
        if names.peek().is_none() {
            return Some(self);
        }
        let wanted = names.filter_map(|name| {
            // A name may come with a value, which only writing would need.
            let name = name.split('=').next().unwrap_or(name).trim();
            self.usual.iter().chain(&self.others).find(|(known, _)| known == name).cloned()
        });
        let found: Vec<_> = wanted.collect();
        (!found.is_empty()).then_some(Self { usual: found, others: Vec::new() })
    }

    /// As text in lines of at most [`COLUMNS_MAX`].
    pub(super) fn lines(&self) -> Vec<u8> {
        let mut text = String::new();
        let mut column = 0;
        for (name, value) in &self.usual {
            let length = name.len() + 1 + value.len();
            if text.is_empty() {
                column = length;
            } else if column + 2 + length > COLUMNS_MAX {
                text += ",\r\n";
                column = length;
            } else {
                text += ", ";
                column += 2 + length;
            }
            text += name;
            text.push('=');
            text += value;
        }
        (text + "\r\n").into_bytes()
    }

    fn put(&mut self, name: &'static str, value: impl ToString) {
        self.usual.push((name.into(), value.to_string()));
    }

    /// To be asked for by name.
    fn put_other(&mut self, name: impl Into<Cow<'static, str>>, value: u64) {
        self.others.push((name.into(), value.to_string()));
    }

    /// Milliseconds.
    fn millis(&mut self, name: &'static str, seconds: f64) {
        self.put(name, format!("{:.6}", seconds * 1e3));
    }

    /// A count since the start, and the same since the last reset, which never happens.
    fn count(&mut self, name: &'static str, count: u64) {
        self.put_other(name, count);
        self.put_other(format!("{name}_r"), count);
    }
}

fn server(report: &Report, variables: &mut Variables) {
    let (header, clock) = (&report.header, &report.clock);
    variables.put("version", format!("\"{}\"", report.program));
    variables.put("processor", format!("\"{}\"", std::env::consts::ARCH));
    variables.put("system", format!("\"{}\"", std::env::consts::OS));
    variables.put("leap", header.leap);
    variables.put("stratum", if header.stratum == 0 { 16 } else { header.stratum });
    variables.put("precision", header.precision_log2_s);
    variables.millis("rootdelay", header.root_delay_s);
    variables.millis("rootdisp", header.root_dispersion_s);
    variables.millis("rootdist", header.root_distance_s);
    variables.put("refid", &header.reference_id);
    variables.put("reftime", header.reference_age_s.map_or_else(never, |age| before(report, age)));
    let peer = system_peer(report);
    variables.put("peer", peer);
    let source = clock.system_peer.and_then(|index| report.sources.get(index));
    if let Some(address) = source.and_then(|source| source.address.as_ref()).filter(|_| peer > 0) {
        variables.put("peeradr", address);
        variables.put("peermode", MODE_CLIENT);
    }
    let poll = source.map(|source| source.poll_log2_s);
    variables.put("tc", poll.unwrap_or(POLL_LOCAL));
    variables.put("mintc", 0);
    variables.millis("offset", clock.residual_s);
    variables.put("frequency", format!("{:.6}", clock.frequency_ppm));
    variables.millis("sys_jitter", clock.offset_error_s);
    variables.millis("clk_jitter", source.and_then(|source| source.jitter_s).unwrap_or(0.0));
    variables.put("clk_wander", format!("{:.6}", clock.frequency_error_ppm));
    variables.put("clock", before(report, 0.0));
    if let Some(offset_s) = clock.tai_offset_s {
        variables.put("tai", offset_s);
    }
    counts(report, variables);
}

fn counts(report: &Report, variables: &mut Variables) {
    let clients = &report.clients;
    let noted = |name: &str| clients.noted(name);
    let version =
        |version: usize| clients.answered_by_version.get(version - 1).copied().unwrap_or(0);
    let uptime = report.uptime_s as u64;
    let (bad_format, restricted) = (clients.bad_format(), clients.restricted());
    variables.count("ss_uptime", uptime);
    variables.count("ss_reset", uptime);
    variables.count("ss_received", clients.received);
    variables.count("ss_thisver", version(4));
    variables.count("ss_oldver", version(1) + version(2) + version(3));
    variables.count("ss_ver1", version(1));
    variables.count("ss_badformat", bad_format);
    variables.count("ss_badauth", noted("crypto_nak"));
    let (limited, kisses) = (clients.limited(), noted("kisses"));
    variables.count("ss_declined", clients.unanswered - bad_format - restricted - limited);
    variables.count("ss_restricted", restricted);
    variables.count("ss_limited", limited + kisses);
    variables.count("ss_kodsent", kisses);
    variables.count("ss_processed", clients.answered);
    variables.put_other("iostats_reset", uptime);
    variables.put_other("io_ignored", clients.unanswered);
    variables.put_other("io_dropped", noted("frames_exhausted"));
    variables.put_other("io_received", clients.received);
    variables.put_other("io_sent", clients.answered - noted("send_full") - noted("send_refused"));
    variables.put_other("io_sendfailed", noted("send_full") + noted("send_refused"));
}

fn of_source(report: &Report, source: &Source, variables: &mut Variables) {
    let address: Option<SocketAddr> = source.address.as_ref().and_then(|text| text.parse().ok());
    let last = source.last.as_ref();
    match address {
        Some(address) => {
            variables.put("srcadr", address.ip());
            variables.put("srcport", address.port());
        }
        // A name without an address yet is shown by its name.
        None => variables.put("srcadr", "0.0.0.0"),
    }
    // Servers of one pool are told apart by their addresses.
    if !source.pool || address.is_none() {
        let host = source.name.rsplit_once(':').map_or(source.name.as_str(), |(host, _)| host);
        variables.put("srchost", format!("\"{host}\""));
    }
    let v6 = address.is_some_and(|address| address.is_ipv6());
    variables.put("dstadr", if v6 { "::" } else { "0.0.0.0" });
    variables.put("leap", last.map_or(3, |last| last.leap));
    variables.put("stratum", last.map_or(16, |last| last.stratum));
    variables.put("precision", last.map_or(0, |last| last.precision_log2_s));
    variables.millis("rootdelay", last.map_or(0.0, |last| last.root_delay_s));
    variables.millis("rootdisp", last.map_or(0.0, |last| last.root_dispersion_s));
    variables.put("refid", last.map_or("INIT", |last| &last.reference_id));
    // NTPsec's ntpq takes the later one of these for "when".
    variables.put("reftime", last.map_or_else(never, |last| hex(last.reference_time_ntp)));
    variables.put("rec", source.when_s.map_or_else(never, |age| before(report, age)));
    variables.put("reach", format!("{:#x}", source.reach));
    variables.put("unreach", if source.reach == 0 { source.requests } else { 0 });
    variables.put("hmode", MODE_CLIENT);
    variables.put("pmode", if last.is_some() { MODE_SERVER } else { 0 });
    variables.put("hpoll", source.poll_log2_s);
    variables.put("ppoll", source.poll_log2_s);
    variables.put("flash", format!("{:#x}", flash(report, source)));
    variables.millis("offset", source.offset_s.unwrap_or(0.0));
    variables.millis("delay", source.delay_s.unwrap_or(0.0));
    variables.millis("dispersion", source.offset_error_s.unwrap_or(0.0));
    variables.millis("jitter", source.jitter_s.unwrap_or(0.0));
    let history = |figure: fn(&PastAnswer) -> f64| -> String {
        let millis = source.history.iter().map(|past| format!("{:.6}", figure(past) * 1e3));
        millis.collect::<Vec<_>>().join(" ")
    };
    variables.put("filtdelay", history(|past| past.delay_s));
    variables.put("filtoffset", history(|past| past.offset_s));
    variables.put("sent", source.requests);
    variables.put("timerec", source.when_s.unwrap_or(report.uptime_s) as u64);
    variables.put("timer", source.next_s.max(0.0) as u64);
    let rejected = |name: &str| source.rejected.get(name).copied().unwrap_or(0);
    variables.put("bogusorg", rejected("origin") + rejected("origin_zero"));
    variables.put("oldpkt", rejected("duplicate"));
}

fn local_clock(report: &Report, stratum: u8, variables: &mut Variables) {
    let serving = report.clock.basis == "local";
    variables.put("srcadr", "127.127.1.0");
    variables.put("srcport", 123);
    variables.put("srchost", "\"LOCAL(0)\"");
    variables.put("dstadr", "127.0.0.1");
    variables.put("leap", 0);
    // Being synchronised to it adds one, as with any other source.
    variables.put("stratum", stratum.saturating_sub(1));
    variables.put("precision", report.header.precision_log2_s);
    variables.millis("rootdelay", 0.0);
    variables.millis("rootdisp", 0.0);
    variables.put("refid", "LOCL");
    variables.put("reftime", before(report, 0.0));
    variables.put("rec", before(report, 0.0));
    // It is always there.
    variables.put("reach", "0xff");
    variables.put("unreach", 0);
    variables.put("hmode", MODE_CLIENT);
    variables.put("pmode", MODE_SERVER);
    variables.put("hpoll", POLL_LOCAL);
    variables.put("ppoll", POLL_LOCAL);
    variables.put("flash", "0x0");
    variables.millis("offset", 0.0);
    variables.millis("delay", 0.0);
    variables.millis("dispersion", if serving { report.header.root_dispersion_s } else { 0.0 });
    variables.millis("jitter", 0.0);
}

/// Why a source is not used, in ntpd's bits: distance (TEST11) and unreachable (TEST13).
fn flash(report: &Report, source: &Source) -> u16 {
    let far =
        source.root_distance_s.is_some_and(|distance| distance > report.clock.max_root_distance_s);
    let mut bits = if far { 0x0400 } else { 0 };
    if source.reach == 0 {
        bits |= 0x1000;
    }
    bits
}

/// The served time `age` seconds ago.
fn before(report: &Report, age: f64) -> String {
    let time = Interval::from_secs_f64(report.time_unix_s - age);
    hex(NtpTimestamp::floor(Timestamp::<Served>::from_nanos(time.nanos())).to_bits())
}

fn never() -> String {
    hex(0)
}

fn hex(bits: u64) -> String {
    format!("0x{:08x}.{:08x}", bits >> 32, bits as u32)
}

/// ntpq breaks lines no further than this.
const COLUMNS_MAX: usize = 72;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;
/// The local clock is looked at each second, and shown as ntpd shows its driver.
const POLL_LOCAL: i8 = 6;

const SOURCE_NONE: u16 = 0;
const SOURCE_LOCAL: u16 = 5;
const SOURCE_NTP: u16 = 6;
const EVENT_CLOCK_SYNC: u16 = 5;
const EVENT_RESTART: u16 = 6;
const EVENT_NO_SYSTEM_PEER: u16 = 8;
const PEER_CONFIGURED: u16 = 0x8000;
const PEER_REACH: u16 = 0x1000;
const SELECTED_SYSTEM_PEER: u16 = 6;
const PEER_MOBILISED: u16 = 1;
const PEER_UNREACHABLE: u16 = 3;
const PEER_REACHABLE: u16 = 4;
const PEER_IS_SYSTEM_PEER: u16 = 10;
