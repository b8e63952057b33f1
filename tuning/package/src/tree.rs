//! The files of the package as they will lie in the system.
//!
//! Must never: take a file that the description does not name, or leave one out that it does.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::PackageError;
use crate::files;
use crate::metadata::{Asset, Metadata};
use crate::tool;

/// Lays all files below `top`, which is emptied first; what was built is in `products`.
pub(crate) fn lay(metadata: &Metadata, products: &Path, top: &Path) -> Result<(), PackageError> {
    files::empty_directory(top)?;
    for Asset(from, to, mode) in &metadata.deb.assets {
        let mode = u32::from_str_radix(mode, 8)
            .map_err(|_| PackageError::Metadata(format!("{mode} are no rights")))?;
        let pattern = from.strip_prefix(BUILT).map_or_else(
            || metadata.manifest_directory.join(from),
            |product| products.join(product),
        );
        for source in expand(&pattern)? {
            let name = source.file_name().unwrap_or_default();
            files::copy(&source, &top.join(to).join(name), mode)?;
        }
    }
    let licence = metadata.manifest_directory.join(&metadata.deb.license_file.0);
    let documents = top.join("usr/share/doc").join(&metadata.name);
    files::copy(&licence, &documents.join("copyright"), 0o644)?;
    strip(top)?;
    compress(&top.join("usr/share/man"))
}

/// The files that `pattern` names, which may have one `*`, in its last part.
fn expand(pattern: &Path) -> Result<Vec<PathBuf>, PackageError> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy();
    let Some((begin, end)) = name.split_once('*') else { return Ok(vec![pattern.to_owned()]) };
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_file() && name.starts_with(begin) && name.ends_with(end)
    };
    let mut found = files::entries(pattern.parent().unwrap_or(pattern))?;
    found.retain(fits);
    if found.is_empty() {
        return Err(PackageError::Metadata(format!("no file is called {}", pattern.display())));
    }
    Ok(found)
}

fn strip(top: &Path) -> Result<(), PackageError> {
    let mut strip = Command::new("strip");
    strip.args(["--strip-unneeded", "--remove-section=.comment"]);
    strip.args(files::entries(&top.join("usr/bin"))?);
    tool::run(&mut strip, "binutils").map(drop)
}

/// As Debian wants manual pages; without the time, which gzip would put in.
fn compress(top: &Path) -> Result<(), PackageError> {
    let mut gzip = Command::new("gzip");
    gzip.args(["--best", "--no-name"]);
    gzip.args(files::below(top)?.iter().map(|page| top.join(page)));
    tool::run(&mut gzip, "gzip").map(drop)
}

/// What the description calls what was built, wherever that is.
const BUILT: &str = "target/release/";
