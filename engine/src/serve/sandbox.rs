//! What of a plan the sandbox has to let through, and what came of it.
//!
//! Must never: let through more than the plan names and resolvers need.

use std::path::{Path, PathBuf};

use timeball_sys::sandbox::{Guard, Mode, Places, SandboxError, begin, reach_of};

use super::StartError;
use crate::config::SandboxMode;
use crate::given::Loaded;
use crate::report::Sandbox;

/// Confines the process of a server that has `loaded` and the control socket `door`.
///
/// # Errors
/// [`SandboxError::Missing`] if the plan has it so.
pub(super) fn enter(loaded: &Loaded, door: Option<&Path>) -> Result<Sandbox, SandboxError> {
    let guards = begin(loaded.plan.sandbox.into(), places(loaded, door))?;
    let missing = guards.iter().filter_map(|guard| {
        let why = guard.missing.as_ref()?;
        Some(format!("{}: {why}", guard.name))
    });
    let in_force = guards.iter().filter(|guard| guard.missing.is_none());
    Ok(Sandbox {
        missing: missing.collect(),
        in_force: in_force.map(|guard: &Guard| guard.name.clone()).collect(),
    })
}

/// Sees that a server which runs already can go by `loaded` too.
///
/// # Errors
/// [`StartError::OutOfReach`], with the first file or directory that the sandbox keeps from it.
pub(super) fn admit(loaded: &Loaded) -> Result<(), StartError> {
    let Some(allowed) = timeball_sys::sandbox::places() else { return Ok(()) };
    let wanted = places(loaded, None);
    let read = wanted.settings.iter().chain(&wanted.lists).filter(|path| !allowed.reads(path));
    let kept = wanted.kept.iter().filter(|path| !allowed.keeps(path));
    let opened = wanted.sockets.iter().filter(|path| !allowed.sockets.contains(path));
    match read.chain(kept).chain(opened).next() {
        Some(path) => Err(StartError::OutOfReach { path: path.clone() }),
        None => Ok(()),
    }
}

/// The files that a server of `loaded` reads and writes; `door` is its control socket.
pub(crate) fn places(loaded: &Loaded, door: Option<&Path>) -> Places {
    let plan = &loaded.plan;
    let findings = loaded.imported.iter().flat_map(|imported| &imported.findings);
    let included = findings.map(|finding| finding.place.file.as_path());
    let keys = plan.keys.as_ref().map(|keys| keys.file.as_path());
    let given = Some(loaded.path.as_path()).filter(|path| *path != Path::new(""));
    let kept = [&plan.clock.drift_file, &plan.clock.state_file].into_iter().flatten();
    let statistics = plan.statistics.as_ref().map(|statistics| statistics.directory.clone());
    let notify = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
    Places {
        settings: reach(included.chain(keys).chain(given)),
        lists: reach(plan.clock.leap_file.as_deref().into_iter()),
        kept: unique(directories(kept.map(PathBuf::as_path)).into_iter().chain(statistics)),
        sockets: directories(plan.control.socket.as_deref().or(door).into_iter()),
        abstract_sockets: notify.starts_with('@'),
    }
}

/// What is to be within reach so that `files` can be read.
fn reach<'p>(files: impl Iterator<Item = &'p Path>) -> Vec<PathBuf> {
    unique(files.filter_map(|file| reach_of(&std::path::absolute(file).ok()?)))
}

/// Where `files` lie.
fn directories<'p>(files: impl Iterator<Item = &'p Path>) -> Vec<PathBuf> {
    unique(files.filter_map(|file| std::path::absolute(file).ok()?.parent().map(Path::to_owned)))
}

fn unique(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut paths: Vec<_> = paths.collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

impl From<SandboxMode> for Mode {
    fn from(mode: SandboxMode) -> Self {
        match mode {
            SandboxMode::On => Self::On,
            SandboxMode::Strict => Self::Strict,
            SandboxMode::Off => Self::Off,
        }
    }
}
