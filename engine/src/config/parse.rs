//! From the text of a file to a [`Plan`].
//!
//! Each function here reads one section whole before it gives up on it, so that the user sees every
//! problem of the file in one go. What concerns several settings together is checked where the last of
//! them has become known, and only if the others are good.
//!
//! Must never: build a plan after anything was noted.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use timeball_time::{Interval, Stratum};
use toml::de::{DeTable, Error};

use super::address::{Endpoint, Host, parse_listen};
use super::plan::{
    Backend, Clock, Listen, Local, Machine, Plan, PollRange, Server, Source, Steering, UringReplies,
};
use super::problem::{ConfigError, Position, Problem, Problems};
use super::section::{Document, Found, Noted, SectionReader, all};
use super::settings::*;

impl Plan {
    /// The plan when there is no configuration file.
    pub fn without_file(machine: &Machine) -> Self {
        Self::parse(Path::new(""), "", machine).expect("a file without settings is a valid one")
    }

    /// Reads the file at `path` and plans for `machine`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreadable`] if the file cannot be had; [`ConfigError::Wrong`] with every problem
    /// in it otherwise.
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
            return Err(wrong(Position::START, "larger than 1 MiB", "name a configuration file"));
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
            Err(note_syntax(&document, &errors))
        };
        let problems = document.into_problems();
        match plan {
            Ok(plan) if problems.is_empty() => Ok(plan),
            _ => Err(Problems::new(path, problems)),
        }
    }
}

/// Notes the first error of each line: those that follow on it are mostly its echo.
fn note_syntax(document: &Document<'_>, errors: &[Error]) -> Noted {
    let mut noted = None;
    let mut lines = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or_default();
        let position = document.position(&span);
        if lines.contains(&position.line) {
            continue;
        }
        lines.push(position.line);
        let (cause, remedy) = syntax_problem(error.message(), &document.excerpt(&span));
        noted = Some(document.note(position, cause, remedy));
    }
    noted.expect("called with at least one error")
}

/// The TOML parser's messages in words for someone who has never heard of TOML.
fn syntax_problem(message: &str, written: &str) -> (String, String) {
    let message = message.replace('\n', " ");
    if message.starts_with("duplicate key") {
        let remedy = match written {
            name if name == SOURCE.name => "write [[source]], in double brackets, for each source",
            _ => "keep one of them",
        };
        return (format!("`{written}` is there twice"), remedy.into());
    }
    let unquoted = message.starts_with("string values must be quoted")
        || message.starts_with("invalid boolean");
    if unquoted && !written.is_empty() {
        return (format!("`{written}` is no value"), "put text in \"quotes\"".into());
    }
    let remedy =
        "write `key = value` on a line of its own, text in \"quotes\", lists in [brackets]";
    (format!("not TOML: {message}"), remedy.into())
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
    let clock = document
        .section(root, &CLOCK)
        .and_then(|section| read_clock(&section, sources.as_ref().map(|sources| sources.len())));
    let log_level =
        document.section(root, &LOG).and_then(|section| Ok(section.choice(&LEVEL)?.value));
    let local = document.section(root, &LOCAL).and_then(|section| read_local(&section));
    let sources = sources?;
    let local = (sources.is_empty() || root.contains_key(LOCAL.name)).then_some(local?);
    Ok(Plan { server: server?, clock: clock?, local, sources, log_level: log_level? })
}

fn read_server(section: &SectionReader<'_, '_>, machine: &Machine) -> Result<Server, Noted> {
    let listen = read_listen(section);
    let cores = read_cores(section, machine);
    let backend = section.choice(&BACKEND);
    let uring_replies = read_uring_replies(section, &backend);
    let spread = section.choice(&SPREAD);
    let receive_buffer_bytes = section.whole(&RECEIVE_BUFFER_BYTES);
    let worker_priority = section.whole(&WORKER_PRIORITY);
    let user = read_user(section);
    Ok(Server {
        listen: listen?,
        cores: cores?,
        backend: backend?.value,
        uring_replies: uring_replies?,
        spread: spread?.value,
        receive_buffer_bytes: receive_buffer_bytes?.value as usize,
        worker_priority: NonZeroU8::new(worker_priority?.value as u8),
        user: user?,
    })
}

fn read_listen(section: &SectionReader<'_, '_>) -> Result<Listen, Noted> {
    let Some(entries) = section.texts(&LISTEN)? else { return Ok(Listen::Default) };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let mut flaw = None;
    for entry in entries.value {
        match parse_listen(entry.value) {
            Ok(address) if address.port() != 0 && addresses.contains(&address) => {
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
    flaw.map_or(Ok(Listen::At(addresses)), Err)
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
) -> Result<UringReplies, Noted> {
    let replies = section.choice(&URING_REPLIES)?;
    match (backend, replies.position) {
        (Ok(Found { value: Backend::Mmsg, .. }), Some(position))
            if replies.value != UringReplies::Auto =>
        {
            let written = section.as_written(&URING_REPLIES);
            let cause = format!("`{written}` has no meaning with `backend = \"mmsg\"`");
            Err(section.note(position, cause, "leave one of the two out"))
        }
        _ => Ok(replies.value),
    }
}

fn read_user(section: &SectionReader<'_, '_>) -> Result<Option<String>, Noted> {
    let Some(user) = section.text(&USER)? else { return Ok(None) };
    let is_name = (1..=USER_CHARS_MAX).contains(&user.value.len())
        && user.value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && user.value.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !is_name {
        let cause = format!("{:?} is no user name", user.value);
        let remedy = "write a name from /etc/passwd as in `user = \"timeball\"`";
        return Err(section.note(user.position, cause, remedy));
    }
    Ok(Some(user.value.to_owned()))
}

fn read_clock(
    section: &SectionReader<'_, '_>,
    sources: Result<usize, &Noted>,
) -> Result<Clock, Noted> {
    let steering = read_steering(section, sources);
    let drift_file = read_drift_file(section);
    let max_root_distance = section.seconds(&MAX_ROOT_DISTANCE_S);
    let thresholds = read_thresholds(section);
    let (step_threshold, panic_threshold) = thresholds?;
    Ok(Clock {
        steering: steering?,
        drift_file: drift_file?,
        step_threshold,
        max_root_distance: max_root_distance?.value,
        panic_threshold,
    })
}

fn read_steering(
    section: &SectionReader<'_, '_>,
    sources: Result<usize, &Noted>,
) -> Result<Steering, Noted> {
    let steering = section.choice(&STEERING)?;
    match (steering, sources) {
        (Found { value: Steering::Kernel, position: Some(position) }, Ok(0)) => {
            let cause = "`steering = \"kernel\"` without a source to steer by";
            Err(section.note(position, cause, "add a [[source]], or leave `steering` out"))
        }
        _ => Ok(steering.value),
    }
}

fn read_drift_file(section: &SectionReader<'_, '_>) -> Result<Option<PathBuf>, Noted> {
    let Some(path) = section.text(&DRIFT_FILE)? else { return Ok(None) };
    if !Path::new(path.value).is_absolute() || path.value.ends_with('/') {
        let cause = format!("{:?} is not the absolute path of a file", path.value);
        let remedy = "write the whole path as in \"/var/lib/timeball/drift\"";
        return Err(section.note(path.position, cause, remedy));
    }
    Ok(Some(path.value.into()))
}

/// Step and panic threshold; the latter is above the former, or nothing would ever be stepped.
fn read_thresholds(section: &SectionReader<'_, '_>) -> Result<(Interval, Option<Interval>), Noted> {
    let (step, panic) = (section.seconds(&STEP_THRESHOLD_S), section.seconds(&PANIC_THRESHOLD_S));
    let (step, panic) = (step?, panic?);
    let panic_threshold = (panic.value != Interval::ZERO).then_some(panic.value);
    // At least one of the two is written: the defaults do not contradict each other.
    match (panic_threshold, panic.position.or(step.position)) {
        (Some(threshold), Some(position)) if threshold <= step.value => {
            let cause = format!(
                "`{}` is not above `{}`",
                section.as_written(&PANIC_THRESHOLD_S),
                section.as_written(&STEP_THRESHOLD_S)
            );
            Err(section.note(position, cause, "raise it, lower the other, or write 0 for none"))
        }
        _ => Ok((step.value, panic_threshold)),
    }
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
    let read: Vec<_> = sections.iter().map(read_source).collect();
    let mut flaw = None;
    for (index, (section, source)) in sections.iter().zip(&read).enumerate() {
        let Ok(source) = source else { continue };
        let earlier = || read[..index].iter().flatten();
        if let Some(twin) = earlier().find(|other| other.endpoint == source.endpoint) {
            let line = twin.position.line;
            let cause = format!("{} is already a source, on line {line}", source.endpoint);
            flaw = Some(section.note(source.position, cause, "keep one of them"));
        }
        if let Some(rival) = earlier().find(|other| other.prefer && source.prefer) {
            let line = rival.position.line;
            let cause = format!("`prefer = true` here and for the source on line {line}");
            flaw = Some(section.note(source.position, cause, "prefer one source at most"));
        }
        if listen.is_some_and(|listen| is_own(&source.endpoint, listen)) {
            let cause = format!("{} is this server itself, by `listen`", source.endpoint);
            flaw = Some(section.note(source.position, cause, "name another server, or its port"));
        }
    }
    let sources = all(read);
    flaw.map_or(sources, Err)
}

fn read_source(section: &SectionReader<'_, '_>) -> Result<Source, Noted> {
    let address = read_address(section);
    let iburst = section.flag(&IBURST);
    let poll = read_poll(section);
    let prefer = section.flag(&PREFER);
    let family = section.choice(&FAMILY);
    let ((endpoint, position), family) = (address?, family?);
    if let (Host::Address(address), Some(at)) = (&endpoint.host, family.position)
        && !family.value.admits(*address)
    {
        let cause = format!("`{}` excludes {address}", section.as_written(&FAMILY));
        return Err(section.note(at, cause, "leave `family` out: the address says it"));
    }
    Ok(Source {
        endpoint,
        iburst: iburst?,
        poll: poll?,
        prefer: prefer?,
        family: family.value,
        position,
    })
}

fn read_address(section: &SectionReader<'_, '_>) -> Result<(Endpoint, Position), Noted> {
    let Some(address) = section.text(&ADDRESS)? else {
        let remedy = "add `address = \"…\"` to this [[source]]";
        return Err(section.note(section.position, "a source without `address`", remedy));
    };
    match Endpoint::parse(address.value) {
        Ok(endpoint) => Ok((endpoint, address.position)),
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

/// A configuration is a few kilobytes; this keeps a device or a disk image from being read whole.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// useradd(8): names of up to 32 characters.
const USER_CHARS_MAX: usize = 32;
