//! `timeball-load report` and `merge`: views of stored results.
//!
//! Must never: offer load.

use std::path::PathBuf;

use super::error::{CommandError, Ending};
use super::output_args::OutputArgs;
use crate::Document;

/// Show one stored result.
#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// A result stored with --save.
    #[arg(value_name = "FILE.json")]
    result: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

/// Add up what many generators measured at the same time.
#[derive(Debug, clap::Args)]
pub(super) struct MergeArgs {
    /// Results stored with --save, one of each generator.
    #[arg(value_name = "FILE.json", required = true, num_args = 2..)]
    results: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn report(args: &ReportArgs) -> Result<Ending, CommandError> {
    args.output.check()?;
    let document = Document::load(&args.result)?;
    args.output.put(&document)?;
    Ok(Ending::of(&document))
}

pub(super) fn merge(args: &MergeArgs) -> Result<Ending, CommandError> {
    args.output.check()?;
    let documents: Result<Vec<_>, _> =
        args.results.iter().map(|path| Document::load(path)).collect();
    let document = Document::merge(documents?)?;
    args.output.put(&document)?;
    Ok(Ending::of(&document))
}
