//! The contenders: every server that is compared, in tables, and what each is started with.
//!
//! Everybody serves this machine's clock unchanged, without logging, without limits that withhold answers,
//! and pinned to the same core. timeball only observes its limits, so what they cost is in its figures.
//! Peers are Debian's own packages, unpacked by `tests/peers` and never installed.
//!
//! Must never: start a server with settings that its own documentation does not give for serving fast.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use timeball_load::Expectation;

use crate::cli::{Echo, ServerOptions};
use crate::error::BenchError;
use crate::load;
use crate::place::Place;
use crate::process;
use crate::server::{Scratch, Seat, Server};

/// What a server is, and all that is needed to start it.
#[derive(Clone, Debug)]
pub(crate) enum Contender {
    /// A plain echo of this program's own.
    Echo(Echo),
    /// timeball in one of its ways of serving.
    Timeball {
        /// The program.
        program: PathBuf,
        /// The settings.
        dress: &'static Dress,
    },
    /// A peer of the table.
    Peer {
        /// The program.
        program: PathBuf,
        /// The rest.
        recipe: &'static Recipe,
    },
    /// A command of the user's, with `{address}` and `{port}`.
    Command(String),
}

/// One way in which timeball serves.
#[derive(Debug)]
pub(crate) struct Dress {
    name: &'static str,
    /// Lines of `[server]`.
    server: &'static str,
    /// Further sections.
    sections: &'static str,
    /// Whether every request and reply is signed with AES-CMAC.
    pub(crate) signed: bool,
}

/// Plain requests answered in the driver of the server's device; the worker knows the key.
static IN_DRIVER: Dress = Dress {
    name: "in the driver",
    server: "backend = \"mmsg\"\n",
    sections: "[fast_path]\ninterfaces = [\"{device}\"]\n\
               [control]\ncontrol_socket = \"{directory}/control\"\n",
    signed: false,
};

/// Every way of serving. Another one is another row.
static DRESSES: [Dress; 6] = [
    Dress { name: "mmsg", server: "backend = \"mmsg\"\n", sections: "", signed: false },
    Dress { name: "uring", server: "backend = \"uring\"\n", sections: "", signed: false },
    Dress {
        name: "uring-ring",
        server: "backend = \"uring\"\nuring_replies = \"ring\"\n",
        sections: "",
        signed: false,
    },
    Dress {
        name: "mmsg-packet",
        server: "backend = \"mmsg\"\ntransmit = \"packet\"\n",
        sections: "",
        signed: false,
    },
    Dress {
        name: "mmsg-xdp",
        server: "backend = \"mmsg\"\ntransmit = \"xdp\"\n",
        sections: "",
        signed: false,
    },
    Dress { name: "uring, signed", server: "backend = \"uring\"\n", sections: "", signed: true },
];

/// A peer: where it is, and how it is told to serve.
#[derive(Debug)]
pub(crate) struct Recipe {
    name: &'static str,
    /// Where `tests/peers` unpacks it.
    unpacked: &'static str,
    /// What its replies are held to.
    pub(crate) expectation: Expectation,
    /// The one port it can serve on.
    pub(crate) fixed_port: Option<u16>,
    /// A shell script that prepares its surroundings; the command follows as its arguments.
    script: Option<&'static str>,
    /// `{config}` is the path of its configuration.
    arguments: &'static [&'static str],
    config: fn(SocketAddr, &Path) -> String,
}

/// Every peer. Another one is another row.
static PEERS: [Recipe; 3] = [
    Recipe {
        name: "chronyd",
        unpacked: "chrony/usr/sbin/chronyd",
        expectation: Expectation::Server,
        fixed_port: None,
        script: None,
        // -x: never touches the clock; -d: stays in the foreground.
        arguments: &["-x", "-d", "-u", "root", "-f", "{config}"],
        config: chronyd_config,
    },
    Recipe {
        name: "ntpd (NTPsec)",
        unpacked: "ntpsec/usr/sbin/ntpd",
        expectation: Expectation::Server,
        fixed_port: Some(123),
        script: None,
        arguments: &["-n", "-g", "-c", "{config}"],
        config: ntpsec_config,
    },
    Recipe {
        name: "openntpd",
        unpacked: "openntpd/usr/sbin/openntpd",
        // It calls itself synchronised only once it has set the clock, which is out of its reach.
        expectation: Expectation::Unsynchronised,
        fixed_port: Some(123),
        script: Some(OPENNTPD_HOUSE),
        arguments: &["-d", "-f", "{config}"],
        config: openntpd_config,
    },
];

/// The plain echoes.
pub(crate) fn echoes() -> Vec<Server> {
    vec![echo(Echo::Recvmmsg), echo(Echo::Recvfrom)]
}

/// The one by which all others are measured.
pub(crate) fn reference() -> Server {
    echo(Echo::Recvmmsg)
}

/// The plain echo of the kind.
pub(crate) fn echo(kind: Echo) -> Server {
    Server { name: format!("echo {}", kind.name()), contender: Contender::Echo(kind) }
}

/// timeball in every way of serving plain requests, as far as the program is found.
pub(crate) fn timeballs(options: &ServerOptions) -> Vec<Server> {
    dressed(options, false)
}

/// timeball whose every request and reply is signed.
pub(crate) fn signed(options: &ServerOptions) -> Vec<Server> {
    dressed(options, true)
}

/// timeball that answers plain requests in the driver, on a `veth` whose other end takes frames from there.
pub(crate) fn in_driver(program: PathBuf) -> Server {
    let contender = Contender::Timeball { program, dress: &IN_DRIVER };
    Server { name: format!("timeball {}", IN_DRIVER.name), contender }
}

/// The same by sockets, with the cheapest of them.
pub(crate) fn by_sockets(program: PathBuf) -> Server {
    let dress = &DRESSES[0];
    let contender = Contender::Timeball { program, dress };
    Server { name: format!("timeball {}", dress.name), contender }
}

/// Whether it is [`in_driver`].
pub(crate) fn is_in_driver(server: &Server) -> bool {
    matches!(&server.contender, Contender::Timeball { dress, .. } if std::ptr::eq(*dress, &IN_DRIVER))
}

fn dressed(options: &ServerOptions, signed: bool) -> Vec<Server> {
    let Some(program) = options.timeball_program() else {
        eprintln!("timeball: program not found, left out (build it, or give --timeball PATH)");
        return Vec::new();
    };
    let chosen = DRESSES.iter().filter(|dress| dress.signed == signed);
    chosen
        .map(|dress| Server {
            name: format!("timeball {}", dress.name),
            contender: Contender::Timeball { program: program.clone(), dress },
        })
        .collect()
}

/// The peers that are there, and whatever the user named.
pub(crate) fn peers(options: &ServerOptions) -> Result<Vec<Server>, BenchError> {
    let mut peers = Vec::new();
    for recipe in &PEERS {
        match options.peer_program(recipe.name, recipe.unpacked) {
            Some(program) => {
                let contender = Contender::Peer { program, recipe };
                peers.push(Server { name: recipe.name.to_owned(), contender });
            }
            None => eprintln!("{}: not found, left out (tests/peers brings it)", recipe.name),
        }
    }
    for peer in &options.peers {
        let (name, command) = peer
            .split_once('=')
            .ok_or_else(|| BenchError::Usage(format!("--peer {peer:?}: write NAME=COMMAND")))?;
        let contender = Contender::Command(command.to_owned());
        peers.push(Server { name: name.to_owned(), contender });
    }
    Ok(peers)
}

impl Contender {
    /// The command that has it serve at `address` of `place` in `seat`; its files are written to `directory`.
    pub(crate) fn command(
        &self,
        (place, address): (&Place, SocketAddr),
        seat: &Seat,
        directory: &Scratch,
    ) -> Result<Vec<String>, BenchError> {
        let mut words = process::confinement(Some(&seat.list()), seat.priority);
        match self {
            Self::Echo(kind) => {
                let program = load::this_program()?;
                words.extend([program, "echo".to_owned(), kind.name().to_owned()]);
                words.push(address.to_string());
            }
            Self::Timeball { program, dress } => {
                // It pins and raises its worker itself; the rest of it stays off the worker's core.
                words = process::confinement(None, None);
                let mut text = dress.config(address, seat);
                if let Place::Veth(pair) = place {
                    text = text.replace("{device}", pair.server_device());
                }
                text = text.replace("{directory}", &directory.path().to_string_lossy());
                // A worker beside the driver has signed requests to answer, too.
                if dress.signed || std::ptr::eq(*dress, &IN_DRIVER) {
                    let keys = directory.write("keys", &format!("{}\n", load::key_line()))?;
                    text.push_str(&format!("[keys]\nfile = \"{keys}\"\n"));
                }
                let config = directory.write("timeball.toml", &text)?;
                words.extend([program.to_string_lossy().into_owned(), "serve".to_owned(), config]);
            }
            Self::Peer { program, recipe } => {
                let text = (recipe.config)(address, directory.path());
                let config = directory.write("peer.conf", &text)?;
                if let Some(script) = recipe.script {
                    words.extend(["sh", "-euc", script].map(str::to_owned));
                    words.push(directory.path().to_string_lossy().into_owned());
                }
                words.push(program.to_string_lossy().into_owned());
                words.extend(recipe.arguments.iter().map(|it| it.replace("{config}", &config)));
            }
            Self::Command(command) => {
                let command = command
                    .replace("{address}", &address.ip().to_string())
                    .replace("{port}", &address.port().to_string());
                words.extend(command.split_whitespace().map(str::to_owned));
            }
        }
        Ok(words)
    }
}

impl Dress {
    fn config(&self, address: SocketAddr, seat: &Seat) -> String {
        let Self { server, sections, .. } = self;
        let priority =
            seat.priority.map(|it| format!("worker_priority = {it}\n")).unwrap_or_default();
        // Of several workers each is to get what its own core receives.
        let spread = if seat.cores.len() > 1 { "spread = \"cpu\"\n" } else { "" };
        // A few generators ask for all the world: what limits cost is measured, what they withhold is not.
        format!(
            "[server]\nlisten = [\"{address}\"]\nworkers = {}\ncores = [{}]\n{server}{priority}{spread}\
             [limits]\nmode = \"observe\"\n{sections}",
            seat.cores.len(),
            seat.list()
        )
    }
}

fn chronyd_config(address: SocketAddr, directory: &Path) -> String {
    format!(
        "port {}\nbindaddress {}\nallow all\nlocal stratum 10\nnoclientlog\ncmdport 0\n\
         bindcmdaddress /\npidfile {}\n",
        address.port(),
        address.ip(),
        directory.join("chronyd.pid").display()
    )
}

/// It answers on all addresses that there are. Unless told otherwise it limits every client, and answers
/// none that asks for more than a moment.
fn ntpsec_config(_: SocketAddr, directory: &Path) -> String {
    format!(
        "refclock local\nfudge 127.127.1.0 stratum 7\ntos orphan 7 orphanwait 0\ndisable monitor\n\
         unrestrict default limited kod\nrestrict default nomodify noquery\nlogfile {}\n",
        directory.join("log").display()
    )
}

fn openntpd_config(address: SocketAddr, _: &Path) -> String {
    format!("listen on {}\n", address.ip())
}

/// OpenNTPD wants a user of its own and directories at fixed places: it gets them in the mount namespace that
/// it runs in, where nobody else sees them.
const OPENNTPD_HOUSE: &str = "\
cp /etc/passwd /etc/group \"$0\"
echo 'ntpd:x:65123:65123::/run/openntpd:/usr/sbin/nologin' >>\"$0/passwd\"
echo 'ntpd:x:65123:' >>\"$0/group\"
mount --bind \"$0/passwd\" /etc/passwd
mount --bind \"$0/group\" /etc/group
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/openntpd /var/lib/openntpd/run /var/lib/openntpd/db
exec \"$@\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_what_the_run_needs() {
        let address = "127.0.0.1:4567".parse().unwrap();
        let seat = Seat { priority: Some(50), ..Seat::on(3) };
        let ring = DRESSES.iter().find(|dress| dress.name == "uring-ring").unwrap();
        assert_eq!(
            ring.config(address, &seat),
            "[server]\nlisten = [\"127.0.0.1:4567\"]\nworkers = 1\ncores = [3]\n\
             backend = \"uring\"\nuring_replies = \"ring\"\nworker_priority = 50\n\
             [limits]\nmode = \"observe\"\n"
        );
    }
}
