//! The machine, the moment and the command line: what stands above every table.
//!
//! Must never: fail a measurement because a fact is missing.

use std::fs;

use serde::Serialize;
use timeball_load::Machine;

/// Facts without which figures cannot be compared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Host {
    /// The machine.
    #[serde(flatten)]
    pub(crate) machine: Machine,
    /// Seconds since 1970 when the run began.
    began_s: i64,
    /// The command line that made the figures.
    pub(crate) command: Vec<String>,
}

impl Host {
    /// Looks around, and warns if what it sees makes figures worthless.
    pub(crate) fn look() -> Self {
        let host = Self {
            machine: Machine::look(),
            began_s: timeball_sys::realtime().nanos() / 1_000_000_000,
            command: std::env::args().collect(),
        };
        if let Some(remark) = host.remark() {
            eprintln!("{remark}");
        }
        host
    }

    /// What makes figures of this machine worthless, if it does.
    pub(crate) fn remark(&self) -> Option<String> {
        self.machine.was_busy().then(|| {
            format!(
                "this machine is busy (load average {}): figures will be too high, and \
                 so will their spread; run again when it is quiet",
                self.machine.load_average
            )
        })
    }

    /// When the run began, in UTC.
    pub(crate) fn began_text(&self) -> String {
        timeball_load::utc(self.began_s * 1_000_000_000)
    }

    /// The facts on one line.
    pub(crate) fn text(&self) -> String {
        self.machine.text()
    }
}

/// Whether this process is root, by the owner of its own entry in /proc.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

/// The program `name` in the search path and where daemons live.
pub(crate) fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    directories.map(|directory| directory.join(name)).find(|program| program.is_file())
}
