//! `timeball query`: asks servers for the time once, as people do with ntpdate and sntp.
//!
//! Says what each server answered, or in plain words why it cannot be used, and picks the one with the
//! smallest error bound. Sets the clock only when told to, and only if the system lets it.
//!
//! Must never: set the clock from a server it would not recommend.

mod adjust;
mod report;
mod survey;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use timeball_time::Interval;
use timeball_wire::{Key, KeyId};

use crate::config::{Endpoint, Family, Host, KeyFile, KeyFormat, KeySettings, Words};
use crate::names::look_up_at;
use crate::output;
use report::Answer;
use survey::{Candidate, SurveyOptions, survey};

/// Ask servers for the time once, as with ntpdate or sntp.
///
/// Exit codes: 0 a server is good; 1 no server is suitable; 2 wrong usage; 3 the clock could not be set.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Servers as HOST, HOST:PORT or [IPv6]:PORT; port 123 unless given.
    #[arg(required = true, value_name = "HOST[:PORT]")]
    hosts: Vec<Endpoint>,
    /// Requests to each server, a quarter of a second apart.
    #[arg(long, short = 'n', default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=8))]
    samples: u32,
    /// Seconds to wait for each reply.
    #[arg(long, short = 't', default_value_t = 1.0, value_parser = timeout_s, value_name = "SECONDS")]
    timeout: f64,
    /// Use IPv4 only.
    #[arg(short = '4', conflicts_with = "ipv6")]
    ipv4: bool,
    /// Use IPv6 only.
    #[arg(short = '6')]
    ipv6: bool,
    /// Sign requests with this key of --keys, and believe only replies that are signed with it.
    #[arg(long, value_name = "ID", requires = "keys", value_parser = clap::value_parser!(u32).range(1..))]
    key: Option<u32>,
    /// Key file.
    #[arg(long, value_name = "FILE", requires = "key")]
    keys: Option<PathBuf>,
    /// Whose key files it is written like: ntpd's or chrony's.
    #[arg(long, value_name = "FORMAT", default_value = "ntpd", value_parser = key_format)]
    key_format: KeyFormat,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
    /// Set the clock by the best answer, at once (needs CAP_SYS_TIME).
    #[arg(long, conflicts_with = "slew")]
    step: bool,
    /// Turn the clock towards the best answer, at 500 ppm (needs CAP_SYS_TIME).
    #[arg(long)]
    slew: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let adjustment = adjust::Adjustment::wanted(args.step, args.slew);
    if adjustment.is_some()
        && let Some(refusal) = adjust::refusal()
    {
        eprintln!("timeball query: {refusal}");
        return ExitCode::from(EXIT_CANNOT_SET);
    }
    let key = match args.signing_key() {
        Ok(key) => key,
        Err(error) => {
            eprintln!("timeball query: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let mut candidates: Vec<_> =
        args.hosts.iter().map(|host| resolve(host, args.family())).collect();
    let timeout = Interval::from_secs_f64(args.timeout);
    let options = SurveyOptions { samples: args.samples, timeout, key };
    if let Err(error) = survey(&mut candidates, &options) {
        eprintln!(
            "timeball query: {error}; allow more open files (ulimit -n) or ask fewer servers"
        );
        return ExitCode::from(EXIT_USAGE);
    }
    let answers: Vec<_> = candidates.iter().map(Answer::of).collect();
    let best = report::best(&answers);
    output::print(&if args.json {
        report::json(&answers, best)
    } else {
        report::text(&answers, best)
    });
    let Some(best) = best else {
        eprintln!("timeball query: no server suitable for synchronization found");
        return ExitCode::from(EXIT_NONE_SUITABLE);
    };
    let Some(adjustment) = adjustment else { return ExitCode::SUCCESS };
    match adjust::apply(adjustment, best.offset(), &mut timeball_sys::KernelClock::new()) {
        Ok(done) => {
            eprintln!("timeball query: {done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("timeball query: {error}");
            ExitCode::from(EXIT_CANNOT_SET)
        }
    }
}

impl Args {
    /// The key asked for, with its file's warnings on standard error.
    fn signing_key(&self) -> Result<Option<Arc<Key>>, String> {
        let (Some(id), Some(path)) = (self.key, &self.keys) else { return Ok(None) };
        let settings = KeySettings::all_of(path.clone(), self.key_format);
        let file = KeyFile::load(&settings).map_err(|error| error.to_string())?;
        for warning in &file.warnings {
            eprintln!("timeball query: {}:{warning}", path.display());
        }
        let key = file.keys.by_id(KeyId(id)).cloned();
        key.map(|key| Some(Arc::new(key))).ok_or_else(|| {
            format!("{}: there is no key {id}; add it, or name another", path.display())
        })
    }

    const fn family(&self) -> Family {
        match (self.ipv4, self.ipv6) {
            (true, _) => Family::Ipv4,
            (_, true) => Family::Ipv6,
            _ => Family::Any,
        }
    }
}

/// The first address of `endpoint` in `family`.
fn resolve(endpoint: &Endpoint, family: Family) -> Candidate {
    let addresses: Result<Vec<SocketAddr>, String> = match &endpoint.host {
        Host::Address(address) => Ok(vec![SocketAddr::new(*address, endpoint.port)]),
        Host::Name(name) => look_up_at(name, endpoint.port)
            .map(Iterator::collect)
            .map_err(|error| format!("its name does not resolve: {error}")),
    };
    let remote = addresses.and_then(|addresses| {
        let admitted = addresses.into_iter().find(|address| family.admits(address.ip()));
        admitted.ok_or_else(|| "it has no address of the family asked for".to_owned())
    });
    Candidate::new(endpoint.to_string(), remote)
}

fn key_format(text: &str) -> Result<KeyFormat, String> {
    let known = KeyFormat::WORDS.iter().find(|(word, _)| *word == text);
    known.map(|(_, format)| *format).ok_or_else(|| "ntpd or chrony".to_owned())
}

fn timeout_s(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.01..=60.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("0.01 to 60 seconds".to_owned())
    }
}

const EXIT_NONE_SUITABLE: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_CANNOT_SET: u8 = 3;
