//! Sockets that a service manager has opened, or keeps while one process ends and the next begins. The tests
//! play the service manager.

mod common;

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{Daemon, PATIENCE, Scratch, timeball_program};
use socket2::{Domain, SockRef, Socket, Type};

/// A socket on loopback as systemd opens it, with `ReusePort=yes` or not, and its address.
fn opened(address: &str, shared: bool) -> (OwnedFd, String) {
    let address: std::net::SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap();
    socket.set_reuse_port(shared).unwrap();
    socket.bind(&address.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket.into(), address.to_string())
}

/// Starts the server of `config` with `passed`, by their names, and with `more` in its environment.
fn start(config: &Scratch, passed: &[(&str, &OwnedFd)], more: &[(&str, &str)]) -> Daemon {
    // A number that is in the way of another is taken out of it first.
    let fds: Vec<RawFd> = passed.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
    let all = |what: &dyn Fn(usize, RawFd) -> String| {
        let parts: Vec<_> = fds.iter().enumerate().map(|(at, fd)| what(at, *fd)).collect();
        format!("exec {};", parts.join(" "))
    };
    let script = [
        all(&|at, fd| format!("{}<&{fd}", 100 + at)),
        all(&|_, fd| format!("{fd}<&-")),
        all(&|at, _| format!("{}<&{}", 3 + at, 100 + at)),
        all(&|at, _| format!("{}<&-", 100 + at)),
        "LISTEN_PID=$$ exec \"$@\"".to_owned(),
    ];
    let names: Vec<_> = passed.iter().map(|(name, _)| *name).collect();
    let mut command = Command::new("bash");
    command.arg("-c").arg(script.concat()).arg("bash").arg(timeball_program());
    command.arg("serve").arg(&config.path).envs(more.iter().copied());
    if !passed.is_empty() {
        command.env("LISTEN_FDS", fds.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    }
    // Nobody else is to inherit them.
    let _alone = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    let inherit = |yes: bool| {
        passed.iter().for_each(|(_, fd)| SockRef::from(*fd).set_cloexec(!yes).unwrap());
    };
    inherit(true);
    let daemon = Daemon::start(command);
    inherit(false);
    daemon
}

static SPAWNING: Mutex<()> = Mutex::new(());

fn config(listen: &str, more: &str) -> Scratch {
    Scratch::file("t.toml", &format!("[server]\nlisten = [\"{listen}\"]\n{more}"))
}

/// Clients of several addresses, so that every worker has some.
fn clients(server: &str) -> Vec<UdpSocket> {
    let client = |host: usize| {
        let client = UdpSocket::bind(format!("127.0.0.{host}:0")).unwrap();
        client.connect(server).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    };
    (1..9).map(client).collect()
}

fn ask(client: &UdpSocket) {
    let mut request = [0; 48];
    request[0] = 0x23;
    client.send(&request).unwrap();
}

fn hear(client: &UdpSocket) {
    let mut reply = [0; 64];
    let len = client.recv(&mut reply).unwrap_or_else(|error| panic!("no answer: {error}"));
    assert_eq!((len, reply[0] & 7), (48, 4));
}

#[test]
fn requests_that_came_before_the_server_are_answered_once_it_runs() {
    let cores = timeball_sys::allowed_cores().len().min(2);
    for (workers, shared) in [(cores, true), (1, true), (1, false)] {
        let (socket, address) = opened("127.0.0.1:0", shared);
        let clients = clients(&address);
        clients.iter().for_each(ask);
        let config = config(&address, &format!("workers = {workers}\n"));
        let mut server = start(&config, &[("ntp", &socket)], &[]);
        clients.iter().for_each(hear);
        server.wait_for("ready");
        clients.iter().for_each(ask);
        clients.iter().for_each(hear);
        let alone = server.so_far().iter().any(|line| line.contains("passed on alone"));
        assert_eq!(alone, !shared);
        server.signal("TERM");
        assert_eq!(server.finish().0, Some(0));
        // Whoever opened it still has it.
        ask(&clients[0]);
        let mut next = start(&config, &[("ntp", &socket)], &[]);
        hear(&clients[0]);
        next.wait_for("ready");
    }
}

#[test]
fn what_cannot_be_served_from_is_refused_by_its_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (good, listed) = opened("127.0.0.1:0", true);
    let (elsewhere, other) = opened("127.0.0.1:0", true);
    let (private, hidden) = opened("127.0.0.1:0", false);
    let listener = OwnedFd::from(listener);
    let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let twice = good.try_clone().unwrap();
    let unlisted = format!("it is bound to {other}, which is not in `listen`");
    let mut cases = vec![
        (&address, &listener, "file descriptor 4 (stray), passed on", "it is no UDP socket"),
        (&listed, &file, "file descriptor 4 (stray), passed on", "it is no UDP socket"),
        (&listed, &elsewhere, "(stray)", unlisted.as_str()),
        (&listed, &twice, "(stray)", "it is the second for"),
    ];
    if timeball_sys::allowed_cores().len() > 1 {
        cases.push((&hidden, &private, &hidden, "ReusePort=yes"));
    }
    for (address, stray, who, why) in cases {
        let listen = format!("{listed}\", \"{address}");
        let listen = if *address == listed { &listed } else { &listen };
        let config = config(listen, "");
        let passed = [("good", &good), ("stray", stray)];
        let (code, said) = start(&config, &passed, &[]).finish();
        let said = said.join("\n");
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(who) && said.contains(why), "{said}");
    }
    // What is meant for another process is nothing to this one.
    let mut command = Command::new(timeball_program());
    let config = config("127.0.0.1:0", "");
    command.arg("serve").arg(&config.path).env("LISTEN_PID", "1").env("LISTEN_FDS", "7");
    Daemon::start(command).wait_for("ready");
}

#[test]
fn nobody_can_take_over_a_socket_that_stands_alone() {
    let (socket, address) = opened("127.0.0.1:0", false);
    let door = Scratch::file("door", "");
    std::fs::remove_file(&door.path).unwrap();
    let more = format!("workers = 1\n[control]\ncontrol_socket = {:?}\n", door.path);
    let config = config(&address, &more);
    let mut server = start(&config, &[("ntp", &socket)], &[]);
    server.wait_for("ready");
    let mut command = Command::new(timeball_program());
    command.args(["serve", "--take-over"]).arg(&config.path);
    let (code, said) = Daemon::start(command).finish();
    let said = said.join("\n");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains(&format!("{address} is served by the service manager's")), "{said}");
    let clients = clients(&address);
    clients.iter().for_each(ask);
    clients.iter().for_each(hear);
}

/// A service manager that keeps sockets, as sd_notify(3) has it.
struct Manager {
    path: Scratch,
    kept: Arc<Mutex<Vec<(String, OwnedFd)>>>,
}

impl Manager {
    fn new() -> Self {
        let path = Scratch::file("notify", "");
        std::fs::remove_file(&path.path).unwrap();
        let socket = UnixDatagram::bind(&path.path).unwrap();
        let kept = Arc::<Mutex<Vec<(String, OwnedFd)>>>::default();
        let store = Arc::clone(&kept);
        // Ends with the process of the test.
        std::thread::spawn(move || {
            let (mut bytes, mut fds) = ([0; 512], Vec::new());
            while let Ok(len) = timeball_sys::receive_with_fds(&socket, &mut bytes, &mut fds) {
                let said = String::from_utf8_lossy(&bytes[..len]).into_owned();
                let name = said.lines().find_map(|line| line.strip_prefix("FDNAME="));
                let mut kept = store.lock().unwrap();
                if said.contains("FDSTOREREMOVE=1") {
                    kept.retain(|(known, _)| Some(known.as_str()) != name);
                }
                for fd in fds.drain(..) {
                    assert!(said.contains("FDSTORE=1") && said.contains("FDPOLL=0"), "{said}");
                    let name = name.expect("a name").to_owned();
                    assert!(!name.contains(':') && name.len() < 256, "{name}");
                    // Nothing is kept twice; the last one comes first.
                    let inode = inode(&fd);
                    if !kept.iter().any(|(_, other)| self::inode(other) == inode) {
                        kept.insert(0, (name, fd));
                    }
                }
            }
        });
        Self { path, kept }
    }

    /// Starts the server of `config` with what is kept, and with `unit`, which comes first.
    fn start(&self, config: &Scratch, unit: Option<&OwnedFd>) -> Daemon {
        let handle = |(name, fd): &(String, OwnedFd)| (name.clone(), fd.try_clone().unwrap());
        let kept: Vec<_> = self.kept.lock().unwrap().iter().map(handle).collect();
        let kept = kept.iter().map(|(name, fd)| (name.as_str(), fd));
        let passed: Vec<_> = unit.map(|fd| ("ntp.socket", fd)).into_iter().chain(kept).collect();
        let notify = self.path.path.to_str().unwrap();
        start(config, &passed, &[("NOTIFY_SOCKET", notify), ("FDSTORE", "64")])
    }

    /// Waits until there are `count` sockets with `part` in their names.
    fn wait_for(&self, count: usize, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let kept = self.kept.lock().unwrap();
            let names: Vec<_> = kept.iter().map(|(name, _)| name.clone()).collect();
            drop(kept);
            if names.iter().filter(|name| name.contains(part)).count() == count {
                return;
            }
            assert!(Instant::now() < deadline, "not {count} of {part}: {names:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn inode(fd: &OwnedFd) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::File::from(fd.try_clone().unwrap()).metadata().unwrap().ino()
}

/// An address that was free just now.
fn free() -> String {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_restart_loses_no_request_when_the_service_manager_keeps_the_sockets() {
    let workers = timeball_sys::allowed_cores().len().min(2);
    for (from_a_unit, backend) in [(false, "auto"), (false, "mmsg"), (true, "auto")] {
        let (socket, address) = opened("127.0.0.1:0", true);
        // Else only the address, which was free just now.
        let unit = from_a_unit.then_some(socket);
        let more = format!("workers = {workers}\nbackend = \"{backend}\"\n");
        let config = config(&address, &more);
        let manager = Manager::new();
        let mut server = manager.start(&config, unit.as_ref());
        server.wait_for("ready");
        manager.wait_for(2 * workers + 1, "timeball-");
        let traffic = Arc::<Traffic>::default();
        let asking = std::thread::spawn({
            let (traffic, clients) = (Arc::clone(&traffic), clients(&address));
            move || traffic.run(&clients)
        });
        for _ in 0..3 {
            traffic.wait_for_more();
            server.signal("TERM");
            assert_eq!(server.finish().0, Some(0));
            server = manager.start(&config, unit.as_ref());
            server.wait_for("ready");
        }
        traffic.wait_for_more();
        traffic.stop.store(true, Ordering::Relaxed);
        let asked = asking.join().unwrap();
        assert_eq!(traffic.answered.load(Ordering::Relaxed), asked);
        assert!(!server.so_far().iter().any(|line| line.contains("do not fit")));
    }
}

/// Requests without a pause.
#[derive(Default)]
struct Traffic {
    stop: AtomicBool,
    answered: AtomicUsize,
}

impl Traffic {
    /// Asks in turn, with no more requests under way than the sockets hold; says how many were sent once all
    /// are answered, or nothing is any more.
    fn run(&self, clients: &[UdpSocket]) -> usize {
        let (mut asked, mut answered) = (0, 0);
        let mut reply = [0; 64];
        clients.iter().for_each(|client| client.set_nonblocking(true).unwrap());
        let mut deadline = None;
        while deadline.is_none_or(|deadline| Instant::now() < deadline && answered < asked) {
            if self.stop.load(Ordering::Relaxed) {
                deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
            } else if asked - answered < 100 {
                ask(&clients[asked % clients.len()]);
                asked += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
            for client in clients {
                while client.recv(&mut reply).is_ok() {
                    answered += 1;
                }
            }
            self.answered.store(answered, Ordering::Relaxed);
        }
        asked
    }

    /// Waits until some more are answered.
    fn wait_for_more(&self) {
        let (before, begun) = (self.answered.load(Ordering::Relaxed), Instant::now());
        while self.answered.load(Ordering::Relaxed) < before + 50 {
            assert!(begun.elapsed() < PATIENCE, "nothing is answered");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn what_is_kept_follows_the_configuration() {
    let (first, second) = (free(), free());
    let port = |address: &str| format!(".{}-", address.rsplit_once(':').unwrap().1);
    let both = format!("{first}\", \"{second}");
    let config = config(&both, "workers = 1\n");
    let write = |listen: &str, more: &str| {
        let text = format!("[server]\nlisten = [\"{listen}\"]\n{more}");
        std::fs::write(&config.path, text).unwrap();
    };
    let manager = Manager::new();
    let mut server = manager.start(&config, None);
    server.wait_for("ready");
    manager.wait_for(6, "timeball-");
    // An address that goes is let go of, one that comes is kept.
    write(&first, "workers = 1\n");
    server.signal("HUP");
    manager.wait_for(0, &port(&second));
    manager.wait_for(3, &port(&first));
    write(&both, "workers = 1\n");
    server.signal("HUP");
    manager.wait_for(3, &port(&second));
    // Killed, it leaves them all.
    server.signal("KILL");
    let _ = server.finish();
    let clients = clients(&second);
    clients.iter().for_each(ask);
    server = manager.start(&config, None);
    server.wait_for("ready");
    clients.iter().for_each(hear);
    server.signal("TERM");
    assert_eq!(server.finish().0, Some(0));
    // Another number of workers needs other sockets; so does an address that is not served any more.
    let workers = timeball_sys::allowed_cores().len().min(2);
    write(&second, &format!("workers = {workers}\n"));
    let mut server = manager.start(&config, None);
    server.wait_for("ready");
    let said = server.so_far().join("\n");
    assert!(said.contains(&format!("the sockets kept for {first} do not fit")), "{said}");
    assert_eq!(said.contains(&format!("{second} do not fit")), workers > 1, "{said}");
    manager.wait_for(0, &port(&first));
    manager.wait_for(2 * workers + 1, &port(&second));
    clients.iter().for_each(ask);
    clients.iter().for_each(hear);
    UdpSocket::bind(&first).unwrap();
}

#[test]
fn room_for_too_few_sockets_is_told_with_the_number_needed() {
    let config = config("127.0.0.1:0", "workers = 1\n");
    let manager = Manager::new();
    let notify = manager.path.path.to_str().unwrap();
    let mut server = start(&config, &[], &[("NOTIFY_SOCKET", notify), ("FDSTORE", "2")]);
    server.wait_for("set FileDescriptorStoreMax=3");
    server.wait_for("ready");
    manager.wait_for(0, "timeball-");
}
