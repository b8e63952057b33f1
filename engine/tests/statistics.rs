//! Statistics files: read by NTPsec's own reader, and in the shape of its ntpd's.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::{Controlled, Daemon, Host, PATIENCE, Scratch, ask_at, chronyd, peer, text};
use serde_json::Value;

/// The lines of the only file of this kind and day in `directory`, once there are `count`.
fn lines(directory: &Path, kind: &str, count: usize) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(directory.join(kind)).unwrap_or_default();
        if text.lines().count() >= count {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "{kind}: {text:?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// A line with every number by its kind: whole, four hexadecimal digits, or with so many digits after
/// the point.
fn shape(line: &str) -> Vec<String> {
    let of = |word: &str| {
        let number = word.strip_prefix('-').unwrap_or(word);
        match number.split_once('.') {
            Some((whole, digits)) if [whole, digits].iter().all(|part| is_digits(part)) => {
                format!(".{}", digits.len())
            }
            // A status word may happen to be all digits.
            None if number.len() == 4 && number.bytes().all(|b| b.is_ascii_hexdigit()) => {
                "hex".to_owned()
            }
            None if is_digits(number) => "whole".to_owned(),
            _ => "name".to_owned(),
        }
    };
    line.split(' ').map(of).collect()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn directory() -> (Scratch, PathBuf) {
    let scratch = Scratch::file("placeholder", "");
    let path = scratch.path.parent().unwrap().to_owned();
    (scratch, path)
}

const KINDS: &str =
    "kinds = [\"loopstats\", \"peerstats\", \"clockstats\", \"rawstats\", \"sysstats\"]\n";

#[test]
fn the_lines_are_those_of_ntpd_and_its_own_reader_takes_them() {
    let host = Host::new();
    let _upstream = chronyd(&host, &["port 1123", "local stratum 5"]);
    let (_scratch, own) = directory();
    let config = format!(
        "[server]\nlisten = [\"127.0.0.1:1124\"]\n[statistics]\ndirectory = \"{}\"\n{KINDS}\
         [local]\nwait_s = 0\n[[source]]\naddress = \"127.0.0.1:1123\"\nmin_poll = 0\nmax_poll = 0\n\
         iburst = false\n",
        own.display()
    );
    let server = Controlled::start(&host, &config);
    let raw = lines(&own, "rawstats", 4);
    let peers = lines(&own, "peerstats", 2);
    let loops = lines(&own, "loopstats", 2);
    host.query(&["127.0.0.1:1124"]);
    server.daemon.signal("TERM");
    assert_eq!(server.daemon.finish().0, Some(0));

    // By a run of NTPsec's ntpd 1.2.3.
    let model = "61367 31610.219 -0.000011290 0.000000 0.000003992 0.000000 0";
    assert_eq!(shape(&loops[0]), shape(model), "{loops:?}");
    let model = "61367 31604.219 10.9.9.2 b014 0.000025384 0.000070247 7.937500060 0.000000000";
    assert_eq!(shape(&peers[1]), shape(model), "{peers:?}");
    let model = "61367 31604.219 10.9.9.2 10.9.9.1 4004412404.219562115 4004412404.219622623 \
                 4004412404.219717778 4004412404.219727518 0 4 4 5 0 -26 0.000000 0.000000 127.127.1.1 \
                 0 0 0";
    assert_eq!(shape(&raw[0]), shape(model), "{raw:?}");
    // Client, server, server, client: in order, and the kernel's own stamps.
    let times: Vec<f64> =
        raw[1].split(' ').skip(4).take(4).map(|time| time.parse().unwrap()).collect();
    assert!(times.is_sorted() && times[3] - times[0] < 10.0, "{raw:?}");
    let work = lines(&own, "sysstats", 1);
    let columns: Vec<_> = work[0].split(' ').collect();
    assert_eq!((columns.len(), columns[3], columns[4]), (13, "4", "4"), "{work:?}");

    let mut python = host.command("python3");
    python.env("PYTHONPATH", peer("python3-ntp/usr/lib/python3/dist-packages"));
    // Its own default ends with the last whole second, and would leave out what was written since.
    let script = "import sys, json, time, ntp.statfiles\n\
                  stats = ntp.statfiles.NTPStats(sys.argv[1], endtime=int(time.time()) + 60)\n\
                  print(json.dumps([len(stats.loopstats), len(stats.peerstats), \
                  len(stats.rawstats), list(stats.peersplit())]))";
    let output = python.args(["-c", script]).arg(&own).output().unwrap();
    let read: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let count = |kind: &str| lines(&own, kind, 1).len() as u64;
    assert_eq!(read[0], count("loopstats"), "{read}");
    assert_eq!(read[1], count("peerstats"), "{read}");
    assert_eq!(read[2], count("rawstats"), "{read}");
    assert_eq!(read[3][0], "127.0.0.1", "{read}");
}

#[test]
fn peerstats_have_the_shape_of_the_real_ntpds() {
    let host = Host::new();
    let (_scratch, theirs) = directory();
    let config = Scratch::file(
        "ntp.conf",
        &format!(
            "statsdir {}/\nstatistics peerstats\n\
             filegen peerstats file peerstats type day enable link\nrefclock local\n",
            theirs.display()
        ),
    );
    let mut ntpd = host.command(peer("ntpsec/usr/sbin/ntpd"));
    ntpd.args(["-n", "-N", "-g", "-c"]).arg(&config.path);
    let mut ntpd = Daemon::start(ntpd);
    ntpd.keep(config);
    let mut real = shape(&lines(&theirs, "peerstats", 1)[0]);
    let model = "61367 31603.211 127.0.0.1 9014 0.000000000 0.000000000 7.937500000 0.000000000";
    // Its local clock has a name where a server has an address.
    real[2] = "name".to_owned();
    assert_eq!(real, shape(model));
    let mut names: Vec<_> = fs::read_dir(&theirs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("peerstats"))
        .collect();
    names.sort();
    assert!(names.len() == 2 && names[1].len() == "peerstats.20261123".len(), "{names:?}");
}

#[test]
fn a_directory_that_cannot_be_written_costs_statistics_and_one_line() {
    let host = Host::new();
    let config = format!(
        "[server]\nlisten = [\"127.0.0.1:123\"]\n[statistics]\ndirectory = \"/dev/null/stats\"\n{KINDS}"
    );
    let mut server = Controlled::start(&host, &config);
    server.daemon.wait_for("records are lost until it can be written");
    assert_eq!(host.query(&["127.0.0.1"])["servers"][0]["replies"], 4);
    assert!(ask_at(&server.socket, "why", &[]).status.success());
    server.daemon.signal("TERM");
    let (code, said) = server.daemon.finish();
    assert_eq!(code, Some(0));
    let complaints = said.iter().filter(|line| line.contains("records are lost")).count();
    assert_eq!(complaints, 1, "{said:?}");
}
