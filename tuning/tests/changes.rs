//! Changing a machine and taking it back: on a recording, and on a veth in a network namespace of our own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use timeball_tune::{
    Applied, Change, Host, Journal, RecordedHost, Setting, TuneError, apply, undo,
};

const LIMIT: &str = "/proc/sys/net/core/rmem_max";

fn machine() -> RecordedHost {
    let text =
        format!("== read {LIMIT}\n212992\n== read /proc/sys/kernel/sched_rt_runtime_us\n950000\n");
    RecordedHost::parse("a.host", &text).unwrap()
}

fn change(path: &str, value: &str) -> Change {
    Change { setting: Setting::file(path), value: value.to_owned() }
}

/// A path of our own for a journal; the directory is removed with it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("timeball-tune-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn journal(&self) -> PathBuf {
        self.0.join("tune.journal")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_was_changed_is_taken_back_in_reverse_even_by_a_later_run() {
    let (host, directory) = (machine(), Directory::new("reverse"));
    let mut journal = Journal::open(&directory.journal()).unwrap();
    let set = |was: &str, set: &str| Applied::Set { was: was.into(), set: set.into() };
    assert_eq!(
        apply(&host, &mut journal, &change(LIMIT, "300000")).unwrap(),
        set("212992", "300000")
    );
    assert_eq!(
        apply(&host, &mut journal, &change(LIMIT, "400000")).unwrap(),
        set("300000", "400000")
    );
    assert_eq!(apply(&host, &mut journal, &change(LIMIT, "400000")).unwrap(), Applied::Already);
    drop(journal);

    let mut journal = Journal::open(&directory.journal()).unwrap();
    assert_eq!(journal.entries().len(), 2);
    assert_eq!(undo(&host, &mut journal, false).unwrap().unwrap().1, set("400000", "300000"));
    assert_eq!(undo(&host, &mut journal, false).unwrap().unwrap().1, set("300000", "212992"));
    assert!(undo(&host, &mut journal, false).unwrap().is_none());
    assert_eq!(host.read(LIMIT).unwrap(), "212992");
    assert!(!directory.journal().exists(), "an empty journal leaves no file");
}

#[test]
fn what_somebody_else_has_changed_since_is_left_alone_unless_forced() {
    let (host, directory) = (machine(), Directory::new("since"));
    let mut journal = Journal::open(&directory.journal()).unwrap();
    apply(&host, &mut journal, &change(LIMIT, "300000")).unwrap();
    host.write(LIMIT, "999999").unwrap();
    let error = undo(&host, &mut journal, false).unwrap_err();
    assert!(matches!(error, TuneError::ChangedSince { .. }), "{error}");
    assert!(error.to_string().contains("--force"), "{error}");
    assert_eq!((host.read(LIMIT).unwrap().as_str(), journal.entries().len()), ("999999", 1));
    undo(&host, &mut journal, true).unwrap();
    assert_eq!(host.read(LIMIT).unwrap(), "212992");
}

#[test]
fn what_cannot_be_read_is_not_changed_because_it_could_not_be_undone() {
    let text = format!("== denied read {LIMIT}\n{LIMIT}\n");
    let host = RecordedHost::parse("a.host", &text).unwrap();
    let directory = Directory::new("unreadable");
    let mut journal = Journal::open(&directory.journal()).unwrap();
    let error = apply(&host, &mut journal, &change(LIMIT, "1")).unwrap_err();
    assert!(matches!(error, TuneError::NotUndoable { .. }), "{error}");
    let ring = Change { setting: Setting::Ring { interface: "eth0".into() }, value: "512".into() };
    assert!(apply(&host, &mut journal, &ring).is_err());
    assert!(host.commands().is_empty() && !directory.journal().exists());
}

#[test]
fn nothing_is_changed_when_the_journal_cannot_be_kept() {
    let (host, directory) = (machine(), Directory::new("journal"));
    let mut journal = Journal::open(&directory.0.join("none/tune.journal")).unwrap();
    // A file where the journal's directory would be.
    fs::write(directory.0.join("none"), "").unwrap();
    let error = apply(&host, &mut journal, &change(LIMIT, "1")).unwrap_err();
    assert!(matches!(error, TuneError::File { .. }), "{error}");
    assert_eq!(host.read(LIMIT).unwrap(), "212992");
}

#[test]
fn a_damaged_journal_is_refused_with_its_line() {
    let directory = Directory::new("damaged");
    fs::write(
        directory.journal(),
        "{\"setting\":{\"kind\":\"no-track\"},\"was\":\"absent\",\"set\":\"present\"}\nx\n",
    )
    .unwrap();
    let error = Journal::open(&directory.journal()).unwrap_err().to_string();
    assert!(error.contains("tune.journal:2"), "{error}");
}

/// A namespace with one end of a veth in it; the other end is in there, too.
struct Namespace(String);

impl Namespace {
    fn new() -> Option<Self> {
        let name = format!("timeball-tune-{}", std::process::id());
        if !ip(&["netns", "add", &name]) {
            return None;
        }
        let namespace = Self(name);
        let made = ip(&[
            "-n",
            &namespace.0,
            "link",
            "add",
            "tune0",
            "type",
            "veth",
            "peer",
            "name",
            "tune1",
        ]) && ip(&["-n", &namespace.0, "link", "set", "tune0", "up"])
            && ip(&["-n", &namespace.0, "link", "set", "tune1", "up"]);
        made.then_some(namespace)
    }

    fn tune(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.0, env!("CARGO_BIN_EXE_timeball-tune")])
            .args(arguments);
        command.output().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}

fn stdout(output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.code().is_some_and(|code| !(2..10).contains(&code)), "{out}{err}");
    assert!(err.is_empty(), "{out}{err}");
    out.into_owned()
}

#[test]
fn a_veth_gets_threads_below_the_workers_and_loses_them_again() {
    let has_tools = ["ethtool", "taskset", "chrt"]
        .iter()
        .all(|tool| Command::new(tool).arg("--version").output().is_ok());
    let sees_kernel_threads =
        fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd");
    let Some(namespace) = Namespace::new().filter(|_| has_tools && sees_kernel_threads) else {
        eprintln!(
            "skipped: needs root, ethtool, taskset, chrt, and a view of the kernel's threads"
        );
        return;
    };
    let directory = Directory::new("veth");
    let journal = directory.journal().display().to_string();
    let on_device = ["--interface", "tune0"];
    let check = || {
        let json =
            stdout(&namespace.tune(&[&["check", "--json", "napi"], &on_device[..]].concat()));
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["findings"][0]["found"]
            .to_string()
    };
    let before = check();
    assert!(before.contains("soft interrupts"), "{before}");

    let dry =
        stdout(&namespace.tune(
            &[&["apply", "napi", "--dry-run", "--journal", &journal], &on_device[..]].concat(),
        ));
    assert!(dry.contains("would set") && dry.contains("Nothing was changed"), "{dry}");
    assert_eq!(check(), before);

    let applied = stdout(
        &namespace.tune(&[&["apply", "napi", "--journal", &journal], &on_device[..]].concat()),
    );
    assert!(
        applied.contains("threaded set from 0 to 1") && applied.contains("fifo 10"),
        "{applied}"
    );
    let after = check();
    // What it is called depends on the workers of a timeball that may run on this machine.
    assert!(after.contains("thread") && !after.contains("soft interrupts"), "{after}");

    let undone = stdout(&namespace.tune(&["undo", "--journal", &journal]));
    assert!(undone.contains("threaded set from 1 to 0"), "{undone}");
    assert_eq!(check(), before);
}

#[test]
fn wrong_names_are_wrong_usage_and_say_what_there_is() {
    let tune = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_timeball-tune")).args(arguments).output().unwrap()
    };
    let output = tune(&["check", "naapi"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("conntrack"));
    let output = tune(&["check", "--interface", "none0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("lo"));
    assert_eq!(tune(&["apply"]).status.code(), Some(2), "changes only what is asked for");
}

#[test]
fn the_live_machine_is_looked_at_and_its_recording_says_the_same() {
    let directory = Directory::new("live");
    let file = directory.0.join("this.host").display().to_string();
    let tune = |arguments: &[&str]| {
        stdout(&Command::new(env!("CARGO_BIN_EXE_timeball-tune")).args(arguments).output().unwrap())
    };
    tune(&["record", &file]);
    let recorded = tune(&[
        "check",
        "clocksource",
        "io-uring",
        "receive-buffer",
        "--json",
        "--recorded",
        &file,
    ]);
    let live = tune(&["check", "clocksource", "io-uring", "receive-buffer", "--json"]);
    let findings =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["findings"].clone();
    assert_eq!(findings(&recorded), findings(&live));
}
