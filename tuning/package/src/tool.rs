//! Runs the tools that do the work: cargo, strip, dpkg, tar.
//!
//! Must never: go on after one that failed.

use std::io::ErrorKind;
use std::process::Command;

use crate::error::PackageError;

/// Runs `command` to its end and returns what it wrote to standard output.
///
/// # Errors
///
/// If it does not start (with the Debian `package` it comes from), or ends with anything but 0.
pub(crate) fn run(command: &mut Command, package: &'static str) -> Result<String, PackageError> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|source| PackageError::NoTool {
        tool: tool.clone(),
        package,
        source: if source.kind() == ErrorKind::NotFound { source.kind().into() } else { source },
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(PackageError::Tool { tool, said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
