//! The command line.
//!
//! Must never: have a default that takes more than a few minutes.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use timeball_sim::Waits;

/// Runs the discipline in worlds in which the time is known.
#[derive(Debug, Parser)]
#[command(name = "timeball-sim", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Worlds × seeds, beside chrony's figures and the goals.
    Worlds(WorldsOptions),
    /// What must hold whatever the figures: eras, leap seconds, liars, hopeless networks.
    Conditions(ConditionsOptions),
    /// One run as a picture (SVG, on standard output): offset, estimate and root distance over time.
    Draw(DrawOptions),
    /// Odd worlds, drawn from seeds, to see whether any promise breaks.
    Swarm(SwarmOptions),
}

#[derive(Args, Debug)]
pub(crate) struct WorldsOptions {
    /// Worlds to run [default: all].
    pub(crate) names: Vec<String>,
    /// Seeds, as FIRST..LAST with both included.
    #[arg(long, default_value = "1001..1020")]
    pub(crate) seeds: Seeds,
    /// Start every world with a burst of requests, which chrony's figures do not.
    #[arg(long)]
    pub(crate) burst: bool,
    /// The shape of all queues: exponential, half-normal, uniform, heavy-tailed or outliers.
    #[arg(long, value_name = "SHAPE", value_parser = waits)]
    pub(crate) waits: Option<Waits>,
    /// Compare by seed with the output of an earlier `worlds --json`.
    #[arg(long, value_name = "FILE", conflicts_with = "null")]
    pub(crate) against: Option<PathBuf>,
    /// Compare by seed with the same again under another dither: what luck alone makes.
    #[arg(long)]
    pub(crate) null: bool,
    /// Fail if a goal is missed.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Say how long a run took.
    #[arg(long)]
    pub(crate) time: bool,
    /// Print JSON for programs instead of a table for people.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ConditionsOptions {
    /// Seeds, as FIRST..LAST with both included.
    #[arg(long, default_value = "1..100")]
    pub(crate) seeds: Seeds,
}

#[derive(Args, Debug)]
pub(crate) struct DrawOptions {
    /// The world; "swarm" for the odd one that the seed draws.
    pub(crate) name: String,
    /// The seed.
    pub(crate) seed: u64,
    /// Start with a burst of requests.
    #[arg(long)]
    pub(crate) burst: bool,
    /// First second drawn.
    #[arg(long, default_value_t = 0, value_name = "SECOND")]
    pub(crate) from: usize,
    /// Last second drawn [default: the last].
    #[arg(long, value_name = "SECOND")]
    pub(crate) to: Option<usize>,
}

#[derive(Args, Debug)]
pub(crate) struct SwarmOptions {
    /// How many worlds.
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) count: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    pub(crate) from: u64,
}

fn waits(name: &str) -> Result<Waits, String> {
    let known = Waits::ALL.into_iter().find(|waits| waits.name() == name);
    known.ok_or_else(|| format!("shapes are {}", Waits::ALL.map(Waits::name).join(", ")))
}

/// Seeds from a first to a last, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seeds {
    first: u64,
    last: u64,
}

impl Seeds {
    pub(crate) fn iter(self) -> impl Iterator<Item = u64> {
        self.first..=self.last
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no seed"));
        let seeds = Self { first: number(first)?, last: number(last)? };
        let many = seeds.last.checked_sub(seeds.first).is_none_or(|more| more >= SEEDS_MAX);
        if many { Err(format!("1 to {SEEDS_MAX} seeds, FIRST..LAST")) } else { Ok(seeds) }
    }
}

const SEEDS_MAX: u64 = 1_000_000;

const AFTER_HELP: &str = "\
Exit codes: 0 all promises held; 1 a goal was missed (with --strict); 2 wrong usage or a file that \
cannot be used; 3 a promise was broken or a condition did not hold: in which world, with which seed, \
and what it was is printed.";
