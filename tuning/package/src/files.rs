//! Files, with errors that name them.
//!
//! Must never: leave a file with rights that depend on who made it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::PackageError;

/// Turns what the system says of `path` into an error that names it.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> PackageError {
    let path = path.to_owned();
    move |source| PackageError::File { path, source }
}

/// Writes `text` to `path` with rights `mode`; directories that are missing are made.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) -> Result<(), PackageError> {
    make_directory(path.parent().unwrap_or(Path::new("/")))?;
    fs::write(path, text).map_err(at(path))?;
    set_mode(path, mode)
}

/// Copies `from` to `to` with rights `mode`; directories that are missing are made.
pub(crate) fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), PackageError> {
    make_directory(to.parent().unwrap_or(Path::new("/")))?;
    fs::copy(from, to).map_err(at(from))?;
    set_mode(to, mode)
}

/// An empty directory at `path`, whatever was there before.
pub(crate) fn empty_directory(path: &Path) -> Result<(), PackageError> {
    if path.exists() {
        fs::remove_dir_all(path).map_err(at(path))?;
    }
    make_directory(path)
}

/// All files below `top`, relative to it, in order.
pub(crate) fn below(top: &Path) -> Result<Vec<PathBuf>, PackageError> {
    let mut found = Vec::new();
    let mut left = vec![top.to_owned()];
    while let Some(directory) = left.pop() {
        for path in entries(&directory)? {
            if path.is_dir() {
                left.push(path);
            } else if let Ok(relative) = path.strip_prefix(top) {
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What is in `directory`, in order.
pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>, PackageError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(at(directory))? {
        paths.push(entry.map_err(at(directory))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn make_directory(path: &Path) -> Result<(), PackageError> {
    let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
    for directory in missing.into_iter().rev() {
        fs::create_dir(directory).map_err(at(directory))?;
        set_mode(directory, 0o755)?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), PackageError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at(path))
}
