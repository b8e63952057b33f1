//! What the workspace says about itself, above all in `[package.metadata.deb]` of `engine/Cargo.toml`.
//!
//! The words there are cargo-deb's, so that `cargo deb -p timeball` makes the same package; only those that
//! are used are understood here, and another one is an error rather than a difference between the two.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::error::PackageError;
use crate::tool;

/// The package to be made.
#[derive(Debug)]
pub(crate) struct Metadata {
    /// Its name and version, as Cargo has them.
    pub(crate) name: String,
    pub(crate) version: String,
    /// One line about it.
    pub(crate) description: String,
    /// The checkout.
    pub(crate) workspace: PathBuf,
    /// Where assets are looked for that are not built.
    pub(crate) manifest_directory: PathBuf,
    /// Where Cargo builds.
    pub(crate) target: PathBuf,
    /// The rest.
    pub(crate) deb: Deb,
    /// Time of everything in the package, in seconds since 1970.
    pub(crate) source_date: String,
}

/// `[package.metadata.deb]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Deb {
    pub(crate) maintainer: String,
    /// A file, and how many of its lines to leave out: none.
    pub(crate) license_file: (PathBuf, String),
    pub(crate) section: String,
    pub(crate) priority: String,
    pub(crate) depends: String,
    pub(crate) recommends: String,
    pub(crate) suggests: String,
    pub(crate) conflicts: String,
    pub(crate) replaces: String,
    pub(crate) provides: String,
    pub(crate) extended_description: String,
    pub(crate) maintainer_scripts: PathBuf,
    pub(crate) assets: Vec<Asset>,
}

/// Which files go where, and with which rights (octal).
#[derive(Debug, Deserialize)]
pub(crate) struct Asset(pub(crate) String, pub(crate) String, pub(crate) String);

#[derive(Deserialize)]
struct Workspace {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    description: Option<String>,
    manifest_path: PathBuf,
    metadata: Option<serde_json::Value>,
}

impl Metadata {
    /// Asks Cargo, and Git for the time.
    pub(crate) fn read() -> Result<Self, PackageError> {
        let mut cargo = Command::new(cargo_program());
        cargo.args(["metadata", "--format-version=1", "--no-deps", "--locked"]);
        let text = tool::run(&mut cargo, "cargo")?;
        let wrong = |error: &dyn ToString| PackageError::Metadata(error.to_string());
        let workspace: Workspace = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        let package = workspace.packages.into_iter().find(|package| package.name == "timeball");
        let package = package.ok_or_else(|| wrong(&"there is no package timeball"))?;
        let deb =
            package.metadata.and_then(|mut metadata| metadata.get_mut("deb").map(|deb| deb.take()));
        let deb = deb.ok_or_else(|| wrong(&"it is missing"))?;
        Ok(Self {
            name: package.name,
            version: package.version,
            description: package.description.unwrap_or_default(),
            manifest_directory: parent(&package.manifest_path),
            target: workspace.target_directory,
            deb: serde_json::from_value(deb).map_err(|error| wrong(&error))?,
            source_date: source_date(&workspace.workspace_root)?,
            workspace: workspace.workspace_root,
        })
    }
}

/// The Cargo that runs this, if it does.
pub(crate) fn cargo_program() -> PathBuf {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into()).into()
}

fn source_date(workspace: &Path) -> Result<String, PackageError> {
    if let Ok(given) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(given);
    }
    let mut git = Command::new("git");
    git.current_dir(workspace).args(["log", "-1", "--format=%ct"]);
    let date =
        tool::run(&mut git, "git").map_err(|error| PackageError::NoDate(error.to_string()))?;
    Ok(date.trim().to_owned())
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_owned()
}
