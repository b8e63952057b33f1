//! Completions of the programs' command lines for bash, zsh and fish, under the names those look for.

use std::path::Path;

use clap_complete::Shell;

use crate::error::PackageError;
use crate::files;
use crate::programs::Program;

/// Writes the completions of `program` into `directory`.
pub(crate) fn write(program: &Program, directory: &Path) -> Result<(), PackageError> {
    let mut command = program.command.clone();
    let name = command.get_name().to_owned();
    let shells = [
        (Shell::Bash, format!("{name}.bash")),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ];
    for (shell, file) in shells {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, &name, &mut text);
        files::write(&directory.join(file), text, 0o644)?;
    }
    Ok(())
}
