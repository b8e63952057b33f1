//! The program stays where it is wanted through all that happens to interfaces, programs and processes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::asker::Asker;
use crate::common::{Controlled, Daemon, PATIENCE, text};
use crate::link::{FAST, Link, address, by_workers, hindrance, program, reload};

#[test]
fn interfaces_go_down_come_up_go_away_and_come_again_in_a_strict_sandbox_without_a_capability() {
    let Some(link) = Link::new() else { return };
    let strict = "[sandbox]\nmode = \"strict\"\n";
    let server = Controlled::start(&link.server, &format!("{FAST}{strict}"));
    link.wait_for_driver(&server, "10.9.0.1");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.daemon.pid())).unwrap();
    for task in tasks {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    }
    for state in ["down", "up"] {
        link.server.ip(&format!("link set fast0 {state}"));
    }
    link.wait_for_driver(&server, "10.9.0.1");
    // An address that comes later is answered too.
    link.server.ip("addr add 10.9.0.7/24 dev fast0");
    link.wait_for_driver(&server, "10.9.0.7");
    link.server.ip("link del fast0");
    server.wait_until("gone", |report| hindrance(report, "fast0").contains("no such interface"));
    link.server.join(&link.client, "fast0", "client0");
    address(&link.server, &link.client, 0);
    server.wait_until("back", |report| hindrance(report, "fast0").is_empty());
    link.wait_for_passing("client0");
    link.wait_for_driver(&server, "10.9.0.1");
    // A second one, and then only that, by reloading; in IPv6 alone.
    link.server.join(&link.client, "fast1", "client1");
    address(&link.server, &link.client, 1);
    link.server.ip("addr del 10.9.1.1/24 dev fast1");
    let both = FAST.replace("\"fast0\"", "\"fast0\", \"fast1\"");
    let said = reload(&server, &format!("{both}{strict}"));
    assert!(said.contains("[fast_path] interfaces: ") && said.contains("in force"), "{said}");
    link.wait_for_passing("client1");
    link.wait_for_driver(&server, "10.9.0.1");
    link.wait_for_driver(&server, "2001:db8:1::1");
    reload(&server, &format!("{}{strict}", FAST.replace("fast0", "fast1")));
    assert_eq!(program(&link.server, "fast0"), None);
    link.assert_by_workers(&server, "10.9.0.1");
    link.wait_for_driver(&server, "2001:db8:1::1");
    reload(&server, strict);
    assert_eq!(program(&link.server, "fast1"), None);
    link.assert_by_workers(&server, "10.9.0.1");
    server.daemon.signal("TERM");
    let (code, lines) = server.daemon.finish();
    assert_eq!(code, Some(0), "{lines:#?}");
}

#[test]
fn another_program_is_left_alone_until_it_goes_and_a_killed_server_leaves_none() {
    let Some(link) = Link::new() else { return };
    let first = Controlled::start(&link.server, FAST);
    let own = program(&link.server, "fast0").expect("attached");
    let elsewhere = format!("[server]\nlisten = [\"10.9.0.1:10123\"]\n{FAST}");
    let mut second = Controlled::start(&link.server, &elsewhere);
    second.daemon.wait_for("fast0: workers answer everything: another XDP program");
    assert!(hindrance(&second.report(), "fast0").contains(&format!("program {own}")));
    link.assert_by_workers(&second, "10.9.0.1:10123");
    link.wait_for_driver(&first, "10.9.0.1");
    assert_eq!(program(&link.server, "fast0"), Some(own));
    first.daemon.signal("KILL");
    drop(first);
    link.wait_for_driver(&second, "10.9.0.1:10123");
    second.daemon.signal("KILL");
    let _ = second.daemon.finish();
    let begun = Instant::now();
    while program(&link.server, "fast0").is_some() {
        assert!(begun.elapsed() < PATIENCE, "it is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn another_program_is_taken_off_if_that_is_configured() {
    let Some(link) = Link::new() else { return };
    let object = concat!(env!("CARGO_MANIFEST_DIR"), "/sys/bpf/fast_path.o");
    let mut ip = link.server.command("ip");
    let put = ip.args(["link", "set", "dev", "fast0", "xdp", "obj", object, "sec", "xdp"]);
    let put = put.output().unwrap();
    if !put.status.success() {
        // An iproute2 that was built without the loader.
        return eprintln!("skipped: {}", text(&put));
    }
    let foreign = program(&link.server, "fast0").expect("put there");
    let server = Controlled::start(&link.server, FAST);
    assert!(hindrance(&server.report(), "fast0").contains(&format!("program {foreign}")));
    link.assert_by_workers(&server, "10.9.0.1");
    server.daemon.signal("TERM");
    let Controlled { daemon, .. } = server;
    assert_eq!(daemon.finish().0, Some(0));
    assert_eq!(program(&link.server, "fast0"), Some(foreign));
    let server = Controlled::start(&link.server, &format!("{FAST}replace_foreign = true\n"));
    assert_eq!(hindrance(&server.report(), "fast0"), "");
    link.wait_for_driver(&server, "10.9.0.1");
}

#[test]
fn nobody_is_without_an_answer_while_a_new_process_takes_over() {
    let Some(link) = Link::new() else { return };
    let server = Controlled::start(&link.server, &format!("{FAST}[limits]\nmode = \"off\"\n"));
    link.wait_for_driver(&server, "10.9.0.1");
    let by_workers_before = by_workers(&server.report());
    let (mut client, done) = (Asker::new(&link.client, "60"), AtomicBool::new(false));
    let server = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let begun = Instant::now();
            let mut asked = 0;
            while !done.load(Ordering::Relaxed) && begun.elapsed() < 2 * PATIENCE {
                assert_eq!(client.ask(&"10.9.0.2 ".repeat(20)), 20, "after {asked}");
                asked += 20;
            }
            asked
        });
        let mut command = link.server.timeball(&["serve", "--take-over"]);
        command.arg(&server.directory.path);
        let mut new = Daemon::start(command);
        new.wait_for("took over from process");
        new.wait_for("ready");
        let Controlled { daemon, socket, directory } = server;
        assert_eq!(daemon.finish().0, Some(0));
        let server = Controlled { daemon: new, socket, directory };
        link.wait_for_driver(&server, "10.9.0.1");
        done.store(true, Ordering::Relaxed);
        assert!(asked.join().unwrap() > 20);
        server
    });
    // It counts on: there was a program in the driver all the time.
    assert_eq!(by_workers(&server.report()), by_workers_before);
}
