//! The options that say what load is offered, to whom and from whom; the same for every command that
//! offers one.
//!
//! Must never: have a default that loads a server harder than one command line admits.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{Expectation, Load, Options, Pattern, Population};

use super::error::CommandError;

/// What load is offered, to whom and from whom.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct LoadArgs {
    /// Requests a second, at moments that do not depend on the server (open loop).
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How the moments of an open loop are spread.
    #[arg(long, value_enum, default_value_t = Rhythm::Poisson)]
    rhythm: Rhythm,
    /// Requests in a burst, with `--rhythm bursts`.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    burst: u32,
    /// Requests kept in flight when no rate is given (closed loop).
    #[arg(long, default_value_t = 256)]
    window: u32,
    /// How long load is offered.
    #[arg(long, short = 'd', default_value_t = 10.0, value_name = "SECONDS", value_parser = seconds)]
    duration: f64,
    /// Requests after which offering ends earlier.
    #[arg(long, default_value_t = u32::MAX)]
    requests: u32,
    /// After this long without a reply a request is lost.
    #[arg(long, short = 't', default_value_t = 0.5, value_name = "SECONDS", value_parser = seconds)]
    timeout: f64,
    /// The network whose addresses are the clients; by default all of 127.0.0.0/8, or ::1.
    #[arg(long, value_name = "NETWORK/LENGTH")]
    clients: Option<Population>,
    /// Source ports the clients are spread over.
    #[arg(long, default_value_t = 1)]
    ports: usize,
    /// Requests of one client handed to the kernel as one message when due together.
    #[arg(long, default_value_t = 1)]
    segments: usize,
    /// One request in this many gets a kernel stamp of its departure; 0 for none.
    #[arg(long, default_value_t = 16, value_name = "N")]
    stamp_one_in: u32,
    /// The core the generator runs on.
    #[arg(long)]
    core: Option<usize>,
    /// Seed of the schedule's randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server only echoes: hold it to mode, version and origin, not to its times.
    #[arg(long)]
    echo: bool,
}

/// How the moments of an open loop are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Rhythm {
    /// Equal gaps.
    Constant,
    /// Exponential gaps: many clients that know nothing of each other.
    Poisson,
    /// Many at once, then a pause.
    Bursts,
}

impl LoadArgs {
    /// What the library is to offer to `target`.
    pub(super) fn options(&self, target: SocketAddr) -> Result<Options, CommandError> {
        let everybody = if target.is_ipv4() { "127.0.0.0/8" } else { "::1/128" };
        let population = match self.clients {
            Some(population) => population,
            None => everybody.parse().map_err(|error| CommandError::Usage(format!("{error}")))?,
        };
        let mut options = Options::new(target, population);
        options.load = self.load();
        options.duration = Duration::from_secs_f64(self.duration);
        options.requests_max = self.requests;
        options.timeout = Duration::from_secs_f64(self.timeout);
        options.ports = self.ports;
        options.segments = self.segments;
        options.stamp_one_in = self.stamp_one_in;
        options.core = self.core;
        options.seed = self.seed;
        if self.echo {
            options.expectation = Expectation::Echo;
        }
        Ok(options)
    }

    fn load(&self) -> Load {
        let pattern = match self.rhythm {
            Rhythm::Constant => Pattern::Constant,
            Rhythm::Poisson => Pattern::Poisson,
            Rhythm::Bursts => Pattern::Bursts { size: self.burst },
        };
        self.rate
            .map_or(Load::Closed { window: self.window }, |rate_hz| Load::Open { pattern, rate_hz })
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.001..=3_600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("0.001 to 3600 seconds".to_owned())
    }
}
