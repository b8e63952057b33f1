//! The program as people and scripts use it: what it prints and writes, what it exits with, and that every
//! view of one result says the same.

mod answer;
#[path = "../../engine/tests/common/browser.rs"]
mod browser;

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use answer::serve;
use browser::Browser;
use timeball_load::{Document, Experiment};

/// A directory of the test's own, removed with this value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("timeball-load-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeball-load"));
    command.args(arguments);
    command
}

fn program(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Runs it with `--json` and returns what it printed, and its exit code.
fn measured(arguments: &[&str]) -> (Document, i32) {
    let quiet = if matches!(arguments[0], "report" | "merge") { None } else { Some("-q") };
    let output = command(arguments).arg("--json").args(quiet).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let document =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {complaint}"));
    (document, output.status.code().unwrap())
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server that answers everything at once.
fn prompt_server() -> String {
    serve(|_, reply, send| send(&reply)).to_string()
}

/// A server that answers each request after `delay`.
fn slow_server(delay: Duration) -> String {
    serve(move |_, reply, send| {
        std::thread::sleep(delay);
        send(&reply);
    })
    .to_string()
}

/// A quick load that any machine can offer; nothing is given up while the machine is busy.
const LIGHT: [&str; 6] = ["--rate", "500", "-d", "1.2", "--timeout", "5"];

#[test]
fn every_file_of_one_run_says_the_same() {
    let (directory, server) = (Directory::new(), prompt_server());
    let files = ["save", "html", "svg", "csv", "hlog", "hgrm"].map(|kind| {
        [format!("--{kind}"), directory.file(&format!("result.{}", kind.replace("save", "json")))]
    });
    let files: Vec<&str> = files.iter().flatten().map(String::as_str).collect();
    let arguments =
        [&["run", &server, "--interval", "0.5", "--shared-clock"][..], &LIGHT, &files].concat();
    let output = program(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", complaint(&output));
    let stored = Document::load(&directory.0.join("result.json")).unwrap();
    let report = &stored.trials[0].report;
    assert!(report.sent > 100 && report.answered == report.sent, "{report:?}");

    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("open loop, Poisson, 500/s") && text.contains('█'), "{text}");
    // Not a terminal: a line an interval on standard error, and no escape codes.
    let lines = complaint(&output);
    assert!(lines.lines().count() >= 3 && !lines.contains('\u{1b}'), "{lines}");

    let csv = directory.read("result.csv");
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let column = rows.next().unwrap().iter().position(|name| *name == "sent").unwrap();
    let sent: u64 = rows.map(|row| row[column].parse::<u64>().unwrap()).sum();
    assert_eq!(sent, report.sent);

    let (page, hgrm) = (directory.read("result.html"), directory.read("result.hgrm"));
    assert!(directory.read("result.svg").starts_with("<svg xmlns="));
    for word in ["http:", "https:", "src=", "url("] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(hgrm.contains(&format!("Total count    = {:>12}]", report.answered)), "{hgrm}");
    assert!(directory.read("result.hlog").starts_with("#[Logged with timeball-load"));

    let (again, code) = measured(&["report", &directory.file("result.json")]);
    assert_eq!((&again, code), (&stored, 0));
}

#[test]
fn generators_that_start_together_are_merged_into_one_report() {
    let (directory, server) = (Directory::new(), prompt_server());
    let start = std::time::SystemTime::now() + Duration::from_secs(4);
    let start = start.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
    let files = ["one.json", "two.json"].map(|name| directory.file(name));
    let load = [&["run", &server, "-q", "--start-at", &start][..], &LIGHT].concat();
    let generators = files
        .each_ref()
        .map(|file| command(&load).args(["--save", file]).stdout(Stdio::null()).spawn().unwrap());
    for mut generator in generators {
        assert!(generator.wait().unwrap().success());
    }
    let parts = files.each_ref().map(|file| Document::load(file.as_ref()).unwrap());
    let (merged, code) = measured(&["merge", &files[0], &files[1]]);
    let report = &merged.trials[0].report;
    let mut sum = parts[0].trials[0].report.clone();
    sum.merge(&parts[1].trials[0].report);
    assert_eq!((report, code), (&sum, 0));
    assert_eq!(merged.trials[0].offered_per_s, Some(1_000.0));
    assert_eq!(merged.generators.len(), 2);
    let apart_ns = parts[0].trials[0].started_unix_ns - parts[1].trials[0].started_unix_ns;
    assert_eq!(apart_ns, 0, "both were told the same start");
}

#[test]
fn an_interrupted_run_prints_its_report_so_far() {
    let server = prompt_server();
    let mut child =
        command(&["run", &server, "--json", "--rate", "500", "-d", "600", "--interval", "0.2"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut first = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("answered/s"), "{first}");
    let interrupt = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let document: Document = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document.was_interrupted() && document.trials[0].report.sent > 0);
}

#[test]
fn exit_codes_tell_scripts_what_happened() {
    let directory = Directory::new();
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let broken = directory.file("broken.json");
    std::fs::write(&broken, "{\"schema\":\"timeball-load/1\",\n\"kind\":\"dance\"}").unwrap();
    let spoilt = serve(|_, mut reply, send| {
        reply[0] = 0x25;
        send(&reply);
    })
    .to_string();
    let unwritable = directory.file("nowhere/result.json");
    let one = directory.file("one.json");
    let cases: [(i32, &str, &[&str]); 9] = [
        (2, "Usage", &["run"]),
        (2, "named twice", &["run", &closed, "--csv", &one, "--hlog", &one]),
        (2, "not one of each", &["compare", &closed, &broken]),
        (3, "192.0.2.1", &["run", "192.0.2.1:123"]),
        (4, "closed", &["run", &closed]),
        (4, "", &["run", &spoilt, "--rate", "100", "-d", "0.2", "-q"]),
        (1, "broken.json:2:", &["report", &broken]),
        (1, "nothere.json", &["merge", "nothere.json", &broken]),
        (1, "nowhere", &["run", &closed, "--save", &unwritable]),
    ];
    for (code, words, arguments) in cases {
        let output = program(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", complaint(&output));
        assert!(complaint(&output).contains(words), "{arguments:?}: {}", complaint(&output));
    }
}

#[test]
fn a_sweep_has_a_result_for_each_rate_and_a_search_ends_at_its_bound() {
    let server = prompt_server();
    let (sweep, code) =
        measured(&["sweep", &server, "--rates", "200,400", "-d", "0.4", "--timeout", "5"]);
    let rates: Vec<_> = sweep.trials.iter().map(|trial| trial.offered_per_s).collect();
    assert_eq!((rates, code), (vec![Some(200.0), Some(400.0)], 0));
    assert_eq!(sweep.kind, Experiment::Sweep);
    // Everything is answered, so the bound is what there is to find.
    let level = ["--loss", "0.5", "--from", "20", "--up-to", "20", "--rhythm", "constant"];
    let arguments = [&["find", &server, "-d", "0.22", "--timeout", "5"][..], &level].concat();
    let (find, code) = measured(&arguments);
    let capacity = find.capacity.unwrap();
    let rates = capacity.found.trials.iter().map(|(rate, _)| *rate);
    assert_eq!((capacity.found.rate_hz, rates.max(), code), (20, Some(20), 0));
}

#[test]
fn a_level_that_no_rate_meets_has_an_exit_code_of_its_own() {
    let server = slow_server(Duration::from_millis(20));
    let level = ["--p99", "1000", "--loss", "0.9", "--from", "4", "--rhythm", "constant"];
    let arguments = [&["find", &server, "-d", "0.4", "--timeout", "5"][..], &level].concat();
    let (find, code) = measured(&arguments);
    assert_eq!((find.capacity.unwrap().found.rate_hz, code), (0, 5));
}

#[test]
fn comparing_finds_a_slower_server_and_no_difference_between_a_result_and_itself() {
    let (directory, prompt) = (Directory::new(), prompt_server());
    let slow = slow_server(Duration::from_millis(15));
    let load = ["--window", "1", "-d", "0.3", "--timeout", "5"];
    let (live, code) =
        measured(&[&["compare", &prompt, &slow, "--rounds", "5"][..], &load].concat());
    assert_eq!((live.trials.len(), code), (10, 0));
    let figures = live.comparison.unwrap().figures;
    let rate = figures.iter().find(|it| it.name == "answered/s").unwrap();
    assert!(rate.ratio.high < 1.0 && rate.ratio.differs(), "{rate:?}");

    let files = ["a.json", "b.json"].map(|name| directory.file(name));
    for file in &files {
        let (_, code) = measured(&[&["run", &prompt, "--save", file][..], &load].concat());
        assert_eq!(code, 0);
    }
    let set = files.join(",");
    let (same, _) = measured(&["compare", &set, &set]);
    for figure in same.comparison.unwrap().figures {
        assert!(!figure.ratio.differs() && figure.ratio.ratio == 1.0, "{figure:?}");
    }
    let (other, _) = measured(&[
        "run",
        &prompt,
        "--rate",
        "50",
        "-d",
        "0.3",
        "--save",
        &directory.file("c.json"),
    ]);
    assert_eq!(other.trials.len(), 1);
    let unlike = program(&["compare", &files[0], &directory.file("c.json")]);
    assert!(complaint(&unlike).contains("different loads"), "{}", complaint(&unlike));
}

/// What programs may rely on. Adding a field is free; one that goes needs another schema.
#[test]
fn the_fields_of_the_format_are_all_there() {
    let server = prompt_server();
    let output = command(&["run", &server, "--json", "-q"]).args(LIGHT).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["schema"], "timeball-load/1");
    let paths = "/kind /program /generators/0/machine/kernel /generators/0/machine/processor \
        /generators/0/device/driver /generators/0/command/0 /remarks /trials/0/target /trials/0/load/open \
        /trials/0/offered_per_s /trials/0/started_unix_ns /trials/0/clients /trials/0/duration_s \
        /trials/0/timeout_s /trials/0/interval_s /trials/0/senders/0/sent /trials/0/senders/0/lag_p99_ns \
        /trials/0/series/0/start_s /trials/0/series/0/latency/p50_ns /trials/0/series/0/senders/0/answered \
        /trials/0/report/elapsed_s /trials/0/report/interrupted /trials/0/report/sent \
        /trials/0/report/unsent /trials/0/report/missed /trials/0/report/answered \
        /trials/0/report/answered_in_time /trials/0/report/lost /trials/0/report/faults \
        /trials/0/report/causality_violations /trials/0/report/latency/count \
        /trials/0/report/latency/mean_ns /trials/0/report/latency/min_ns /trials/0/report/latency/p0_1_ns \
        /trials/0/report/latency/p1_ns /trials/0/report/latency/p50_ns /trials/0/report/latency/p90_ns \
        /trials/0/report/latency/p99_ns /trials/0/report/latency/p99_9_ns \
        /trials/0/report/latency/p99_99_ns /trials/0/report/latency/max_ns /trials/0/report/latency/above \
        /trials/0/report/offset/p50_ns /trials/0/report/receive_error/count \
        /trials/0/report/transmit_error/count /trials/0/report/residence/count /trials/0/report/lag/p99_ns";
    for path in paths.split_whitespace() {
        assert!(json.pointer(path).is_some(), "{path}");
    }
    let histogram = json.pointer("/trials/0/report/latency/above").unwrap();
    assert!(histogram.as_str().unwrap().starts_with("HIST"), "the encoding's own mark");
}

#[test]
fn the_page_renders_in_a_browser() {
    let Some(browser) = Browser::find() else { return };
    let (directory, server) = (Directory::new(), prompt_server());
    let page = directory.file("page.html");
    let rates = ["--rates", "200,400,800", "-d", "0.5", "--timeout", "5", "--shared-clock"];
    let (_, code) = measured(&[&["sweep", &server, "--html", &page][..], &rates].concat());
    assert_eq!(code, 0);
    let dom = browser.look_at(page.as_ref(), &directory.0);
    for part in
        ["<svg viewBox", "Throughput against offered rate", "Latency by percentile", "</table>"]
    {
        assert!(dom.contains(part), "{part} in {dom}");
    }
}

#[test]
fn help_names_every_command_and_exit_code() {
    let help = program(&["--help"]);
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for word in ["run", "sweep", "find", "compare", "merge", "report", "130"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}
