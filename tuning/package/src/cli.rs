//! The command line.
//!
//! Must never: make a package of anything but what it has just built.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::PackageError;
use crate::metadata::{Metadata, cargo_program};
use crate::programs::programs;
use crate::{archive, completions, deb, files, manual, tool, tree};

/// Makes manual pages, shell completions, the Debian package and the archive.
///
/// Exit codes: 0 made, and its path printed; 1 not, for the reason on standard error; 2 wrong usage.
#[derive(Debug, clap::Parser)]
#[command(name = "timeball-package", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Write manual pages and completions into a directory, which is emptied first.
    Manual {
        /// The directory.
        directory: PathBuf,
    },
    /// Make the Debian package.
    Deb {
        #[command(flatten)]
        build: Build,
        /// Which package of this version it is
        #[arg(long, default_value_t = 1)]
        revision: u32,
    },
    /// Make the archive for systems without dpkg.
    Tar {
        #[command(flatten)]
        build: Build,
    },
}

#[derive(Debug, clap::Args)]
struct Build {
    /// Take the programs of the debug build: sooner made, for tests of installing
    #[arg(long)]
    debug: bool,
    /// Where the result goes [default: target/package]
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

impl Cli {
    /// Makes what was asked for.
    pub(crate) fn run(&self) -> Result<(), PackageError> {
        let made = match &self.what {
            What::Manual { directory } => {
                write_manual(&Metadata::read()?, directory)?;
                directory.clone()
            }
            What::Deb { build, revision } => {
                let (metadata, tree, output) = build.tree()?;
                let level = if build.debug { 1 } else { 9 };
                deb::write(&metadata, &tree, *revision, level, &output)?
            }
            What::Tar { build } => {
                let (metadata, tree, output) = build.tree()?;
                archive::write(&metadata, &tree, &output)?
            }
        };
        println!("{}", made.display());
        Ok(())
    }
}

impl Build {
    /// Builds everything and lays it out; gives the tree and where the result goes.
    fn tree(&self) -> Result<(Metadata, PathBuf, PathBuf), PackageError> {
        let metadata = Metadata::read()?;
        let own = metadata.target.join("package");
        let output = self.output.clone().unwrap_or_else(|| own.clone());
        let output = std::path::absolute(&output).map_err(files::at(&output))?;
        let products = if self.debug {
            build(&metadata, &metadata.target, &[])?;
            metadata.target.join("debug")
        } else {
            build(&metadata, &own, &["--release"])?;
            own.join("release")
        };
        write_manual(&metadata, &products.join("manual"))?;
        let tree = output.join("tree");
        tree::lay(&metadata, &products, &tree)?;
        Ok((metadata, tree, output))
    }
}

/// Has Cargo build the programs in `target`. A release has a target directory of its own, because its
/// flags would have Cargo build everything anew, here and after it.
fn build(metadata: &Metadata, target: &Path, flags: &[&str]) -> Result<(), PackageError> {
    let mut cargo = Command::new(cargo_program());
    cargo.current_dir(&metadata.workspace).args(["build", "--locked"]).args(flags);
    cargo.arg("--target-dir").arg(target).stderr(Stdio::inherit());
    for program in programs() {
        cargo.args(["--package", program.command.get_name()]);
    }
    if !flags.is_empty() {
        cargo.env("RUSTFLAGS", without_paths(metadata));
    }
    tool::run(&mut cargo, "cargo").map(drop)
}

/// Flags by which the programs do not depend on where they were built.
fn without_paths(metadata: &Metadata) -> String {
    let given = env::var("RUSTFLAGS").unwrap_or_default();
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or(home).unwrap_or_default();
    let (here, cargo) = (metadata.workspace.display(), cargo.display());
    format!("{given} --remap-path-prefix={cargo}=/cargo --remap-path-prefix={here}=/timeball")
}

fn write_manual(metadata: &Metadata, directory: &Path) -> Result<(), PackageError> {
    let mut day = Command::new("date");
    day.args(["--utc", "+%F", "--date"]).arg(format!("@{}", metadata.source_date));
    let day = tool::run(&mut day, "coreutils")?;
    files::empty_directory(directory)?;
    for program in programs() {
        manual::write(&program, day.trim(), directory)?;
        completions::write(&program, directory)?;
    }
    manual::write_configuration(day.trim(), directory)
}
