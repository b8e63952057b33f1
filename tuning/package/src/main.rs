//! `timeball-package`: makes what is installed of timeball, and is not installed itself.
//!
//! ```text
//! command lines ──► manual pages, completions ┐
//! cargo build   ──► programs                  ├─► tree, as it will lie in the system ──► .deb, .tar.gz
//! the checkout  ──► units, config, documents  ┘
//! ```
//!
//! What goes where is said once, in `[package.metadata.deb]` of `engine/Cargo.toml`, in the words of
//! cargo-deb. The same programs give the same bytes: every time in a package is that of the commit, and no
//! path of the machine that built a release is in there.
//!
//! Must never: install anything, or reach for the network beyond what `cargo build` does.
#![forbid(unsafe_code)]

mod archive;
mod cli;
mod completions;
mod deb;
mod error;
mod exit_codes;
mod files;
mod manual;
mod metadata;
mod programs;
mod tool;
mod tree;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("timeball-package: {error}");
            ExitCode::FAILURE
        }
    }
}
