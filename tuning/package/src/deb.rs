//! The Debian package, made of the tree by `dpkg-deb`.
//!
//! Must never: name a dependency that the programs do not have.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::PackageError;
use crate::files;
use crate::metadata::Metadata;
use crate::tool;

/// Makes the package of the files below `tree` in `directory`, with `revision` behind the version, and
/// compressed as well as xz can at `level`.
pub(crate) fn write(
    metadata: &Metadata,
    tree: &Path,
    revision: u32,
    level: u32,
    directory: &Path,
) -> Result<PathBuf, PackageError> {
    let architecture = tool::run(Command::new("dpkg").arg("--print-architecture"), "dpkg")?;
    let architecture = architecture.trim();
    let version = format!("{}-{revision}", metadata.version);
    let libraries = libraries(tree, &directory.join("shlibdeps"))?;
    let about = tree.join("DEBIAN");
    let installed = files::below(tree)?;
    let control =
        control(metadata, &version, architecture, &libraries, size_kib(tree, &installed)?);
    let settings: Vec<_> = installed.iter().filter(|path| path.starts_with("etc")).collect();
    let settings: String = settings.iter().map(|path| format!("/{}\n", path.display())).collect();
    let sums = tool::run(Command::new("md5sum").current_dir(tree).args(&installed), "coreutils")?;
    files::write(&about.join("control"), control, 0o644)?;
    files::write(&about.join("conffiles"), settings, 0o644)?;
    files::write(&about.join("md5sums"), sums, 0o644)?;
    let scripts = metadata.manifest_directory.join(&metadata.deb.maintainer_scripts);
    for script in SCRIPTS {
        files::copy(&scripts.join(script), &about.join(script), 0o755)?;
    }
    let package = directory.join(format!("{}_{version}_{architecture}.deb", metadata.name));
    let mut dpkg_deb = Command::new("dpkg-deb");
    dpkg_deb.env("SOURCE_DATE_EPOCH", &metadata.source_date);
    dpkg_deb
        .args(["--root-owner-group", "-Zxz", &format!("-z{level}"), "--build"])
        .arg(tree)
        .arg(&package);
    tool::run(&mut dpkg_deb, "dpkg")?;
    Ok(package)
}

fn control(
    metadata: &Metadata,
    version: &str,
    architecture: &str,
    libraries: &str,
    size_kib: u64,
) -> String {
    let deb = &metadata.deb;
    let depends = deb.depends.replace("$auto", libraries);
    let size = size_kib.to_string();
    let fields = [
        ("Package", metadata.name.as_str()),
        ("Version", version),
        ("Architecture", architecture),
        ("Maintainer", &deb.maintainer),
        ("Installed-Size", &size),
        ("Depends", &depends),
        ("Recommends", &deb.recommends),
        ("Suggests", &deb.suggests),
        ("Conflicts", &deb.conflicts),
        ("Replaces", &deb.replaces),
        ("Provides", &deb.provides),
        ("Section", &deb.section),
        ("Priority", &deb.priority),
        ("Description", &metadata.description),
    ];
    let mut text: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    for line in deb.extended_description.trim().lines() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, " {}", if line.is_empty() { "." } else { line });
    }
    text
}

/// The packages whose libraries the programs are linked with, in the versions they need.
fn libraries(tree: &Path, scratch: &Path) -> Result<String, PackageError> {
    files::empty_directory(scratch)?;
    let source = "Source: timeball\n\nPackage: timeball\nArchitecture: any\n";
    files::write(&scratch.join("debian/control"), source, 0o644)?;
    let mut shlibdeps = Command::new("dpkg-shlibdeps");
    shlibdeps.current_dir(scratch).arg("-O").args(files::entries(&tree.join("usr/bin"))?);
    let said = tool::run(&mut shlibdeps, "dpkg-dev")?;
    fs::remove_dir_all(scratch).map_err(files::at(scratch))?;
    let found = said.trim().strip_prefix("shlibs:Depends=").map(str::to_owned);
    found.ok_or_else(|| PackageError::Tool { tool: "dpkg-shlibdeps".into(), said })
}

/// As dpkg reckons: each file takes whole KiB.
fn size_kib(tree: &Path, installed: &[PathBuf]) -> Result<u64, PackageError> {
    let mut sum = 0;
    for path in installed.iter().map(|path| tree.join(path)) {
        sum += fs::metadata(&path).map_err(files::at(&path))?.len().div_ceil(1024);
    }
    Ok(sum)
}

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
