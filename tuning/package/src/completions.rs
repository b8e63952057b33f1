//! Completions of the programs' command lines for bash, zsh and fish, under the names those look for.
//!
//! Must never: offer what help hides.

use std::path::Path;

use clap::Command;
use clap_complete::Shell;

use crate::error::PackageError;
use crate::files;
use crate::programs::Program;

/// Writes the completions of `program` into `directory`.
pub(crate) fn write(program: &Program, directory: &Path) -> Result<(), PackageError> {
    let mut command = shown(&program.command);
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

/// `command` with nothing that is hidden, which the generators would offer all the same.
fn shown(command: &Command) -> Command {
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let commands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    // clap wants names that live as long as the program, and this one does not live long.
    let name: &'static str = Box::leak(command.get_name().into());
    Command::new(name)
        .about(command.get_about().cloned().unwrap_or_default())
        .version(env!("CARGO_PKG_VERSION"))
        // These are among the arguments.
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(arguments.cloned())
        .subcommands(commands.map(shown))
}
