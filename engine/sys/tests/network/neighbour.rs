//! A second network namespace beside a thread's own, joined to it by a veth: where clients are that
//! cannot be reached over loopback.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process;
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use super::{in_namespace, ip};

/// The server's addresses, on its device `out`; both are whole networks of its own.
pub(crate) const SERVER: [&str; 2] = ["10.9.1.1", "fd09::1"];
/// The clients' addresses, on `end`.
pub(crate) const CLIENT: [&str; 2] = ["10.9.0.2", "fd09::2"];
/// The Ethernet address of `end`.
pub(crate) const CLIENT_CARD: &str = "02:00:00:00:00:02";

/// Of each namespace (by its number) the neighbour.
static NEIGHBOURS: LazyLock<Mutex<Vec<(u64, File)>>> = LazyLock::new(Mutex::default);

/// Runs `test` in a namespace that has a neighbour which knows it and which it knows; skips it, saying
/// so, where that is not permitted.
pub(crate) fn beside_a_neighbour(test: impl FnOnce() -> io::Result<()> + Send + 'static) {
    in_namespace(move || {
        let own = namespace()?;
        unshare()?;
        let other = namespace()?;
        let path = |file: &File| format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd());
        ip("link set lo up")?;
        ip(&format!(
            "link add end address {CLIENT_CARD} mtu 16000 type veth peer name out mtu 16000 netns {}",
            path(&own)
        ))?;
        ip(&format!("address add {}/8 dev end", CLIENT[0]))?;
        ip(&format!("address add {}/64 dev end nodad", CLIENT[1]))?;
        ip("link set end up")?;
        enter(&own)?;
        ip("link set out address 02:00:00:00:00:01 up")?;
        ip(&format!("address add {}/8 dev out", SERVER[0]))?;
        ip("address add 10.9.8.7/8 dev out")?;
        ip(&format!("address add {}/64 dev out nodad", SERVER[1]))?;
        for client in CLIENT {
            ip(&format!("neigh add {client} lladdr {CLIENT_CARD} nud permanent dev out"))?;
        }
        running()?;
        let number = own.metadata()?.ino();
        NEIGHBOURS.lock().unwrap().push((number, other));
        let outcome = test();
        NEIGHBOURS.lock().unwrap().retain(|(of, _)| *of != number);
        outcome
    });
}

/// Waits until the link has come up, which the kernel tells a little later than it is.
fn running() -> io::Result<()> {
    for _ in 0..3_000 {
        let output = process::Command::new("ip").args(["link", "show", "dev", "out"]).output()?;
        if String::from_utf8_lossy(&output.stdout).contains("LOWER_UP") {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::other("the link does not come up"))
}

/// A client of `target` on a free port in the neighbour's namespace.
pub(crate) fn client_of(target: SocketAddr) -> UdpSocket {
    let client = there(|| {
        let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        UdpSocket::bind(any).expect("any address")
    });
    client.connect(target).expect("connect");
    client.set_read_timeout(Some(Duration::from_secs(1))).expect("option");
    client
}

/// Whether this thread's namespace has a neighbour.
pub(crate) fn is_there() -> bool {
    let number = namespace().and_then(|own| own.metadata()).expect("this thread has one").ino();
    NEIGHBOURS.lock().unwrap().iter().any(|(of, _)| *of == number)
}

/// Runs `work` in the neighbour's namespace.
pub(crate) fn there<T>(work: impl FnOnce() -> T) -> T {
    let own = namespace().expect("this thread has one");
    let number = own.metadata().expect("its number").ino();
    let neighbours = NEIGHBOURS.lock().unwrap();
    let other =
        &neighbours.iter().rev().find(|(of, _)| *of == number).expect("it has a neighbour").1;
    enter(other).expect("permitted before");
    let result = work();
    enter(&own).expect("permitted before");
    result
}

fn namespace() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

fn unshare() -> io::Result<()> {
    // JUSTIFICATION: std cannot make a network namespace.
    // SAFETY: takes an integer; affects this thread alone.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn enter(namespace: &File) -> io::Result<()> {
    // JUSTIFICATION: std cannot change network namespaces.
    // SAFETY: takes integers; affects this thread alone.
    let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
