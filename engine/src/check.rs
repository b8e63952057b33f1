//! `timeball check CONFIG`: is this file right, and what would be done with it?
//!
//! It answers the question that an operator asks before a restart, so a name that does not resolve
//! is a problem like any other: the server would start, and not have that source.
//!
//! Must never: open a socket to listen on, or change anything.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use serde_json::{Value, json};
use timeball_responder::Restrictions;

use crate::config::{
    Access, Backend, Clock, ConfigError, Family, Host, KeyFile, LeapMode, Listen, Machine, Metrics,
    Plan, Position, Problem, Server, Source, Spread, Statistics, Steering, UringReplies, Whom,
    Words, example,
};
use crate::given::{Given, Loaded};
use crate::import::Imported;
use crate::{host, metrics, names, output};

/// Read a config, look up its names and print what `serve` would do with it.
///
/// Exit codes: 0 the file is right, 1 there are problems in it, 2 it could not be read.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(WHAT).required(true))]
pub struct Args {
    #[command(flatten)]
    given: Given,

    /// Print the plan, or the problems, as JSON on standard output.
    #[arg(long)]
    json: bool,

    /// Print a commented example with every setting, and check nothing.
    #[arg(long, conflicts_with_all = ["config", "ntp_conf", "json"])]
    example: bool,

    /// Print the table of all metrics, as in the documentation, and check nothing.
    #[arg(long, conflicts_with_all = ["config", "ntp_conf", "json"])]
    metrics: bool,
}

/// Runs the command: the plan goes to standard output, problems to standard error.
pub fn run(args: &Args) -> ExitCode {
    if args.example {
        output::print(&example());
        return ExitCode::SUCCESS;
    }
    if args.metrics {
        output::print(&metrics::document());
        return ExitCode::SUCCESS;
    }
    let path = args.given.config.as_ref().or(args.given.ntp_conf.as_ref());
    let path = path.expect("the command line requires one of the two");
    let outcome = check(&args.given, &Machine::this(), names::look_up);
    match (&outcome, args.json) {
        (outcome, true) => output::print(&format!("{:#}\n", to_json(path, outcome))),
        (Ok(report), false) => output::print(&format!("{report}\n")),
        (Err(error), false) => output::complain(&format!("{error}\n")),
    }
    match outcome {
        Ok(_) => ExitCode::SUCCESS,
        Err(ConfigError::Wrong(_) | ConfigError::Imported(_)) => ExitCode::from(EXIT_WRONG),
        Err(ConfigError::Unreadable { .. }) => ExitCode::from(EXIT_UNREADABLE),
    }
}

/// Reads what was given, plans for `machine`, and asks `resolve` for every name in the plan.
///
/// # Errors
///
/// Those of [`Given::load`]; and, if the file itself is right, one with every source that has no
/// address to ask, and every access rule about a name without one.
pub fn check(
    given: &Given,
    machine: &Machine,
    resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Sync,
) -> Result<Report, ConfigError> {
    let loaded = given.load(machine)?;
    let keys = loaded.keys()?;
    let plan = &loaded.plan;
    // Side by side: a resolver that does not answer takes many seconds for each name.
    let (outcomes, unknown): (Vec<_>, Vec<_>) = thread::scope(|scope| {
        let rules: Vec<_> = plan
            .access
            .iter()
            .filter_map(|rule| match &rule.whom {
                Whom::Name(name) => {
                    let name_problem = || name_addresses(name, rule.position, &resolve).err();
                    Some(scope.spawn(name_problem))
                }
                _ => None,
            })
            .collect();
        let addresses_of = |source| addresses_of(source, &resolve);
        let running: Vec<_> =
            plan.sources.iter().map(|source| scope.spawn(move || addresses_of(source))).collect();
        let finished = running.into_iter().map(|thread| thread.join().expect("no panic in it"));
        let unknown = rules.into_iter().filter_map(|rule| rule.join().expect("no panic in it"));
        (finished.collect(), unknown.collect())
    });
    let of_sources = outcomes.iter().filter_map(|one| one.as_ref().err().cloned());
    let problems: Vec<_> = of_sources.chain(unknown).chain(host::problems(plan)).collect();
    if !problems.is_empty() {
        return Err(loaded.blame(problems));
    }
    let addresses = outcomes.into_iter().flatten().collect();
    let Loaded { path, plan, imported } = loaded;
    let notes = host::notes(&plan);
    Ok(Report { path, plan, imported, keys, addresses, notes })
}

fn addresses_of(
    source: &Source,
    resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>>,
) -> Result<Vec<IpAddr>, Problem> {
    let name = match &source.endpoint.host {
        Host::Address(address) => return Ok(vec![*address]),
        Host::Name(name) => name,
    };
    let all = name_addresses(name, source.position, resolve)?;
    let usable: Vec<_> = all.into_iter().filter(|ip| source.family.admits(*ip)).collect();
    if usable.is_empty() {
        let family = source.family.word();
        let cause = format!("{name:?} has no address that `family = {family:?}` allows");
        let remedy = "name another server, or leave `family` out".into();
        return Err(Problem { position: source.position, cause, remedy });
    }
    Ok(usable)
}

fn name_addresses(
    name: &str,
    position: Position,
    resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>>,
) -> Result<Vec<IpAddr>, Problem> {
    resolve(name).map_err(|error| Problem {
        position,
        cause: format!("{name:?} has no address: {error}"),
        remedy: "check the spelling, and that this machine can resolve names".into(),
    })
}

/// A file that is right: the plan, and where its sources are.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// The plan it makes.
    pub plan: Plan,
    /// What became of each of its lines, if it was written for another program.
    pub imported: Option<Imported>,
    /// The keys it names.
    pub keys: KeyFile,
    /// The addresses of each source, in the order of [`Plan::sources`]; none of them empty.
    pub addresses: Vec<Vec<IpAddr>>,
    /// What else there is to know on this machine.
    pub notes: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { server, local, sources, access, control, statistics, log_level, .. } =
            &self.plan;
        f.write_str(&findings_text(self.imported.as_ref()))?;
        writeln!(f, "{} is right; timeball would", self.path.display())?;
        writeln!(f, "  listen on   {}", comma_list(&server.listen.addresses()))?;
        if let Some(fallback) = server.listen.fallback() {
            writeln!(f, "              or {}", comma_list(&fallback))?;
            writeln!(f, "              if port {} is not permitted", Listen::PORT)?;
        }
        if !server.listen_smeared.is_empty() {
            let hours = server.smear.length().as_secs_f64() / 3600.0;
            let addresses = comma_list(&server.listen_smeared);
            writeln!(f, "  smear       leap seconds over {hours} h on {addresses}")?;
        }
        writeln!(f, "  answer with {}", workers_text(&self.plan))?;
        if self.plan.fast_path.is_on() {
            writeln!(f, "  answer      {}", self.plan.fast_path)?;
        }
        writeln!(f, "  spread      {}", spread_text(server.spread))?;
        writeln!(f, "  carry by    {}{}", carrier_text(server), server.transmit.about())?;
        writeln!(f, "  buffer      {} bytes for each socket", server.receive_buffer_bytes)?;
        let user = server.user.as_deref().map_or("stay the user that starts it".into(), |user| {
            format!("be {user:?} once its sockets are open")
        });
        writeln!(f, "  run as      {user}")?;
        writeln!(f, "  confine     {}", self.plan.sandbox)?;
        if let Some(settings) = &self.plan.keys {
            let (count, file) = (self.keys.keys.iter().len(), settings.file.display());
            writeln!(f, "  trust       {count} keys of {file}")?;
            for warning in &self.keys.warnings {
                writeln!(f, "              {file}:{warning}")?;
            }
        }
        self.clock_lines(f)?;
        write!(f, "{}", self.plan.lan)?;
        if let Some(local) = local {
            let when = if sources.is_empty() && !self.plan.lan.finds_sources() {
                "at once".to_owned()
            } else {
                format!("when every source has failed, {} s or more after the start", {
                    local.wait.as_secs_f64()
                })
            };
            let stratum = local.stratum.get();
            writeln!(f, "  serve       the local clock at stratum {stratum}, {when}")?;
        }
        for rule in access {
            writeln!(f, "  let         {}", access_text(rule))?;
        }
        writeln!(f, "  limit       {}", crate::config::limits_text(&self.plan.limits))?;
        if let Some(socket) = &control.socket {
            writeln!(f, "  tell        its state at {}", socket.display())?;
        }
        self.plan.metrics.iter().try_for_each(|page| writeln!(f, "  tell        {page}"))?;
        if let Some(Statistics { directory, kinds, .. }) = statistics {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind.word()).collect();
            writeln!(f, "  write       {} in {}", kinds.join(", "), directory.display())?;
        }
        write!(f, "  log         {} and above", log_level.word())?;
        self.notes.iter().try_for_each(|note| write!(f, "\nbut here {note}"))
    }
}

impl Report {
    /// Where the time comes from and how it is kept.
    fn clock_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { clock, sources, .. } = &self.plan;
        for (source, addresses) in sources.iter().zip(&self.addresses) {
            writeln!(f, "  ask         {}", source_text(source, addresses))?;
        }
        if !sources.is_empty() {
            writeln!(f, "  steer       {}", steering_text(clock.steering))?;
            writeln!(f, "              {}", steps_text(clock))?;
        }
        if let Some(file) = &clock.leap_file {
            writeln!(f, "  believe     the list of leap seconds in {}", file.display())?;
        }
        if clock.steering == Steering::Kernel {
            writeln!(f, "              and {}", leap_text(clock.leap_second))?;
        }
        if let Some(file) = &clock.drift_file {
            writeln!(f, "  remember    the frequency in {}", file.display())?;
        }
        if let Some(file) = &clock.state_file {
            writeln!(f, "  remember    the state of the clock in {}", file.display())?;
        }
        let distance = clock.max_root_distance.as_secs_f64();
        writeln!(f, "  admit       being unsynchronised above a root distance of {distance} s")
    }
}

fn findings_text(imported: Option<&Imported>) -> String {
    let findings = imported.iter().flat_map(|imported| &imported.findings);
    findings.map(|finding| format!("{finding}\n")).collect()
}

fn access_text(rule: &Access) -> String {
    let [allowed, required] = rule.words().map(|words| words.join(" and "));
    let port = if rule.from_ntp_port { ", from port 123," } else { "" };
    let allowed = if allowed.is_empty() { "nothing" } else { &allowed };
    let kissed = rule.restrictions.contains(Restrictions::KISSED);
    let kissed = if kissed { ", told when it is too often" } else { "" };
    let with = if required.is_empty() { String::new() } else { format!(", with {required}") };
    format!("{}{port} have {allowed}{with}{kissed}", rule.whom)
}

fn workers_text(plan: &Plan) -> String {
    let cores = &plan.server.cores;
    let workers = if cores.len() == 1 {
        format!("1 worker on core {}", cores[0])
    } else {
        format!("{} workers on cores {}", cores.len(), comma_list(cores))
    };
    match plan.server.worker_priority {
        Some(priority) => format!("{workers}, at real-time priority {priority}"),
        None => format!("{workers}, at ordinary priority"),
    }
}

fn spread_text(spread: Spread) -> &'static str {
    match spread {
        Spread::SourceAddress => "packets over workers by source address",
        Spread::Cpu => "packets over workers by the core that received them",
        Spread::Kernel => "packets over workers by source address and port",
    }
}

fn carrier_text(server: &Server) -> String {
    let ring = match server.uring_replies {
        UringReplies::Auto => "io_uring",
        UringReplies::Ring => "io_uring, replies by it too",
        UringReplies::Sendmmsg => "io_uring, replies by sendmmsg",
    };
    match server.backend {
        Backend::Auto => format!("{ring}; or recvmmsg and sendmmsg where that is not allowed"),
        Backend::Uring => ring.into(),
        Backend::Mmsg => "recvmmsg and sendmmsg".into(),
    }
}

fn steps_text(clock: &Clock) -> String {
    let step = clock.step_threshold.as_secs_f64();
    let limit =
        clock.step_limit.map_or(String::new(), |limit| format!(" in the first {limit} updates"));
    let panic = clock.panic_threshold.map_or("any offset".into(), |threshold| {
        format!("no offset above {} s", threshold.as_secs_f64())
    });
    format!("stepping above {step} s{limit}, believing {panic}")
}

fn steering_text(steering: Steering) -> &'static str {
    match steering {
        Steering::Virtual => "the served time only, never the kernel clock",
        Steering::Kernel => "the kernel clock",
    }
}

fn leap_text(leap: LeapMode) -> &'static str {
    match leap {
        LeapMode::Kernel => "let the kernel make leap seconds in its clock",
        LeapMode::Step => "step the kernel clock after a leap second",
        LeapMode::Slew => "slew the kernel clock after a leap second",
    }
}

fn source_json(source: &Source, addresses: &[IpAddr]) -> Value {
    json!({
        "address": source.endpoint.to_string(),
        "resolved": texts(addresses),
        "max_sources": source.max_sources,
        "iburst": source.iburst,
        "min_poll": source.poll.min(),
        "max_poll": source.poll.max(),
        "prefer": source.prefer,
        "family": source.family.word(),
        "key": source.key.map(|key| key.id.0),
    })
}

fn source_text(source: &Source, addresses: &[IpAddr]) -> String {
    let mut text = source.endpoint.to_string();
    if let Host::Name(_) = source.endpoint.host {
        text += &format!(" ({})", comma_list(addresses));
    }
    if source.max_sources > 1 {
        text += &format!(", {} servers of it at a time", source.max_sources);
    }
    let (min, max) = (source.poll.min(), source.poll.max());
    text += &format!(", every {} to {} s", 1u32 << min, 1u32 << max);
    if source.iburst {
        text += ", with a burst first";
    }
    if source.prefer {
        text += ", preferred";
    }
    if let Some(key) = source.key {
        text += &format!(", signed with key {}", key.id);
    }
    match source.family {
        Family::Any => {}
        Family::Ipv4 => text += ", IPv4 only",
        Family::Ipv6 => text += ", IPv6 only",
    }
    text
}

/// The outcome for programs; the plan's names are those of the file.
fn to_json(path: &Path, outcome: &Result<Report, ConfigError>) -> Value {
    let file = path.display().to_string();
    match outcome {
        Ok(report) => {
            let plan = plan_json(&report.plan, &report.keys, &report.addresses);
            json!({ "file": file, "ok": true, "plan": plan, "notes": report.notes })
        }
        Err(ConfigError::Unreadable { cause, remedy, .. }) => {
            json!({ "file": file, "ok": false, "problems": [{ "cause": cause, "remedy": remedy }] })
        }
        Err(ConfigError::Wrong(wrong)) => {
            let problems: Vec<_> = wrong.problems.iter().map(problem_json).collect();
            json!({ "file": file, "ok": false, "problems": problems })
        }
        Err(ConfigError::Imported(problems)) => {
            let problems: Vec<_> = problems.iter().map(|cause| json!({ "cause": cause })).collect();
            json!({ "file": file, "ok": false, "problems": problems })
        }
    }
}

fn problem_json(problem: &Problem) -> Value {
    json!({
        "line": problem.position.line,
        "column": problem.position.column,
        "cause": problem.cause,
        "remedy": problem.remedy,
    })
}

/// `plan` for programs, by the names of the file; `addresses` are those of its sources, where known.
pub(crate) fn plan_json(plan: &Plan, keys: &KeyFile, addresses: &[Vec<IpAddr>]) -> Value {
    let Plan { server, clock, local, sources, access, control, statistics, log_level, .. } = plan;
    let known = addresses.iter().map(Vec::as_slice).chain(std::iter::repeat(&[][..]));
    let sources = sources.iter().zip(known);
    json!({
        "server": {
            "listen": texts(&server.listen.addresses()),
            "listen_if_not_permitted": server.listen.fallback().map(|fallback| texts(&fallback)),
            "listen_smeared": texts(&server.listen_smeared),
            "smear_s": server.smear.length().as_secs_f64(),
            "workers": server.workers(),
            "cores": server.cores,
            "backend": server.backend.word(),
            "uring_replies": server.uring_replies.word(), "transmit": server.transmit.word(),
            "spread": server.spread.word(),
            "receive_buffer_bytes": server.receive_buffer_bytes,
            "worker_priority": server.worker_priority.map_or(0, |priority| priority.get()),
            "user": server.user,
        },
        "fast_path": plan.fast_path.to_json(),
        "clock": {
            "steering": clock.steering.word(),
            "drift_file": clock.drift_file,
            "state_file": clock.state_file,
            "leap_file": clock.leap_file,
            "leap_second": clock.leap_second.word(),
            "step_threshold_s": clock.step_threshold.as_secs_f64(),
            "step_limit": clock.step_limit.map_or(-1, i64::from),
            "max_root_distance_s": clock.max_root_distance.as_secs_f64(),
            "panic_threshold_s": clock.panic_threshold.map_or(0.0, |limit| limit.as_secs_f64()),
        },
        "control": { "control_socket": control.socket },
        "sandbox": { "mode": plan.sandbox.word() },
        "metrics": plan.metrics.as_ref().map(Metrics::to_json),
        "statistics": statistics.as_ref().map(Statistics::to_json),
        "keys": plan.keys.as_ref().map(|settings| json!({
            "file": settings.file,
            "format": settings.format.word(),
            "trusted": keys.keys.iter().map(|one| one.key.id().0).collect::<Vec<_>>(),
            "warnings": keys.warnings.iter().map(problem_json).collect::<Vec<_>>(),
        })),
        "lan": plan.lan.to_json(),
        "log": { "level": log_level.word() },
        "local": local.as_ref().map(|local| json!({
            "stratum": local.stratum.get(),
            "wait_s": local.wait.as_secs_f64(),
        })),
        "access": access.iter().map(|rule| {
            let [allow, require] = rule.words();
            json!({
                "network": rule.whom.to_string(),
                "allow": allow,
                "require": require,
                "from_port_123": rule.from_ntp_port,
                "kiss": rule.restrictions.contains(Restrictions::KISSED),
            })
        }).collect::<Vec<_>>(),
        "limits": crate::config::limits_json(&plan.limits),
        "source": sources.map(|(source, addresses)| source_json(source, addresses)).collect::<Vec<_>>(),
    })
}

fn texts<T: fmt::Display>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn comma_list<T: fmt::Display>(items: &[T]) -> String {
    texts(items).join(", ")
}

/// One of these is wanted.
const WHAT: [&str; 4] = ["config", "ntp_conf", "example", "metrics"];
const EXIT_WRONG: u8 = 1;
const EXIT_UNREADABLE: u8 = 2;
