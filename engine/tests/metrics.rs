//! The page of metrics as its readers meet it: over HTTP, from this machine and from elsewhere; and read by
//! the real Prometheus and its promtool.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Controlled, Daemon, Held, Host, PATIENCE, Scratch, chronyd, peer, text};

const LOCAL: &str = "[server]\nlisten = [\"127.0.0.1:123\"]\n[metrics]\n";

/// What curl says of a page: the code, and the body.
fn fetch(host: &Host, url: &str, arguments: &[&str]) -> (u32, String) {
    let mut curl = host.command("curl");
    curl.args(["-s", "--max-time", "30", "-w", "\n%{http_code}"]).args(arguments).arg(url);
    let said = text(&curl.output().unwrap());
    let (body, code) = said.rsplit_once('\n').unwrap_or_default();
    (code.parse().unwrap_or_else(|error| panic!("{error}: {said}")), body.to_owned())
}

const PAGE: &str = "http://127.0.0.1:9559";

/// The page's samples, by name and labels as they stand.
fn scrape(host: &Host) -> BTreeMap<String, f64> {
    let (code, body) = fetch(host, &format!("{PAGE}/metrics"), &[]);
    assert_eq!(code, 200, "{body}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    samples.map(sample).collect()
}

/// Waits until `holds` of a scrape, and returns it.
fn scrape_until(
    host: &Host,
    what: &str,
    holds: impl Fn(&BTreeMap<String, f64>) -> bool,
) -> BTreeMap<String, f64> {
    let begun = Instant::now();
    loop {
        let samples = scrape(host);
        if holds(&samples) {
            return samples;
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "{what}: {samples:#?}");
        std::thread::sleep(Duration::from_millis(150));
    }
}

/// The sum over all workers of what begins with `name` and has `label`.
fn sum(samples: &BTreeMap<String, f64>, name: &str, label: &str) -> f64 {
    let begins = format!("{name}{{");
    let wanted = samples.iter().filter(|(key, _)| key.starts_with(&begins) && key.contains(label));
    wanted.map(|(_, value)| value).sum()
}

#[test]
fn what_clients_get_is_counted_and_shown() {
    let host = Host::new();
    let server = Controlled::start(&host, LOCAL);
    host.query(&["127.0.0.1"]);
    let samples = scrape_until(&host, "four answers", |samples| {
        sum(samples, "timeball_replies_total", "version=\"4\"") == 4.0
    });
    assert_eq!(sum(&samples, "timeball_requests_total", ""), 4.0);
    assert_eq!(sum(&samples, "timeball_residence_seconds_count", ""), 4.0);
    assert_eq!(sum(&samples, "timeball_residence_seconds_bucket", "le=\"+Inf\""), 4.0);
    assert_eq!(sum(&samples, "timeball_batch_datagrams_sum", ""), 4.0);
    assert_eq!(sum(&samples, "timeball_dropped_total", ""), 0.0);
    assert_eq!(samples["timeball_clients{window=\"hour\",family=\"ipv4\"}"], 1.0);
    assert_eq!(samples["timeball_top_talker_ratio{by=\"address\"}"], 1.0);
    assert_eq!(samples["timeball_ready"], 1.0);
    let report = server.report();
    assert_eq!(report["census"]["clients_last_day"]["ipv4"], 1, "{report:#}");
    let first = &report["census"]["addresses"]["top"][0];
    assert_eq!((&first["who"], &first["at_least"]), (&"127.0.0.1".into(), &4.into()), "{report:#}");
    let said = text(&server.ask("status", &[]));
    assert!(
        said.contains("clients  1 in the last hour") && said.contains("127.0.0.0/24"),
        "{said}"
    );
}

#[test]
fn ready_is_what_a_client_would_say_and_names_the_gate_that_is_shut() {
    let host = Host::new();
    let config = "[clock]\nmax_root_distance_s = 16\n[local]\nwait_s = 600\n\
        [[source]]\naddress = \"127.0.0.1:1123\"\nmin_poll = 0\n";
    let server = Controlled::start(&host, &format!("{LOCAL}{config}"));
    let (code, body) = fetch(&host, &format!("{PAGE}/ready"), &[]);
    assert_eq!(code, 503, "{body}");
    assert!(body.starts_with("not ready\nleap is 3"), "{body}");
    assert!(body.contains("127.0.0.1:1123 has"), "{body}");
    let (code, body) = fetch(&host, &format!("{PAGE}/health"), &[]);
    assert_eq!((code, body.as_str()), (200, "healthy\n"), "alive, though it has no time to give");
    assert_eq!(scrape(&host)["timeball_ready"], 0.0);

    let _upstream = chronyd(&host, &["port 1123", "local stratum 3"]);
    server.wait_until("serving", |report| report["header"]["leap"] == 0);
    let samples = scrape_until(&host, "ready", |samples| samples["timeball_ready"] == 1.0);
    assert_eq!(samples["timeball_source_selected{source=\"127.0.0.1:1123\"}"], 1.0, "{samples:#?}");
    assert_eq!(samples["timeball_clock_stratum"], 4.0);
    let (code, body) = fetch(&host, &format!("{PAGE}/ready"), &[]);
    assert!(code == 200 && body.starts_with("ready\nstratum 4 from"), "{code} {body}");
    let (code, body) = fetch(&host, &format!("{PAGE}/ready"), &["--head"]);
    assert!(code == 200 && !body.contains("stratum 4"), "{body}");
}

#[test]
fn a_stuck_thread_shuts_the_gate_until_it_goes_on() {
    let host = Host::new();
    let config = format!("{LOCAL}[local]\nwait_s = 0\n");
    let mut server =
        Controlled::start(&host, &config.replace("]\n[metrics", "]\ncores = [0]\n[metrics"));
    scrape_until(&host, "ready", |samples| samples["timeball_ready"] == 1.0);
    for thread in ["worker-0", "discipline"] {
        let held = Held::thread(&host, server.daemon.pid(), thread);
        server.daemon.wait_for(&format!("{thread} is stuck"));
        scrape_until(&host, "shut", |samples| samples["timeball_ready"] == 0.0);
        for page in ["ready", "health"] {
            let (code, body) = fetch(&host, &format!("{PAGE}/{page}"), &[]);
            assert!(code == 503 && body.contains(&format!("{thread} is stuck")), "{code} {body}");
        }
        held.release();
        scrape_until(&host, "open", |samples| samples["timeball_ready"] == 1.0);
    }
}

/// Another process takes over from `server`, by the same configuration file.
fn replace(host: &Host, server: &mut Controlled) {
    let mut command = host.timeball(&["serve", "--take-over"]);
    command.arg(&server.directory.path);
    let mut successor = Daemon::start(command);
    successor.wait_for("took over from process");
    successor.wait_for("ready");
    std::mem::swap(&mut server.daemon, &mut successor);
    assert_eq!(successor.finish().0, Some(0));
}

#[test]
fn the_page_is_there_during_reloads_and_through_a_take_over() {
    let host = Host::new();
    let mut server = Controlled::start(&host, LOCAL);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut fetched = 0;
            let begun = Instant::now();
            while !done.load(Ordering::Relaxed) && begun.elapsed() < 2 * PATIENCE {
                let (code, body) = fetch(&host, &format!("{PAGE}/ready"), &[]);
                assert_eq!(code, 200, "after {fetched}: {body}");
                fetched += 1;
            }
            fetched
        });
        let config = std::fs::read_to_string(&server.directory.path).unwrap();
        for mode in ["off", "observe", "on"] {
            let changed = format!("{config}[limits]\nmode = \"{mode}\"\n");
            std::fs::write(&server.directory.path, changed).unwrap();
            let said = server.ask("reload", &[]);
            assert_eq!(said.status.code(), Some(0), "{}", text(&said));
        }
        replace(&host, &mut server);
        scrape(&host);
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 3);
    });
}

#[test]
fn counters_never_fall_back_when_another_process_takes_over() {
    let host = Host::new();
    let mut server = Controlled::start(&host, LOCAL);
    let requests = |samples: &_| sum(samples, "timeball_requests_total", "");
    let first = scrape(&host);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut most, begun) = (0.0, Instant::now());
            while !done.load(Ordering::Relaxed) && begun.elapsed() < 4 * PATIENCE {
                host.query(&["127.0.0.1"]);
                let now = requests(&scrape(&host));
                assert!(now >= most, "{now} after {most}: Prometheus would count all of it again");
                most = now;
            }
        });
        for workers in ["", "workers = 1\n", ""] {
            let config = std::fs::read_to_string(&server.directory.path).unwrap();
            let config = config.replace("workers = 1\n", "");
            let config = config.replace("[metrics]\n", &format!("{workers}[metrics]\n"));
            std::fs::write(&server.directory.path, config).unwrap();
            replace(&host, &mut server);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    let last = scrape(&host);
    assert!(requests(&last) >= requests(&first) + 4.0, "{last:#?}");
    let since = "timeball_counting_since_seconds";
    assert!((last[since] - first[since]).abs() < 1e-3, "but for the last digits");
    assert!(since_start(&last) > last[since], "the process is younger than its counters");
}

/// When the process of a scrape began, seconds since 1970.
fn since_start(samples: &BTreeMap<String, f64>) -> f64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    now - samples["timeball_uptime_seconds"]
}

#[test]
fn a_stranger_is_refused_and_counted_and_who_is_allowed_is_not() {
    let host = Host::new();
    let (friend, stranger) = (host.neighbour("to-a", "eth0"), host.neighbour("to-b", "eth0"));
    host.ip("address add 192.0.2.1/24 dev to-a");
    friend.ip("address add 192.0.2.2/24 dev eth0");
    host.ip("address add 198.51.100.1/24 dev to-b");
    stranger.ip("address add 198.51.100.2/24 dev eth0");
    let page = "listen = [\"[::]:9559\"]\nallow = [\"192.0.2.0/24\"]\n";
    let _server = Controlled::start(&host, &format!("{LOCAL}{page}"));
    let from = |client: &Host, address: &str| {
        let waiting = ["--retry", "20", "--retry-connrefused", "--retry-all-errors"];
        fetch(client, &format!("http://{address}:9559/metrics"), &waiting)
    };
    assert_eq!(from(&friend, "192.0.2.1").0, 200);
    let refused = fetch(&stranger, "http://198.51.100.1:9559/metrics", &[]);
    assert_eq!(refused, (403, "[metrics] allow does not name you\n".to_owned()));
    let samples = scrape(&host);
    assert_eq!(samples["timeball_http_requests_total{path=\"\",code=\"403\"}"], 1.0);
}

#[test]
fn slow_and_hostile_visitors_keep_nobody_from_the_page() {
    let host = Host::new();
    let _server = Controlled::start(&host, LOCAL);
    // More than there is room for: silent ones, ones that never end, and ones that do not read.
    let script = "import socket, sys, time\n\
        held = []\n\
        for kind in range(120):\n    \
            s = socket.create_connection(('127.0.0.1', 9559))\n    \
            if kind % 3 == 1: s.send(b'GET /metrics HTTP/1.1\\r\\nX: ')\n    \
            if kind % 3 == 2: s.send(b'GET /metrics HTTP/1.1\\r\\n\\r\\n')\n    \
            held.append(s)\n\
        print('held', flush=True)\n\
        end = time.time() + 60\n\
        while time.time() < end:\n    \
            time.sleep(0.05)\n    \
            for s in held[1::3]:\n        \
                try: s.send(b'x')\n        \
                except OSError: pass\n";
    let mut python = host.command("python3");
    python.args(["-c", script]);
    let mut hostile = Daemon::start(python);
    hostile.wait_for("held");
    for _ in 0..5 {
        assert_eq!(fetch(&host, &format!("{PAGE}/ready"), &[]).0, 200);
    }
    let samples = scrape(&host);
    assert!(samples["timeball_http_requests_total{path=\"/ready\",code=\"200\"}"] >= 5.0);
    assert_eq!(host.query(&["127.0.0.1"])["best"], "127.0.0.1:123");
}

#[test]
fn an_address_that_cannot_be_had_ends_the_start_and_says_so() {
    let host = Host::new();
    let _first = Controlled::start(&host, LOCAL);
    let config = "[server]\nlisten = [\"127.0.0.2:123\"]\n[metrics]\n";
    let file = Scratch::file("timeball.toml", config);
    let mut second = host.timeball(&["serve"]);
    let (code, lines) = Daemon::start({
        second.arg(&file.path);
        second
    })
    .finish();
    assert_eq!(code, Some(3), "{lines:?}");
    let said = lines.join("\n");
    assert!(said.contains("[metrics] cannot listen on 127.0.0.1:9559"), "{said}");
}

#[test]
fn the_document_has_the_programs_own_tables() {
    let output = Command::new(common::timeball_program()).args(["check", "--metrics"]).output();
    let tables = String::from_utf8(output.unwrap().stdout).unwrap();
    let page = include_str!("../../docs/src/metrics.md");
    assert!(page.contains(&tables), "put the output of `timeball check --metrics` there");
}

fn monitoring(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning/monitoring").join(name)
}

fn promtool(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(peer("prometheus/usr/bin/promtool"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "promtool {arguments:?}: {}", text(&output));
    text(&output)
}

#[test]
fn the_alert_rules_are_sound_and_fire_when_they_should() {
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts-test.yml"]] {
        let file = monitoring(arguments[2]);
        promtool(&[arguments[0], arguments[1], file.to_str().unwrap()], "");
    }
}

/// A server with everything on it that a dashboard asks for: a source, and one that does not answer.
fn followed(host: &Host) -> (Daemon, Controlled) {
    let upstream = chronyd(host, &["port 1123", "local stratum 3"]);
    let sources = "[[source]]\naddress = \"127.0.0.1:1123\"\nmin_poll = 0\n\
        [[source]]\naddress = \"127.0.0.1:9\"\n";
    let server = Controlled::start(host, &format!("{LOCAL}{sources}"));
    server.wait_until("serving", |report| report["header"]["leap"] == 0);
    (upstream, server)
}

#[test]
fn promtool_finds_nothing_wrong_with_a_scrape() {
    let host = Host::new();
    let _running = followed(&host);
    let (_, page) = fetch(&host, &format!("{PAGE}/metrics"), &[]);
    let said = promtool(&["check", "metrics"], &page);
    assert_eq!(said.trim(), "", "{said}");
    let accept = ["-H", "Accept: application/openmetrics-text; version=1.0.0"];
    let (_, open) = fetch(&host, &format!("{PAGE}/metrics"), &accept);
    assert!(open.ends_with("# EOF\n"), "{open}");
    assert!(open.contains("# TYPE timeball_requests counter\n"), "{open}");
    assert!(page.contains("# TYPE timeball_requests_total counter\n"), "{page}");
}

/// Names of metrics in `text`, as they are written in queries.
fn names_in(text: &str) -> BTreeSet<String> {
    let words =
        text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    words.filter(|word| word.starts_with("timeball_")).map(str::to_owned).collect()
}

#[test]
fn every_metric_of_dashboard_and_rules_is_in_a_real_scrape() {
    let host = Host::new();
    let _running = followed(&host);
    let there: BTreeSet<String> = scrape(&host)
        .into_keys()
        .map(|key| key.split('{').next().unwrap_or_default().to_owned())
        .collect();
    for file in ["dashboard.json", "alerts.yml", "alerts-test.yml"] {
        let mut text = String::new();
        std::fs::File::open(monitoring(file)).unwrap().read_to_string(&mut text).unwrap();
        let named = names_in(&text);
        assert!(named.len() > 5, "{file}");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(missing.is_empty(), "{file}: {missing:?}");
    }
}

#[test]
fn a_real_prometheus_scrapes_and_answers() {
    let host = Host::new();
    let _running = followed(&host);
    host.query(&["127.0.0.1"]);
    let rules = monitoring("alerts.yml");
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [\"{}\"]\n\
         scrape_configs: [{{ job_name: timeball, static_configs: [{{ targets: [\"127.0.0.1:9559\"] }}] }}]\n",
        rules.display()
    );
    let file = Scratch::file("prometheus.yml", &config);
    let mut prometheus = host.command(peer("prometheus/usr/bin/prometheus"));
    prometheus
        .arg(format!("--config.file={}", file.path.display()))
        .arg(format!("--storage.tsdb.path={}", file.path.with_file_name("data").display()))
        .args(["--web.listen-address=127.0.0.1:9090", "--log.level=warn"]);
    let mut daemon = Daemon::start(prometheus);
    daemon.keep(file);
    let query = "http://127.0.0.1:9090/api/v1/query?query=sum(timeball_requests_total)%20%3E=%204";
    let begun = Instant::now();
    let answer = loop {
        let said = text(&host.command("curl").args(["-s", query]).output().unwrap());
        let answer: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        if answer["data"]["result"][0]["value"][1].is_string() {
            break answer;
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "{said}\n{}", daemon.so_far().join("\n"));
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(answer["status"], "success", "{answer:#}");
}
