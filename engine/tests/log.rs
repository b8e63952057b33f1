//! The log: few lines whatever comes, at the right priority, and at nobody's expense.

mod common;

use std::fs::{self, File};
use std::io::Read;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Controlled, Host, Scratch, text, timeball_program};

#[test]
fn a_hundred_thousand_bad_packets_are_few_lines() {
    let mut server = Controlled::here("[server]\nlisten = [\"127.0.0.1:0\"]\n");
    let listening = server.daemon.wait_for("listening");
    let address = listening.split_whitespace().last().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(address).unwrap();
    let before = server.daemon.so_far().len();
    // One of each sort of nonsense, and a signed request with a key nobody knows.
    let packets: Vec<Vec<u8>> = (0..200)
        .map(|n: u8| {
            let mut packet =
                vec![n.wrapping_mul(37); [0, 1, 47, 48, 50, 52, 68, 72, 500][usize::from(n % 9)]];
            if let Some(first) = packet.first_mut() {
                *first = n.wrapping_mul(11);
            }
            packet
        })
        .collect();
    for n in 0..100_000 {
        // Some find the socket full: they are not the point.
        let _ = client.send(&packets[n % packets.len()]);
    }
    let seen = |report: &serde_json::Value| report["clients"]["received"].as_u64() > Some(1000);
    server.wait_until("they have come", seen);
    server.daemon.signal("TERM");
    let (code, lines) = server.daemon.finish();
    assert_eq!(code, Some(0));
    assert!(lines.len() - before <= 20, "{}", lines.join("\n"));
}

/// Starts a server with a damaged drift file, ends it, and returns what it wrote to a file of which the
/// environment says that it is the journal, if `journal` is right.
fn written(journal: impl Fn(&fs::Metadata) -> String) -> String {
    let drift = Scratch::file("drift", "not a number\n");
    let config = Scratch::file(
        "t.toml",
        &format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[clock]\ndrift_file = \"{}\"\n",
            drift.path.display()
        ),
    );
    let log = config.path.with_file_name("log");
    let file = File::create(&log).unwrap();
    let stream = journal(&file.metadata().unwrap());
    let mut command = Command::new(timeball_program());
    command.arg("serve").arg(&config.path).env("JOURNAL_STREAM", stream);
    let mut server = command.stderr(file).spawn().unwrap();
    let begun = Instant::now();
    while !fs::read_to_string(&log).unwrap().contains("is ready") {
        assert!(begun.elapsed() < common::PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    Command::new("kill").arg(server.id().to_string()).status().unwrap();
    assert!(server.wait().unwrap().success());
    fs::read_to_string(&log).unwrap()
}

#[test]
fn in_the_journal_a_line_has_its_priority_and_elsewhere_its_time() {
    let journal = written(|own| format!("{}:{}", own.dev(), own.ino()));
    let line = journal.lines().find(|line| line.contains("starting without it")).expect(&journal);
    assert!(line.starts_with("<4>WARN"), "{line}");
    // The journal of whoever started us, while we write elsewhere.
    let file = written(|own| format!("{}:{}", own.dev(), own.ino() + 1));
    let line = file.lines().find(|line| line.contains("starting without it")).expect(&file);
    assert!(line.starts_with("20") && line.contains("WARN"), "{line}");
}

#[test]
fn a_log_that_nobody_reads_costs_nobody_the_time() {
    let host = Host::new();
    let config = Scratch::file("t.toml", "[server]\nlisten = [\"127.0.0.1:123\"]\n");
    let mut command = host.timeball(&["serve"]);
    let mut server = command.arg(&config.path).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = server.stderr.take().unwrap();
    let begun = Instant::now();
    while host.query(&["127.0.0.1"])["best"] != "127.0.0.1:123" {
        assert!(begun.elapsed() < common::PATIENCE);
    }
    let signal = |name: &str| {
        let kill = Command::new("kill").args(["-s", name, &server.id().to_string()]).output();
        assert!(kill.as_ref().unwrap().status.success(), "{}", text(&kill.unwrap()));
    };
    // Far more than a pipe holds; and longer than a snapshot is valid.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(7) {
        signal("USR1");
    }
    assert_eq!(host.query(&["127.0.0.1"])["best"], "127.0.0.1:123");
    signal("TERM");
    let reader = std::thread::spawn(move || {
        let mut all = String::new();
        pipe.read_to_string(&mut all).map(|_| all)
    });
    assert!(server.wait().unwrap().success());
    let all = reader.join().unwrap().unwrap();
    // A pipe holds 64 KiB, less what its pages are not filled with.
    assert!(all.len() > 40 << 10, "the pipe was full: {}", all.len());
}
