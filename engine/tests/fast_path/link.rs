//! Two hosts and a wire between them, and what a server says of its fast path.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Controlled, Host, PATIENCE, text};

/// A server's host and a client's, with a `veth` between them: `fast0` here, `client0` there.
pub(crate) struct Link {
    pub(crate) server: Host,
    pub(crate) client: Host,
    /// A `veth` takes what a program in its driver sends back only if there is a program at its other end
    /// too: that of a server to which nobody sends anything.
    pub(crate) passing: Option<Controlled>,
}

impl Link {
    /// `None` where no program can be loaded.
    pub(crate) fn new() -> Option<Self> {
        let mut link = Self::bare()?;
        link.passing = Some(Controlled::start(
            &link.client,
            "[server]\nlisten = [\"127.0.0.1:11123\"]\nworkers = 1\n\
             [fast_path]\ninterfaces = [\"client0\", \"client1\"]\n",
        ));
        Some(link)
    }

    /// The same without a program at the client's end.
    pub(crate) fn bare() -> Option<Self> {
        let server = Host::of_root()?;
        let client = server.neighbour("fast0", "client0");
        address(&server, &client, 0);
        Some(Self { server, client, passing: None })
    }

    /// Waits until there is a program at `device` of the client's.
    pub(crate) fn wait_for_passing(&self, device: &str) {
        let passing = self.passing.as_ref().unwrap();
        passing.wait_until("a program", |report| hindrance(report, device).is_empty());
    }

    pub(crate) fn answers(&self, addresses: &[&str]) -> bool {
        answers(&self.client, addresses)
    }

    /// Asks until a request is answered in the driver of `server`.
    pub(crate) fn wait_for_driver(&self, server: &Controlled, address: &str) {
        let begun = Instant::now();
        let before = by_driver(&server.report());
        loop {
            assert!(self.answers(&[address]), "{:#}", server.report());
            if by_driver(&server.report()) > before {
                return;
            }
            assert!(begun.elapsed() < 2 * PATIENCE, "{:#}", server.report());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks, and sees that workers have answered all of it.
    pub(crate) fn assert_by_workers(&self, server: &Controlled, address: &str) {
        let before = server.report();
        assert!(self.answers(&[address]), "{before:#}");
        let after = server.report();
        assert_eq!(by_driver(&after), by_driver(&before), "{after:#}");
        assert!(by_workers(&after) > by_workers(&before), "{after:#}");
    }

    /// Sends `octets` to the server and returns how many come back.
    pub(crate) fn reply_len(&self, octets: &str) -> usize {
        let mut python = self.client.command("python3");
        let output = python.args(["-c", ASK, octets]).output().unwrap();
        let said = text(&output);
        said.trim().parse().unwrap_or_else(|_| panic!("{said}"))
    }
}

/// Gives both ends of the `veth` numbered `number` their addresses: 10.9.`number`.1 and .2, and in IPv6.
pub(crate) fn address(server: &Host, client: &Host, number: u8) {
    for (host, device, last) in [(server, "fast", 1), (client, "client", 2)] {
        host.ip(&format!("addr add 10.9.{number}.{last}/24 dev {device}{number}"));
        host.ip(&format!("addr add 2001:db8:{number}::{last}/64 dev {device}{number} nodad"));
    }
    // A `veth` leaves checksums undone, as a card would do them; a driver sees only frames whose are right.
    let mut ethtool = client.command("ethtool");
    let output = ethtool.args(["-K", &format!("client{number}"), "tx", "off"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// Sends the octets of its argument in hexadecimal, and prints the length of the reply.
pub(crate) const ASK: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(30)
s.sendto(bytes.fromhex(sys.argv[1]), ('10.9.0.1', 123))
print(len(s.recv(2048)))
";

pub(crate) fn by_driver(report: &Value) -> u64 {
    report["fast_path"]["work"]["answered"].as_u64().unwrap_or_else(|| panic!("{report:#}"))
}

pub(crate) fn by_workers(report: &Value) -> u64 {
    let workers = report["workers"].as_array().unwrap().iter();
    workers.map(|worker| worker["answered"].as_u64().unwrap()).sum()
}

/// Why the driver of `interface` does not answer; empty if it does.
pub(crate) fn hindrance(report: &Value, interface: &str) -> String {
    let mut all = report["fast_path"]["interfaces"].as_array().unwrap().iter();
    let one = all.find(|one| one["name"] == interface).unwrap_or_else(|| panic!("{report:#}"));
    one["hindrance"].as_str().unwrap_or_default().to_owned()
}

/// Number of the XDP program at `device` of `host`, if there is one.
pub(crate) fn program(host: &Host, device: &str) -> Option<u64> {
    shown(host, device)["xdp"]["prog"]["id"].as_u64()
}

/// How it is attached, as linux/if_link.h numbers it.
pub(crate) fn program_mode(host: &Host, device: &str) -> Option<u64> {
    shown(host, device)["xdp"]["mode"].as_u64()
}

/// What `ip` says of `device` of `host`.
pub(crate) fn shown(host: &Host, device: &str) -> Value {
    let output = host.command("ip").args(["-json", "link", "show", device]).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    said[0].clone()
}

/// Writes `config` where `server` looks for it, and has it read.
pub(crate) fn reload(server: &Controlled, config: &str) -> String {
    let control = format!("[control]\ncontrol_socket = \"{}\"\n", server.socket.display());
    std::fs::write(&server.directory.path, format!("{control}{config}")).unwrap();
    text(&server.ask("reload", &[]))
}

pub(crate) const FAST: &str = "[fast_path]\ninterfaces = [\"fast0\"]\n";

/// Whether the server at each of `addresses` answers `client`, by its stratum.
pub(crate) fn answers(client: &Host, addresses: &[&str]) -> bool {
    let said = client.query(addresses);
    let servers = said["servers"].as_array().cloned().unwrap_or_default();
    servers.len() == addresses.len() && servers.iter().all(|one| one["time"]["stratum"] == 10)
}
