//! The archive for systems without dpkg: the same files, to be unpacked over the root.

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::PackageError;
use crate::metadata::Metadata;
use crate::tool;

/// Makes the archive of the files below `tree` in `directory`.
pub(crate) fn write(
    metadata: &Metadata,
    tree: &Path,
    directory: &Path,
) -> Result<PathBuf, PackageError> {
    let name = format!("{}-{}-{ARCH}-linux-gnu", metadata.name, metadata.version);
    let archive = directory.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--format=gnu", "--owner=root:0", "--group=root:0"]);
    tar.arg(format!("--mtime=@{}", metadata.source_date))
        .arg("--use-compress-program=gzip --best --no-name");
    // Below one directory, as people expect; the names of links stay.
    tar.arg(format!("--transform=flags=rh;s,^\\.,{name},"));
    tar.arg("--create").arg("--file").arg(&archive).arg("--directory").arg(tree).arg(".");
    tool::run(&mut tar, "tar")?;
    Ok(archive)
}
