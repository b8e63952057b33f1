//! `timeball-load compare`: two servers in turns, or two sets of stored results.
//!
//! Must never: compare loads that were not the same.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::error::{CommandError, Ending};
use super::load_args::LoadArgs;
use super::output_args::OutputArgs;
use super::signals;
use super::sweep::STEP_S;
use super::watch_args::WatchArgs;
use crate::{Comparison, Document, Experiment, Machine, Method, Options, Trial};

/// Compare two servers, or two builds of one on two ports, in turns; or two sets of stored results.
///
/// --duration is that of each turn, 2 s unless given.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first: a server, or results stored with --save, separated by commas.
    #[arg(value_name = "ADDRESS:PORT|FILE,…")]
    a: String,
    /// The second; its figures are divided by those of the first.
    #[arg(value_name = "ADDRESS:PORT|FILE,…")]
    b: String,
    /// Rounds, in each of which both servers are loaded, in changing order.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    rounds: u32,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, CommandError> {
    args.output.check()?;
    let address = |text: &str| text.parse::<SocketAddr>().ok();
    let mut document = match (address(&args.a), address(&args.b)) {
        (Some(a), Some(b)) => in_turns(args, [a, b])?,
        (None, None) => stored(args)?,
        _ => {
            let text = "compare two servers (ADDRESS:PORT) or two sets of files, not one of each";
            return Err(CommandError::Usage(text.to_owned()));
        }
    };
    let method = if address(&args.a).is_some() { Method::Paired } else { Method::Unpaired };
    let of = |subject: &str| -> Vec<&Trial> {
        document.trials.iter().filter(|it| it.subject.as_deref() == Some(subject)).collect()
    };
    let (mut a, mut b) = (of("A"), of("B"));
    if method == Method::Paired {
        // Of an interrupted round there may be one half.
        let rounds = a.len().min(b.len());
        a.truncate(rounds);
        b.truncate(rounds);
    }
    let comparison = Comparison::of((&args.a, &args.b), &a, &b, method);
    document.comparison = Some(comparison);
    args.output.put(&document)?;
    Ok(Ending::of(&document))
}

/// Loads both servers in turns: A B, B A, A B …, so that neither always comes first.
fn in_turns(args: &Args, targets: [SocketAddr; 2]) -> Result<Document, CommandError> {
    let stop = signals::stop_flag()?;
    let machine = Machine::look();
    let sides = [("A", targets[0]), ("B", targets[1])];
    let options = |target| args.load.options(target, STEP_S);
    for (name, target) in sides {
        // The first load of a server's life says little of the ones after it.
        let warm_up = Options { duration: options(target)?.duration / 4, ..options(target)? };
        args.watch.offer(&warm_up, &stop, &format!("{name}, warming up: "))?;
    }
    let mut trials = Vec::new();
    for round in 0..args.rounds {
        let order = if round % 2 == 0 { sides } else { [sides[1], sides[0]] };
        for (name, target) in order {
            let whose = format!("{name}, round {} of {}: ", round + 1, args.rounds);
            let trial = turn(args, &options(target)?, &stop, &whose)?;
            let is_over = trial.report.interrupted;
            trials.push(Trial { subject: Some(name.to_owned()), ..trial });
            if is_over {
                return Ok(Document::new(Experiment::Compare, machine, trials));
            }
        }
    }
    Ok(Document::new(Experiment::Compare, machine, trials))
}

fn turn(
    args: &Args,
    options: &Options,
    stop: &AtomicBool,
    whose: &str,
) -> Result<Trial, CommandError> {
    let options = Options { probe: false, ..options.clone() };
    args.watch.offer(&options, stop, whose)
}

/// All loads of the files of either side.
fn stored(args: &Args) -> Result<Document, CommandError> {
    let mut sum: Option<Document> = None;
    for (name, files) in [("A", &args.a), ("B", &args.b)] {
        for file in files.split(',') {
            let mut document = Document::load(Path::new(file))?;
            for trial in &mut document.trials {
                trial.subject = Some(name.to_owned());
            }
            match &mut sum {
                None => sum = Some(Document { kind: Experiment::Compare, ..document }),
                Some(sum) => {
                    sum.trials.append(&mut document.trials);
                    sum.generators.append(&mut document.generators);
                    sum.remarks.append(&mut document.remarks);
                }
            }
        }
    }
    let Some(mut sum) = sum else {
        return Err(CommandError::Usage("name results stored with --save".to_owned()));
    };
    if sum.trials.windows(2).any(|pair| pair[0].load != pair[1].load) {
        let text = "these results are of different loads, so that their figures say nothing about each \
                    other; store results of one load for both";
        return Err(CommandError::Usage(text.to_owned()));
    }
    sum.remarks.sort();
    sum.remarks.dedup();
    Ok(sum)
}
