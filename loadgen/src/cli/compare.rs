//! `timeball-load compare`: two servers in turns, or two sets of stored results.
//!
//! Must never: compare loads that were not the same.

use std::net::SocketAddr;
use std::path::Path;

use super::error::{CommandError, Ending};
use super::measure::{MeasureArgs, Measurement};
use super::sweep::STEP_S;
use crate::{Comparison, Document, Experiment, Method, Options, Trial};

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
    measure: MeasureArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, CommandError> {
    let address = |text: &str| text.parse::<SocketAddr>().ok();
    match (address(&args.a), address(&args.b)) {
        (Some(a), Some(b)) => {
            let mut measurement = args.measure.begin()?;
            let outcome = in_turns(args, &mut measurement, [("A", a), ("B", b)]);
            measurement.end(Experiment::Compare, outcome, |document| {
                document.comparison = Some(comparison(args, document, Method::Paired));
            })
        }
        (None, None) => {
            args.measure.output.check()?;
            let mut document = stored(args)?;
            document.comparison = Some(comparison(args, &document, Method::Unpaired));
            args.measure.output.put(&document)?;
            Ok(Ending::of(&document))
        }
        _ => {
            let text = "compare two servers (ADDRESS:PORT) or two sets of files, not one of each";
            Err(CommandError::Usage(text.to_owned()))
        }
    }
}

fn comparison(args: &Args, document: &Document, method: Method) -> Comparison {
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
    Comparison::of((&args.a, &args.b), &a, &b, method)
}

/// Loads both servers in turns: A B, B A, A B …, so that neither always comes first.
fn in_turns(
    args: &Args,
    measurement: &mut Measurement<'_>,
    sides: [(&str, SocketAddr); 2],
) -> Result<(), CommandError> {
    let options = |target| args.measure.load.options(target, STEP_S);
    for (name, target) in sides {
        // The first load of a server's life says little of the ones after it.
        let warm_up = Options { duration: options(target)?.duration / 4, ..options(target)? };
        measurement.warm_up(&warm_up, &format!("{name}, warming up: "))?;
    }
    for round in 0..args.rounds {
        let order = if round % 2 == 0 { sides } else { [sides[1], sides[0]] };
        for (name, target) in order {
            let whose = format!("{name}, round {} of {}: ", round + 1, args.rounds);
            measurement.offer(&options(target)?, &whose, Some(name))?;
            if measurement.is_over() {
                return Ok(());
            }
        }
    }
    Ok(())
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
