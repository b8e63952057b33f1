//! The machine this program runs on.
//!
//! Must never: call a shell, or wait for ever for a tool: the tools used answer at once.

use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use super::{Host, Unseen};

/// This machine, as its network namespace shows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveHost;

impl Host for LiveHost {
    fn read(&self, path: &str) -> Result<String, Unseen> {
        let bytes = fs::read(path).map_err(|error| unseen(path, &error))?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Unseen> {
        let entries = fs::read_dir(path).map_err(|error| unseen(path, &error))?;
        let mut names: Vec<_> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    fn link(&self, path: &str) -> Result<String, Unseen> {
        let target = fs::read_link(path).map_err(|error| unseen(path, &error))?;
        Ok(target.to_string_lossy().into_owned())
    }

    fn ask(&self, command: &[&str]) -> Result<String, Unseen> {
        call(command, "")
    }

    fn write(&self, path: &str, value: &str) -> Result<(), Unseen> {
        // Not created: what is not there is not a setting of this kernel.
        let file = fs::OpenOptions::new().write(true).open(path);
        let written = file.and_then(|mut file| file.write_all(value.as_bytes()));
        written.map_err(|error| unseen(path, &error))
    }

    fn run(&self, command: &[&str], input: &str) -> Result<(), Unseen> {
        call(command, input).map(drop)
    }
}

fn call(command: &[&str], input: &str) -> Result<String, Unseen> {
    let (program, arguments) = command.split_first().expect("a command has a name");
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unseen::NotInstalled((*program).to_owned()),
        _ => Unseen::Failed(format!("{program}: {error}")),
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that reads nothing may have closed it.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.lines().find(|line| !line.trim().is_empty()).unwrap_or("failed");
    Err(Unseen::Failed(format!("{}: {}", command.join(" "), complaint.trim())))
}

fn unseen(path: &str, error: &io::Error) -> Unseen {
    match error.kind() {
        io::ErrorKind::NotFound => Unseen::Absent(path.to_owned()),
        io::ErrorKind::PermissionDenied => Unseen::Denied(path.to_owned()),
        _ => Unseen::Failed(format!("{path}: {error}")),
    }
}
