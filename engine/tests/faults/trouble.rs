//! What goes wrong.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::arena::{Arena, ip, run};
use crate::random::Random;

/// Something that begins and ends.
pub(crate) struct Trouble {
    pub(crate) name: &'static str,
    pub(crate) begin: fn(&mut Arena, &mut Random),
    pub(crate) end: fn(&mut Arena, &mut Random),
    /// It lasts less than this, and 200 ms.
    pub(crate) longest_ms: u64,
}

const fn trouble(
    name: &'static str,
    longest_ms: u64,
    begin: fn(&mut Arena, &mut Random),
    end: fn(&mut Arena, &mut Random),
) -> Trouble {
    Trouble { name, begin, end, longest_ms }
}

/// Faults of the host, the network and the upstreams.
pub(crate) static FAULTS: [Trouble; 15] = [
    trouble("a stopped process", 2000, |a, _| a.signal("STOP"), |a, _| a.signal("CONT")),
    trouble("a kill", 500, |a, _| a.kill_server(), restart),
    trouble("a full disk", 2500, fill_disk, |a, _| fs::remove_file(a.disk.join("filler")).unwrap()),
    trouble("a read-only disk", 2500, seal_disk, |a, _| {
        run("umount", &a.disk.display().to_string())
    }),
    trouble("a link down", 1500, |_, _| ip("link set up0 down"), link_up),
    trouble("an address gone", 1500, lose_address, |a, _| a.address_them()),
    trouble("silent upstreams", 3000, |a, _| silence(a, true), |a, _| silence(a, false)),
    trouble("a lying upstream", 3000, lie, |a, _| a.upstreams.iter().for_each(|one| one.lie(0))),
    trouble("one core left", 1500, |a, _| cores(a, "0"), |a, _| cores(a, &all_cores())),
    trouble("no descriptors left", 3000, exhaust, |a, _| limit(a, "nofile=1024:")),
    trouble("no memory to be had", 2000, squeeze, |a, _| limit(a, "as=unlimited:")),
    trouble("questions by signal", 500, pester, |_, _| {}),
    trouble("another configuration", 1500, |a, _| reload(a, MORE), |a, _| reload(a, "")),
    trouble("a broken configuration", 1000, |a, _| reload(a, "[server\n"), |a, _| reload(a, "")),
    trouble("nothing", 300, |_, _| {}, |_, _| {}),
];

/// What goes on meanwhile.
pub(crate) static COMPANIONS: [Trouble; 5] = [
    trouble("nonsense", 1, |_, random| throw(random, 3000, true), |_, _| {}),
    trouble("a flood", 1, |_, random| throw(random, 20_000, false), |_, _| {}),
    trouble("idle visitors at the control socket", 1, visit, |a, _| {
        a.nuisances.drain(..).for_each(|end| end());
    }),
    trouble("reloads", 1, |a, _| (0..5).for_each(|_| a.signal_if_up("HUP")), |_, _| {}),
    trouble("peace", 1, |_, _| {}, |_, _| {}),
];

fn restart(arena: &mut Arena, _: &mut Random) {
    arena.start_server();
    let back = arena.recovered("the restart");
    println!(
        "{:10} restarted: answered after {} ms, synchronised after {} ms",
        "", back[0], back[1]
    );
    arena.note_baseline();
}

fn fill_disk(arena: &mut Arena, _: &mut Random) {
    let filler = arena.disk.join("filler");
    // Until nothing fits any more.
    let mut chunk = 1 << 16;
    let mut file = fs::File::create(filler).unwrap();
    while chunk > 0 {
        if std::io::Write::write_all(&mut file, &vec![0; chunk]).is_err() {
            chunk /= 2;
        }
    }
}

/// Whoever opens a file from now on finds it read-only.
fn seal_disk(arena: &mut Arena, _: &mut Random) {
    let disk = arena.disk.display();
    run("mount", &format!("--bind {disk} {disk}"));
    run("mount", &format!("-o remount,bind,ro {disk}"));
}

fn link_up(arena: &mut Arena, _: &mut Random) {
    ip("link set up0 up");
    arena.address_them();
}

fn lose_address(arena: &mut Arena, _: &mut Random) {
    arena.inside("ip", "address del 10.9.0.10/24 dev down0");
}

fn silence(arena: &mut Arena, silent: bool) {
    arena.upstreams.iter().for_each(|one| one.be_silent(silent));
}

/// One of three: the others are the majority.
fn lie(arena: &mut Arena, random: &mut Random) {
    let by_ns = *random.pick(&[50_000_000, -50_000_000, 3_000_000_000, -1_000_000_000_000]);
    random.pick(&arena.upstreams).lie(by_ns);
}

fn cores(arena: &Arena, list: &str) {
    run("taskset", &format!("-a -p -c {list} {}", arena.pid()));
}

fn all_cores() -> String {
    format!("0-{}", thread::available_parallelism().unwrap().get() - 1)
}

fn limit(arena: &Arena, limit: &str) {
    run("prlimit", &format!("--pid {} --{limit}", arena.pid()));
}

/// As many descriptors as it has open, and no more.
fn exhaust(arena: &mut Arena, _: &mut Random) {
    let open = fs::read_dir(format!("/proc/{}/fd", arena.pid())).unwrap().count();
    limit(arena, &format!("nofile={open}:"));
}

/// A megabyte more than it has, and not the next.
fn squeeze(arena: &mut Arena, _: &mut Random) {
    let status = fs::read_to_string(format!("/proc/{}/status", arena.pid())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    limit(arena, &format!("as={}:", (kib + 1024) << 10));
}

/// Asks for the state at standard error again and again.
fn pester(arena: &mut Arena, _: &mut Random) {
    (0..3).for_each(|_| arena.signal("USR1"));
}

/// Has the configuration read anew, with `more` at its end.
fn reload(arena: &mut Arena, more: &str) {
    arena.configure(more);
    arena.signal("HUP");
}

/// A source that never answers, a rule, and a log that says more.
const MORE: &str = "[[source]]\naddress = \"10.9.0.99\"\n[[access]]\nnetwork = \"198.51.100.0/24\"\n\
                    allow = []\n[log]\nlevel = \"debug\"\n";

/// So many datagrams at once, valid or not; what comes back is no more of them, and no longer.
fn throw(random: &mut Random, count: u64, nonsense: bool) {
    let servers = ["10.9.0.10:123", "[fd09::10]:123"];
    let own = [format!("10.77.200.{}:0", 1 + random.below(200)), "[fd77:0:ff::1]:0".to_owned()];
    for (own, server) in own.iter().zip(servers) {
        let socket = UdpSocket::bind(own).unwrap();
        let (mut sent, mut sent_octets) = (0u64, 0);
        for _ in 0..count / 2 {
            let mut packet = vec![0; 48];
            packet[0] = 0x23;
            packet[40..48].copy_from_slice(&random.next().to_be_bytes());
            if nonsense {
                packet.resize(random.below(700) as usize, random.next() as u8);
                if let Some(first) = packet.first_mut() {
                    *first = random.next() as u8;
                }
            }
            // The way there may be what is at fault.
            if let Ok(len) = socket.send_to(&packet, server) {
                (sent, sent_octets) = (sent + 1, sent_octets + len);
            }
        }
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (mut received, mut received_octets, mut reply) = (0u64, 0, [0; 2048]);
        let begun = Instant::now();
        while let Ok(len) = socket.recv(&mut reply)
            && begun.elapsed() < Duration::from_secs(5)
        {
            (received, received_octets) = (received + 1, received_octets + len);
        }
        assert!(received <= sent && received_octets <= sent_octets, "{received} for {sent}");
    }
}

/// More than it has room for, and none says anything.
fn visit(arena: &mut Arena, _: &mut Random) {
    let path = arena.control_socket();
    let visitors: Vec<_> = (0..40).map_while(|_| UnixStream::connect(&path).ok()).collect();
    arena.nuisances.push(Box::new(move || drop(visitors)));
}
