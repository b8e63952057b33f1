//! The options that say where a result goes; the same for every command that has one.
//!
//! Must never: write two results to one file.

/// Where the result goes. People read it on standard output unless told otherwise.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// Print JSON for programs.
    #[arg(long)]
    pub(super) json: bool,
}
