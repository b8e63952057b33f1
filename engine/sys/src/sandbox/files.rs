//! What files, ports and other processes can be reached (Landlock).
//!
//! A rule goes with a directory, not with a name, and holds for all that is in it at any time: files that
//! are replaced whole, as ours are and /etc/resolv.conf is, stay within reach only so. Where that would bring
//! others' secrets within reach, because the server is root, rules go with single files; one that is replaced
//! is then out of reach until another process takes over. What a kernel does not know yet is left out.
//!
//! Must never: grant the right to start a program; be opened wider by what is configured later.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Role;
use crate::privileges::is_root;

/// The files a server may need, by what for; each is a directory, or a single file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places {
    /// Where the configuration and what it names lie; read again by `reload`.
    pub settings: Vec<PathBuf>,
    /// Where the list of leap seconds lies.
    pub lists: Vec<PathBuf>,
    /// Where files are kept and replaced.
    pub kept: Vec<PathBuf>,
    /// Where control sockets are.
    pub sockets: Vec<PathBuf>,
    /// Whether the service manager listens at an abstract socket.
    pub abstract_sockets: bool,
}

impl Places {
    /// Whether files in the directory of `path` may be replaced under these rules.
    pub fn keeps(&self, path: &Path) -> bool {
        self.kept.iter().any(|place| path.starts_with(place))
    }

    /// Whether `path` may be read.
    pub fn reads(&self, path: &Path) -> bool {
        let mut own =
            [&self.settings, &self.lists, &self.kept, &self.sockets].into_iter().flatten();
        let mut system = SYSTEM.into_iter().chain(lookups());
        own.any(|place| path.starts_with(place)) || system.any(|place| path.starts_with(place))
    }
}

/// Confines this thread, and what it starts from now on, to `places`; says by which version.
pub(super) fn begin(places: &Places) -> Result<String, Unconfined> {
    let reach = if places.abstract_sockets {
        BitFlags::from(Scope::Signal)
    } else {
        Scope::from_all(TESTED)
    };
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(TESTED))?
        .handle_access(AccessNet::ConnectTcp)?
        .scope(reach)?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read()))?
        .add_rules(path_beneath_rules(lookups(), read()))?
        .add_rules(path_beneath_rules(&places.settings, read()))?
        .add_rules(path_beneath_rules(&places.lists, read()))?
        .add_rules(path_beneath_rules(&places.kept, write()))?
        .add_rules(path_beneath_rules(&places.sockets, write()))?
        .add_rule(NetPort::new(DOMAIN, AccessNet::ConnectTcp))?;
    restrict(rules)
}

/// Confines this thread further, to what one of `role` needs.
pub(super) fn narrow(places: &Places, role: Role) -> Result<String, Unconfined> {
    let rules = Ruleset::default().handle_access(AccessFs::from_all(TESTED))?.create()?;
    restrict(match role {
        Role::Worker | Role::Discipline | Role::Network | Role::Driver | Role::Page | Role::Log => {
            rules
        }
        Role::Control => rules
            .add_rules(path_beneath_rules(["/proc"], read()))?
            .add_rules(path_beneath_rules(&places.sockets, write()))?,
        Role::LookUp => rules
            .add_rules(path_beneath_rules(lookups(), read()))?
            .add_rules(path_beneath_rules(SYSTEM, read()))?,
        Role::Reader => rules
            .add_rules(path_beneath_rules(["/usr/share"], read()))?
            .add_rules(path_beneath_rules(&places.settings, read()))?
            .add_rules(path_beneath_rules(&places.lists, read()))?,
        Role::Writer => rules.add_rules(path_beneath_rules(&places.kept, write()))?,
    })
}

/// Why there is no Landlock in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unconfined {
    #[error("this kernel has no Landlock (5.13, CONFIG_SECURITY_LANDLOCK)")]
    Absent,
    #[error("Landlock is switched off; add landlock to the kernel's lsm= list")]
    SwitchedOff,
    #[error("{0}")]
    Refused(#[from] RulesetError),
}

impl From<Unconfined> for io::Error {
    fn from(why: Unconfined) -> Self {
        Self::other(why)
    }
}

fn restrict(rules: RulesetCreated) -> Result<String, Unconfined> {
    let status = rules.restrict_self()?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => Err(Unconfined::SwitchedOff),
        (RulesetStatus::NotEnforced, _) => Err(Unconfined::Absent),
        (enforced, LandlockStatus::Available { effective_abi, kernel_abi }) => {
            let version = kernel_abi.unwrap_or(effective_abi as i32);
            let part = if enforced == RulesetStatus::FullyEnforced { "" } else { ", in part" };
            Ok(format!("landlock (version {version}{part})"))
        }
        _ => Err(Unconfined::Absent),
    }
}

fn read() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// To make, replace and take away files, links and sockets.
fn write() -> BitFlags<AccessFs> {
    read()
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeSym
        | AccessFs::MakeSock
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
}

/// The rights that are ruled out; newer ones are added once they have been tried.
const TESTED: ABI = ABI::V7;

/// DNS over TCP, for answers that are too long for a datagram.
const DOMAIN: u16 = 53;

/// Libraries, and what the system says about itself.
const SYSTEM: [&str; 8] =
    ["/lib", "/lib64", "/proc", "/sys", "/usr/lib", "/usr/lib64", "/usr/share", "/dev/urandom"];

/// What resolvers read.
fn lookups() -> impl Iterator<Item = &'static str> {
    let of_etc: &[&str] = if is_root() { &FILES_OF_ETC } else { &["/etc"] };
    of_etc.iter().chain(&LOOKUPS).copied()
}

/// What has to be within reach so that `file` can be read, by its absolute path: its directory, so that it
/// may be replaced by another of its name; or it alone where a server that is root could read others'
/// secrets.
pub fn reach_of(file: &Path) -> Option<PathBuf> {
    let directory = file.parent()?;
    let has_secrets = SECRETIVE.iter().any(|place| directory == Path::new(place));
    Some(if has_secrets && is_root() { file } else { directory }.to_owned())
}

/// Directories in which others keep what nobody else may read.
const SECRETIVE: [&str; 3] = ["/", "/etc", "/root"];

/// Of /etc what resolvers read: all that a server may which is root, and could read /etc/shadow. Of others
/// the permissions hold, and all of /etc is within reach, since files there are replaced by others of their
/// name.
const FILES_OF_ETC: [&str; 11] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/resolvconf",
    "/etc/services",
];

/// Beside /etc.
const LOOKUPS: [&str; 7] = [
    "/run/NetworkManager",
    "/run/connman",
    "/run/nscd",
    "/run/resolvconf",
    "/run/systemd",
    "/usr/etc",
    "/var/lib/sss",
];
