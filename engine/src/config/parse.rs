//! From the text of a file to a [`Plan`].
//!
//! Each function here reads one section whole before it gives up on it, so that the user sees every
//! problem of the file in one go. What concerns several settings together is checked where the last
//! of them has become known, and only if the others are good.
//!
//! Must never: build a plan after anything was noted.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use timeball_time::{Smear, Stratum};
use toml::de::DeTable;

use super::access::read_access;
use super::address::{Endpoint, Host, parse_listen};
use super::clock::read_clock;
use super::fast_path::read_fast_path;
use super::keys::{read_key, read_keys, require_keys};
use super::kind::{Setting, Text, Texts};
use super::lan::read_lan;
use super::limits::read_limits;
use super::metrics::read_metrics;
use super::plan::{
    Backend, Control, Family, Listen, Local, Machine, Plan, PollRange, Server, Source, Transmit,
    UringReplies,
};
use super::problem::{ConfigError, Position, Problem, Problems};
use super::sandbox::read_sandbox;
use super::section::{Document, Found, Noted, SectionReader, Written, all};
use super::settings::*;
use super::statistics::read_statistics;
use super::syntax::note_syntax;

impl Plan {
    /// The plan when there is no configuration file.
    pub fn without_file(machine: &Machine) -> Self {
        Self::parse(Path::new(""), "", machine).expect("a file without settings is a valid one")
    }

    /// Reads the file at `path` and plans for `machine`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreadable`] if the file cannot be had; [`ConfigError::Wrong`] with every
    /// problem in it otherwise.
    pub fn load(path: &Path, machine: &Machine) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::unreadable(path, &error);
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let wrong = |position, cause: &str, remedy: &str| {
            let problem = Problem { position, cause: cause.into(), remedy: remedy.into() };
            ConfigError::Wrong(Problems::new(path, vec![problem]))
        };
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(wrong(Position::START, "larger than 4 MiB", "name a configuration file"));
        }
        match str::from_utf8(&bytes) {
            Ok(text) => Ok(Self::parse(path, text, machine)?),
            Err(error) => {
                let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                let position = Position::of(&good, good.len());
                Err(wrong(position, "not UTF-8 text", "save the file in UTF-8"))
            }
        }
    }

    /// Plans for `machine` what `text` says; `path` only names it in messages.
    ///
    /// # Errors
    ///
    /// Every problem in the text. While it is not TOML, only that is reported: a tree repaired by
    /// guesswork would produce problems that nobody wrote.
    pub fn parse(path: &Path, text: &str, machine: &Machine) -> Result<Self, Problems> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Document::new(text);
        let plan = if errors.is_empty() {
            read_plan(&document, root.get_ref(), machine)
        } else {
            Err(note_syntax(&document, errors))
        };
        let problems = document.into_problems();
        match plan {
            Ok(plan) if problems.is_empty() => Ok(plan),
            _ => Err(Problems::new(path, problems)),
        }
    }
}

fn read_plan<'t>(
    document: &Document<'t>,
    root: &DeTable<'t>,
    machine: &Machine,
) -> Result<Plan, Noted> {
    document.refuse_unknown_sections(root);
    let server = document.section(root, &SERVER).and_then(|section| read_server(&section, machine));
    let listen = server.as_ref().map(|server| &server.listen).ok();
    let sources =
        document.repeated(root, &SOURCE).and_then(|sections| read_sources(&sections, listen));
    let smears = server.as_ref().is_ok_and(|server| !server.listen_smeared.is_empty());
    let lan = read_lan(document, root);
    let heard = lan.as_ref().is_ok_and(|lan| lan.finds_sources());
    let clock = document.section(root, &CLOCK).and_then(|section| {
        let known = sources.as_ref().map(|sources| sources.len() + usize::from(heard));
        read_clock(&section, known, smears)
    });
    let log_level =
        document.section(root, &LOG).and_then(|section| Ok(section.choice(&LEVEL)?.value));
    let control = document.section(root, &CONTROL).and_then(|section| read_control(&section));
    let statistics = read_statistics(document, root);
    let sandbox = read_sandbox(document, root);
    let fast_path = read_fast_path(document, root);
    let metrics = read_metrics(document, root);
    let local = document.section(root, &LOCAL).and_then(|section| read_local(&section));
    let access = document.repeated(root, &ACCESS).and_then(|sections| read_access(&sections));
    let limits = document.section(root, &LIMITS).and_then(|section| read_limits(&section));
    let keys = read_keys(document, root);
    let sources = sources?;
    let (lan, keys) = (lan?, keys?);
    let alone = sources.is_empty() && !lan.finds_sources();
    let local = (alone || root.contains_key(LOCAL.name)).then_some(local?);
    let plan = Plan {
        server: server?,
        fast_path: fast_path?,
        clock: clock?,
        local,
        sources,
        access: access?,
        limits: limits?,
        control: control?,
        statistics: statistics?,
        metrics: metrics?,
        lan,
        keys,
        sandbox: sandbox?,
        log_level: log_level?,
    };
    require_keys(document, &plan)?;
    Ok(plan)
}

fn read_server(section: &SectionReader<'_, '_>, machine: &Machine) -> Result<Server, Noted> {
    let listen = read_listen(section);
    let others = listen.as_ref().map_or_else(|_| Vec::new(), Listen::addresses);
    let listen_smeared = read_addresses(section, &LISTEN_SMEARED, &others);
    let smear = section.seconds(&SMEAR_S);
    let cores = read_cores(section, machine);
    let backend = section.choice(&BACKEND);
    let transmit = section.choice(&TRANSMIT);
    let uring_replies = read_uring_replies(section, &backend, &transmit);
    let spread = section.choice(&SPREAD);
    let receive_buffer_bytes = section.whole(&RECEIVE_BUFFER_BYTES);
    let worker_priority = section.whole(&WORKER_PRIORITY);
    let user = read_user(section);
    Ok(Server {
        listen: listen?,
        listen_smeared: listen_smeared?,
        smear: Smear::new(smear?.value),
        cores: cores?,
        backend: backend?.value,
        uring_replies: uring_replies?,
        transmit: transmit?.value,
        spread: spread?.value,
        receive_buffer_bytes: receive_buffer_bytes?.value as usize,
        worker_priority: NonZeroU8::new(worker_priority?.value as u8),
        user: user?.map(|user| user.value.to_owned()),
        user_position: user?.map(|user| user.position),
    })
}

fn read_listen(section: &SectionReader<'_, '_>) -> Result<Listen, Noted> {
    let addresses = read_addresses(section, &LISTEN, &[])?;
    Ok(if addresses.is_empty() { Listen::Default } else { Listen::At(addresses) })
}

/// Addresses to listen on, none of them twice and none of `others`.
pub(super) fn read_addresses(
    section: &SectionReader<'_, '_>,
    setting: &Setting<Texts>,
    others: &[SocketAddr],
) -> Result<Vec<SocketAddr>, Noted> {
    let Some(entries) = section.texts(setting)? else { return Ok(Vec::new()) };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let mut flaw = None;
    for entry in entries.value {
        match parse_listen(entry.value) {
            Ok(address)
                if address.port() != 0
                    && (addresses.contains(&address) || others.contains(&address)) =>
            {
                let cause = format!("{address} is listed twice");
                flaw = Some(section.note(entry.position, cause, "keep one of them"));
            }
            Ok(address) => addresses.push(address),
            Err(refusal) => {
                let cause = format!("{:?} {}", entry.value, refusal.cause);
                flaw = Some(section.note(entry.position, cause, refusal.remedy));
            }
        }
    }
    flaw.map_or(Ok(addresses), Err)
}

fn read_cores(section: &SectionReader<'_, '_>, machine: &Machine) -> Result<Vec<usize>, Noted> {
    let (workers, listed) = (section.whole(&WORKERS), section.wholes(&CORES));
    let (workers, listed) = (workers?, listed?);
    let Some(listed) = listed else {
        let most = if workers.value == 0 { usize::MAX } else { workers.value as usize };
        return Ok(machine.cores().iter().copied().take(most).collect());
    };
    let mut cores = Vec::new();
    let mut flaw = None;
    for entry in &listed.value {
        match usize::try_from(entry.value).ok().filter(|core| machine.cores().contains(core)) {
            Some(core) if cores.contains(&core) => {
                let cause = format!("core {core} is listed twice");
                flaw = Some(section.note(entry.position, cause, "keep one of them"));
            }
            Some(core) => cores.push(core),
            None => {
                let cause = format!("this process may not use core {}", entry.value);
                let allowed: Vec<_> = machine.cores().iter().map(usize::to_string).collect();
                let remedy = format!("choose among {}", allowed.join(", "));
                flaw = Some(section.note(entry.position, cause, remedy));
            }
        }
    }
    if let (Some(position), None) = (workers.position, flaw)
        && workers.value != 0
        && workers.value as usize != cores.len()
    {
        let cause = format!("`workers = {}` contradicts {} cores", workers.value, cores.len());
        flaw = Some(section.note(position, cause, "leave `workers` out: each core has one"));
    }
    flaw.map_or(Ok(cores), Err)
}

fn read_uring_replies(
    section: &SectionReader<'_, '_>,
    backend: &Result<Found<Backend>, Noted>,
    transmit: &Result<Found<Transmit>, Noted>,
) -> Result<UringReplies, Noted> {
    let replies = section.choice(&URING_REPLIES)?;
    let other = match (backend, transmit) {
        (Ok(Found { value: Backend::Mmsg, .. }), _) => Some(section.as_written(&BACKEND)),
        (_, Ok(Found { value: Transmit::Socket, .. }) | Err(_)) => None,
        (_, Ok(_)) if replies.value == UringReplies::Sendmmsg => None,
        (_, Ok(_)) => Some(section.as_written(&TRANSMIT)),
    };
    match (other, replies.position) {
        (Some(other), Some(position)) if replies.value != UringReplies::Auto => {
            let written = section.as_written(&URING_REPLIES);
            let cause = format!("`{written}` has no meaning with `{other}`");
            Err(section.note(position, cause, "leave one of the two out"))
        }
        _ => Ok(replies.value),
    }
}

fn read_user<'d>(section: &SectionReader<'d, '_>) -> Result<Option<Written<&'d str>>, Noted> {
    let Some(user) = section.text(&USER)? else { return Ok(None) };
    let is_name = (1..=USER_CHARS_MAX).contains(&user.value.len())
        && user.value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && user.value.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !is_name {
        let cause = format!("{:?} is no user name", user.value);
        let remedy = "write a name from /etc/passwd as in `user = \"timeball\"`";
        return Err(section.note(user.position, cause, remedy));
    }
    Ok(Some(user))
}

fn read_control(section: &SectionReader<'_, '_>) -> Result<Control, Noted> {
    Ok(Control { socket: read_file(section, &CONTROL_SOCKET)? })
}

/// The absolute path of a file, which need not exist.
pub(super) fn read_file(
    section: &SectionReader<'_, '_>,
    setting: &Setting<Text>,
) -> Result<Option<PathBuf>, Noted> {
    let Some(path) = section.text(setting)? else { return Ok(None) };
    if !Path::new(path.value).is_absolute() || path.value.ends_with('/') {
        let cause = format!("{:?} is not the absolute path of a file", path.value);
        let remedy = format!("write the whole path as in {:?}", setting.kind.example);
        return Err(section.note(path.position, cause, remedy));
    }
    Ok(Some(path.value.into()))
}

fn read_local(section: &SectionReader<'_, '_>) -> Result<Local, Noted> {
    let (stratum, wait) = (section.whole(&STRATUM), section.seconds(&WAIT_S));
    Ok(Local { stratum: Stratum::new(stratum?.value as u8), wait: wait?.value })
}

fn read_sources(
    sections: &[SectionReader<'_, '_>],
    listen: Option<&Listen>,
) -> Result<Vec<Source>, Noted> {
    if let Some(excess) = sections.get(SOURCES_MAX) {
        let cause = format!("{} sources", sections.len());
        return Err(excess.note(excess.position, cause, format!("keep {SOURCES_MAX} at most")));
    }
    let candidates: Vec<_> = sections.iter().map(read_source).collect();
    let mut flaw = None;
    for (index, (section, candidate)) in sections.iter().zip(&candidates).enumerate() {
        let earlier = &candidates[..index];
        if let Some(address) = &candidate.address {
            flaw = check_address(section, address, earlier, listen).err().or(flaw);
        }
        let rival = earlier.iter().find_map(|other| other.preferred);
        if let (Some(rival), Some(position)) = (rival, candidate.preferred) {
            let cause = format!("`prefer = true` again, after line {}", rival.line);
            flaw = Some(section.note(position, cause, "prefer one source at most"));
        }
    }
    let sources = all(candidates.into_iter().map(|candidate| candidate.source).collect());
    let sources = flaw.map_or(sources, Err)?;
    let mut sum = 0;
    for (section, source) in sections.iter().zip(&sources) {
        sum += usize::from(source.max_sources);
        if sum > SOURCES_MAX {
            let cause = format!("{sum} sources with those of pools");
            let remedy = format!("lower a `max_sources`: there may be {SOURCES_MAX} in all");
            return Err(section.note(section.position, cause, remedy));
        }
    }
    Ok(sources)
}

/// One `[[source]]` as read: what others are compared with is known even if something else is
/// wrong.
struct Candidate {
    address: Option<Written<Endpoint>>,
    /// Where it says that it is preferred.
    preferred: Option<Position>,
    source: Result<Source, Noted>,
}

fn read_source(section: &SectionReader<'_, '_>) -> Candidate {
    let address = read_address(section);
    let iburst = section.flag(&IBURST);
    let poll = read_poll(section);
    let prefer = section.flag(&PREFER);
    let family = read_family(section, address.as_ref().ok());
    let key = read_key(section);
    let count = read_max_sources(section, address.as_ref().ok());
    let preferred = prefer.ok().filter(|prefer| prefer.value).and_then(|prefer| prefer.position);
    let build = || {
        let address = address.clone()?;
        Ok(Source {
            endpoint: address.value,
            iburst: iburst?.value,
            poll: poll?,
            prefer: prefer?.value,
            family: family?,
            key: key?,
            max_sources: count?,
            position: address.position,
        })
    };
    let source = build();
    Candidate { address: address.ok(), preferred, source }
}

fn check_address(
    section: &SectionReader<'_, '_>,
    address: &Written<Endpoint>,
    earlier: &[Candidate],
    listen: Option<&Listen>,
) -> Result<(), Noted> {
    let Written { value: endpoint, position } = address;
    let mut others = earlier.iter().filter_map(|candidate| candidate.address.as_ref());
    if let Some(twin) = others.find(|other| other.value == *endpoint) {
        let cause = format!("{endpoint} is a source already, on line {}", twin.position.line);
        return Err(section.note(*position, cause, "keep one of them"));
    }
    if listen.is_some_and(|listen| is_own(endpoint, listen)) {
        let cause = format!("{endpoint} is this server itself, by `listen`");
        return Err(section.note(*position, cause, "name another server, or another port"));
    }
    Ok(())
}

fn read_family(
    section: &SectionReader<'_, '_>,
    address: Option<&Written<Endpoint>>,
) -> Result<Family, Noted> {
    let family = section.choice(&FAMILY)?;
    match (address.map(|address| &address.value.host), family.position) {
        (Some(Host::Address(ip)), Some(position)) if !family.value.admits(*ip) => {
            let cause = format!("`{}` excludes {ip}", section.as_written(&FAMILY));
            Err(section.note(position, cause, "leave `family` out: the address says it"))
        }
        _ => Ok(family.value),
    }
}

fn read_max_sources(
    section: &SectionReader<'_, '_>,
    address: Option<&Written<Endpoint>>,
) -> Result<u8, Noted> {
    let count = section.whole(&MAX_SOURCES)?;
    match (address.map(|address| &address.value.host), count.position) {
        (Some(Host::Address(_)), Some(position)) if count.value > 1 => {
            let cause = format!("`{}` of one address", section.as_written(&MAX_SOURCES));
            Err(section.note(position, cause, "name a pool, or leave `max_sources` out"))
        }
        _ => Ok(count.value as u8),
    }
}

fn read_address(section: &SectionReader<'_, '_>) -> Result<Written<Endpoint>, Noted> {
    let Some(address) = section.text(&ADDRESS)? else {
        let remedy = "add `address = \"…\"` to this [[source]]";
        return Err(section.note(section.position, "a source without `address`", remedy));
    };
    match Endpoint::parse(address.value) {
        Ok(endpoint) => Ok(Written { value: endpoint, position: address.position }),
        Err(refusal) => {
            let cause = format!("{:?} {}", address.value, refusal.cause);
            Err(section.note(address.position, cause, refusal.remedy))
        }
    }
}

fn read_poll(section: &SectionReader<'_, '_>) -> Result<PollRange, Noted> {
    let (min, max) = (section.whole(&MIN_POLL), section.whole(&MAX_POLL));
    let (min, max) = (min?, max?);
    PollRange::new(min.value as i8, max.value as i8).ok_or_else(|| {
        let shown = |key: &str, found: Found<i64>| match found.position {
            Some(_) => format!("`{key} = {}`", found.value),
            None => format!("the default `{key} = {}`", found.value),
        };
        let (low, high) = (shown(MIN_POLL.key, min), shown(MAX_POLL.key, max));
        let position = min.position.or(max.position).unwrap_or(section.position);
        let remedy = "lower `min_poll` or raise `max_poll`";
        section.note(position, format!("{low} is above {high}"), remedy)
    })
}

/// True if a request to `endpoint` would come back to this very server.
fn is_own(endpoint: &Endpoint, listen: &Listen) -> bool {
    let (Host::Address(ip), Listen::At(addresses)) = (&endpoint.host, listen) else { return false };
    let reaches = |at: IpAddr| {
        at == *ip || (at.is_unspecified() && ip.is_loopback() && at.is_ipv4() == ip.is_ipv4())
    };
    addresses.iter().any(|at| at.port() == endpoint.port && reaches(at.ip()))
}

/// A configuration is a few kilobytes, or more with a long list of networks; this keeps a device or a disk
/// image from being read whole.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// useradd(8): names of up to 32 characters.
const USER_CHARS_MAX: usize = 32;
