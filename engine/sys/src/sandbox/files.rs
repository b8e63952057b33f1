//! What files, ports and other processes can be reached (Landlock).
//!
//! A rule goes with a directory, not with a name, and holds for all that is in it at any time: files that
//! are replaced whole, as ours are and /etc/resolv.conf is, stay within reach only so. What a kernel does not
//! know yet is left out.
//!
//! Must never: grant the right to start a program; be opened wider by what is configured later.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Role;

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
        let system = SYSTEM.iter().chain(&LOOKUPS).map(Path::new);
        let own = [&self.settings, &self.lists, &self.kept, &self.sockets].into_iter().flatten();
        own.map(PathBuf::as_path).chain(system).any(|place| path.starts_with(place))
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
        .add_rules(path_beneath_rules(LOOKUPS, read()))?
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
            .add_rules(path_beneath_rules(LOOKUPS, read()))?
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

/// What resolvers read. Of /etc all: files there are replaced by others of their name, and a rule goes with
/// the file; its permissions still hold.
const LOOKUPS: [&str; 8] = [
    "/etc",
    "/run/NetworkManager",
    "/run/connman",
    "/run/nscd",
    "/run/resolvconf",
    "/run/systemd",
    "/usr/etc",
    "/var/lib/sss",
];
