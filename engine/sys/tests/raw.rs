//! Replies around the kernel's IP layer, when the network changes: what goes where, and that it is right.
//!
//! The pilot takes its turns in the test's own thread, so that it is known what workers know.

#[path = "network/namespace.rs"]
mod namespace;
#[path = "network/neighbour.rs"]
#[expect(dead_code, reason = "each test binary is a crate and uses its part")]
mod neighbour;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use timeball_sys::{Carrier, Exits, ListenOptions, MmsgIo, Pilot, Transmit, listen, monotonic};
use timeball_time::Interval;
use timeball_wire::{Fallback, IoTally, PacketIo, Wait};

use namespace::{in_namespace, ip};
use neighbour::{CLIENT, CLIENT_CARD, SERVER, beside_a_neighbour, client_of, there};

/// A server that echoes, and who knows its ways.
struct Echo {
    io: Carrier,
    pilot: Pilot,
    address: SocketAddr,
}

impl Echo {
    fn open(transmit: Transmit, family: usize) -> Self {
        let (exits, pilot) = Exits::open(transmit, 1).expect("permitted");
        let address = SocketAddr::new(SERVER[family].parse().expect("an address"), 0);
        let group = listen(&ListenOptions::new(address)).expect("free");
        let (exit, _) = exits.of(0).expect("a descriptor");
        let io = MmsgIo::new(group.sockets).expect("eventfd").leaving_by(exit);
        Self { io: Carrier::Mmsg(io), pilot, address: group.address }
    }

    /// Has the pilot take in what has changed, however soon after the change before.
    fn look(&mut self) {
        let begun = monotonic();
        while self.pilot.turn().expect("tables") < Pilot::AGAIN {
            assert!(monotonic() - begun < Interval::from_secs(30), "never published");
        }
    }

    /// Echoes what has arrived, `len` octets of it, and says what became of it.
    fn turn(&mut self) -> IoTally {
        let before = self.io.tally();
        let count = self.io.receive(Wait::Poll).expect("receive");
        for index in 0..count {
            let len = self.io.datagram(index).bytes.len();
            self.io.reply(index, len);
        }
        self.io.send(&mut |_, _| {}).expect("send");
        let mut after = self.io.tally();
        after.sent -= before.sent;
        after.raw -= before.raw;
        after.send_refused -= before.send_refused;
        for (count, past) in after.by_socket.iter_mut().zip(before.by_socket) {
            *count -= past;
        }
        after
    }

    /// The same for one question of `client`, `len` octets long, when it has arrived.
    fn ask(&mut self, client: &UdpSocket, len: usize) -> IoTally {
        client.send(&vec![7; len]).expect("send");
        let begun = monotonic();
        loop {
            let tally = self.turn();
            if tally != IoTally::default() {
                return tally;
            }
            assert!(monotonic() - begun < Interval::from_secs(30), "the question was lost");
        }
    }
}

/// What is counted for one reply that left so.
fn raw() -> IoTally {
    IoTally { sent: 1, raw: 1, ..IoTally::default() }
}

/// What is counted for one reply that left by its socket because of `reason`.
fn by_socket(reason: Fallback) -> IoTally {
    let mut tally = IoTally { sent: 1, ..IoTally::default() };
    tally.by_socket[reason as usize] = 1;
    tally
}

fn received(client: &UdpSocket, len: usize) {
    let mut bytes = vec![0; 16_000];
    assert_eq!(client.recv(&mut bytes).expect("a reply"), len);
    assert!(bytes[..len].iter().all(|octet| *octet == 7));
}

/// Whether nothing has come to `client`, nor comes within a while.
fn is_silent(client: &UdpSocket) -> bool {
    client.set_read_timeout(Some(Duration::from_millis(200))).expect("option");
    let silent = client.recv(&mut [0; 64]).is_err();
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("option");
    silent
}

/// Runs `test` for both ways and both families.
fn each(test: fn(Transmit, usize) -> io::Result<()>) {
    for transmit in [Transmit::Packet, Transmit::Xdp] {
        for family in [0, 1] {
            beside_a_neighbour(move || test(transmit, family));
        }
    }
}

#[test]
fn a_neighbour_that_changes_goes_or_grows_stale_is_never_sent_to_at_its_old_address() {
    each(|transmit, family| {
        let mut echo = Echo::open(transmit, family);
        let client = client_of(echo.address);
        assert_eq!(echo.ask(&client, 48), raw());
        received(&client, 48);
        let neighbour = |what: &str| ip(&format!("neigh {what} dev out")).expect("permitted");
        // At another address nobody hears: at the old one he would.
        neighbour(&format!("replace {} lladdr 02:00:00:00:00:77 nud permanent", CLIENT[family]));
        echo.look();
        assert_eq!(echo.ask(&client, 48), raw());
        assert!(is_silent(&client), "sent to the old address");
        neighbour(&format!("replace {} lladdr {CLIENT_CARD} nud permanent", CLIENT[family]));
        echo.look();
        assert_eq!(echo.ask(&client, 48), raw());
        received(&client, 48);
        // The kernel sends to a stale one, and asks for him; then it knows him again.
        neighbour(&format!("replace {} lladdr {CLIENT_CARD} nud stale", CLIENT[family]));
        echo.look();
        assert_eq!(echo.ask(&client, 48), by_socket(Fallback::Stale));
        received(&client, 48);
        echo.look();
        assert_eq!(echo.ask(&client, 48), raw(), "the kernel has begun to ask");
        received(&client, 48);
        neighbour(&format!("del {}", CLIENT[family]));
        echo.look();
        assert_eq!(echo.ask(&client, 48), by_socket(Fallback::Unknown));
        received(&client, 48);
        Ok(())
    });
}

#[test]
fn a_link_that_is_down_refuses_and_nothing_is_sent_late_when_it_comes_up() {
    each(|transmit, _| {
        let mut echo = Echo::open(transmit, 0);
        let client = client_of(echo.address);
        assert_eq!(echo.ask(&client, 48), raw());
        received(&client, 48);
        for _ in 0..3 {
            client.send(&[7; 48]).expect("send");
        }
        ip("link set out down")?;
        // Nobody has told the worker.
        let tally = echo.turn();
        assert_eq!((tally.raw, tally.by_socket[Fallback::Full as usize]), (0, 3), "{tally:?}");
        ip("link set out up")?;
        // Permanent neighbours go with a link that goes down.
        ip(&format!("neigh replace {} lladdr {CLIENT_CARD} nud permanent dev out", CLIENT[0]))?;
        echo.look();
        assert!(is_silent(&client), "sent late");
        let begun = monotonic();
        while echo.ask(&client, 48) != raw() {
            assert!(monotonic() - begun < Interval::from_secs(30), "no way out any more");
            echo.look();
        }
        Ok(())
    });
}

#[test]
fn what_is_too_long_for_the_link_goes_by_the_socket_which_refuses_it() {
    each(|transmit, family| {
        let mut echo = Echo::open(transmit, family);
        let client = client_of(echo.address);
        // 1280 is the least for IPv6; headers take 28 and 48.
        ip("link set out mtu 1280")?;
        echo.look();
        client.set_read_timeout(Some(Duration::from_secs(5)))?;
        let room = [1252, 1232][family];
        assert_eq!(echo.ask(&client, room), raw());
        received(&client, room);
        let tally = echo.ask(&client, room + 1);
        assert_eq!((tally.sent, tally.send_refused), (0, 1), "{tally:?}");
        assert_eq!(tally.by_socket[Fallback::Long as usize], 1, "{tally:?}");
        Ok(())
    });
}

#[test]
fn routing_that_is_not_plain_is_left_to_the_kernel() {
    each(|transmit, family| {
        let mut echo = Echo::open(transmit, family);
        let client = client_of(echo.address);
        let flag = ["-4", "-6"][family];
        let (host, len) = (CLIENT[family], [32, 128][family]);
        for (add, remove, reason) in [
            (
                format!("{flag} rule add to {host} lookup main priority 99"),
                format!("{flag} rule del priority 99"),
                Fallback::Routing,
            ),
            (
                format!("{flag} route add blackhole {host}/{len}"),
                format!("{flag} route del blackhole {host}/{len}"),
                Fallback::Routing,
            ),
            (
                format!("{flag} route add {host}/{len} via {host} dev out onlink mtu 1280"),
                format!("{flag} route del {host}/{len}"),
                Fallback::Long,
            ),
        ] {
            ip(&add)?;
            echo.look();
            let tally = echo.ask(&client, 1_300);
            assert_eq!(tally.by_socket[reason as usize], 1, "{add}: {tally:?}");
            ip(&remove)?;
            echo.look();
            assert_eq!(echo.ask(&client, 1_300), raw(), "{remove}");
        }
        Ok(())
    });
}

#[test]
fn devices_that_are_not_plain_are_left_to_the_kernel() {
    beside_a_neighbour(|| {
        ip("link add link out name upon type macvlan mode bridge")?;
        ip("address add 10.200.0.1/16 dev upon")?;
        ip("link set upon up")?;
        ip(&format!("neigh add 10.200.0.2 lladdr {CLIENT_CARD} nud permanent dev upon"))?;
        let words = ["address", "add", "10.200.0.2/16", "dev", "end"];
        there(|| Command::new("ip").args(words).status())?;
        let (exits, mut pilot) = Exits::open(Transmit::Xdp, 1).expect("permitted");
        pilot.turn()?;
        let address = "10.200.0.1:0".parse().expect("an address");
        let group = listen(&ListenOptions::new(address)).expect("free");
        let (exit, name) = exits.of(0)?;
        assert_eq!(name, "AF_XDP on out, else AF_PACKET");
        let io = Carrier::Mmsg(MmsgIo::new(group.sockets).expect("eventfd").leaving_by(exit));
        let mut echo = Echo { io, pilot, address: group.address };
        let client = client_of(echo.address);
        assert_eq!(echo.ask(&client, 48), by_socket(Fallback::Device));
        received(&client, 48);
        Ok(())
    });
}

#[test]
fn headers_are_those_that_the_kernel_writes() {
    each(|transmit, family| {
        let mut echo = Echo::open(transmit, family);
        let client = client_of(echo.address);
        let tap = there(Tap::open)?;
        let mut frames = Vec::new();
        for way in ["raw", "socket"] {
            if way == "socket" {
                ip(&format!(
                    "neigh replace {} lladdr {CLIENT_CARD} nud stale dev out",
                    CLIENT[family]
                ))?;
                echo.look();
            }
            let tally = echo.ask(&client, 48);
            assert_eq!(tally.raw, u64::from(way == "raw"), "{tally:?}");
            received(&client, 48);
            frames.push(tap.frame_to(client.local_addr()?.port()));
        }
        let [ours, kernels] = &mut frames[..] else { panic!("two frames") };
        // What the kernel leaves to the card over a veth, and a flow label that it draws: ours are whole.
        let udp = [34, 54][family];
        for frame in [&mut *ours, &mut *kernels] {
            frame[udp + 6..udp + 8].fill(0);
            if family == 1 {
                frame[15..18].fill(0);
            }
        }
        assert_eq!(ours, kernels);
        Ok(())
    });
}

/// Hears every frame that the neighbour's device takes.
struct Tap(socket2::Socket);

impl Tap {
    fn open() -> io::Result<Self> {
        let every = libc::ETH_P_ALL as u16;
        let protocol = socket2::Protocol::from(i32::from(every.to_be()));
        let socket =
            socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, Some(protocol))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self(socket))
    }

    /// The next frame to UDP port `port`.
    fn frame_to(&self, port: u16) -> Vec<u8> {
        let mut bytes = [0; 2_048];
        loop {
            let len = io::Read::read(&mut &self.0, &mut bytes).expect("a frame");
            let udp = if bytes[12..14] == [0x08, 0] { 34 } else { 54 };
            if len == udp + 8 + 48 && bytes[udp + 2..udp + 4] == port.to_be_bytes() {
                return bytes[..len].to_vec();
            }
        }
    }
}
