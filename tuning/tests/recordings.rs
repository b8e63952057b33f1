//! Recorded machines, and what is said of them.

use std::collections::BTreeMap;

use timeball_tune::{CHECKS, RecordedHost, Report, Scene, State, look, text};

fn report(name: &str, recording: &str) -> Report {
    let host = RecordedHost::parse(name, recording).unwrap();
    Report::new(&Scene::new(&host, &[]).unwrap(), &look(&[]).unwrap())
}

/// The worst that each check found.
fn states(report: &Report) -> BTreeMap<&str, State> {
    let mut states = BTreeMap::new();
    for found in &report.findings {
        let worst = states.entry(found.check).or_insert(State::Good);
        *worst = found.finding.state.max(*worst);
    }
    states
}

/// Every check but those named stands at `rest`.
fn assert_states(report: &Report, named: &[(&str, State)]) {
    for (check, state) in states(report) {
        let expected = named.iter().find(|(name, _)| *name == check);
        let expected = expected.map_or(State::Good, |(_, state)| *state);
        assert_eq!(state, expected, "{check}:\n{}", text(report));
    }
}

fn change_lines(report: &Report, check: &str) -> Vec<String> {
    let findings = report.findings.iter().filter(|found| found.check == check);
    let changes = findings.flat_map(|found| &found.finding.changes);
    changes.map(|change| format!("{} = {}", change.setting, change.value)).collect()
}

#[test]
fn a_machine_as_it_should_be_gets_no_advice() {
    let report = report("tuned", include_str!("hosts/tuned.host"));
    assert_eq!((&report.worker_cores[..], report.timeball_runs), (&[2, 3][..], true));
    assert_states(&report, &[]);
    assert!(text(&report).contains("0 could be better, 0 harm clients, 0 not seen"));
}

#[test]
fn a_big_server_as_it_comes_is_told_what_costs_its_clients_most() {
    use State::{Advice, Problem};
    let report = report("two-socket", include_str!("hosts/two-socket.host"));
    assert_eq!(report.interfaces, ["ens1f0"], "a bridge without hardware is not looked at");
    assert_states(
        &report,
        &[
            ("daemons", Problem),
            ("port", Problem),
            ("firewall", Problem),
            ("conntrack", Problem),
            ("clocksource", Problem),
            ("napi", Advice),
            ("queues", Advice),
            ("interrupts", Advice),
            ("hash", Advice),
            ("receive-buffer", Advice),
            ("coalescing", Advice),
            ("governor", Advice),
            ("ring", Advice),
            ("fast-path", Advice),
            ("idle", Advice),
            ("numa", Advice),
            ("io-uring", Advice),
        ],
    );
    assert_eq!(change_lines(&report, "queues"), ["ens1f0's number of queues = 4"]);
    assert_eq!(change_lines(&report, "interrupts"), ["/proc/irq/91/smp_affinity_list = 0"]);
    assert_eq!(change_lines(&report, "hash"), ["ens1f0's udp4 hash fields = sd"]);
    assert_eq!(change_lines(&report, "ring"), ["ens1f0's receive ring = 512"]);
    assert_eq!(
        change_lines(&report, "coalescing"),
        ["ens1f0's interrupt coalescing = adaptive=off usecs=0"]
    );
    assert_eq!(
        change_lines(&report, "idle"),
        ["/sys/devices/system/cpu/cpu0/cpuidle/state2/disable = 1"]
    );
    assert_eq!(
        change_lines(&report, "governor"),
        ["/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor = performance"]
    );
    assert_eq!(change_lines(&report, "conntrack"), ["nftables table timeball_notrack = present"]);
    let text = text(&report);
    assert!(text.contains("chronyd has it (process 612)"), "{text}");
    assert!(text.contains("systemctl disable --now chrony"), "{text}");
}

#[test]
fn in_a_container_it_says_what_it_could_not_see() {
    use State::{Advice, Problem, Unseen};
    let report = report("container", include_str!("hosts/container.host"));
    assert_eq!(report.worker_cores, [3]);
    assert_states(
        &report,
        &[
            ("container", Problem),
            ("firewall", Unseen),
            ("napi", Unseen),
            ("queues", Unseen),
            ("hash", Unseen),
            ("coalescing", Unseen),
            ("ring", Unseen),
            ("fast-path", Unseen),
            ("timestamps", Unseen),
            ("receive-buffer", Advice),
            ("io-uring", Advice),
            ("time-namespace", Advice),
        ],
    );
    let text = text(&report);
    for words in [
        "may use 1.50 cores",
        "run it as root",
        "ethtool is not installed",
        "timeball answers on it",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
}

#[test]
fn a_machine_of_which_nothing_is_known_is_looked_at_without_harm() {
    let host = RecordedHost::default();
    let scene = Scene::new(&host, &[]).unwrap();
    for check in &CHECKS {
        assert!(!check.look(&scene).is_empty(), "{}", check.name);
    }
}

#[test]
fn what_is_advised_says_why_and_the_order_is_that_of_effect() {
    for (name, recording) in [
        ("two-socket", include_str!("hosts/two-socket.host")),
        ("container", include_str!("hosts/container.host")),
    ] {
        for found in report(name, recording).findings {
            let finding = found.finding;
            let advises = finding.state >= State::Advice;
            assert_eq!(
                advises,
                !finding.why.is_empty() && !finding.should.is_empty(),
                "{}",
                found.check
            );
            let can_be_done = !finding.changes.is_empty() || finding.by_hand.is_some();
            assert_eq!(advises, can_be_done, "{}", found.check);
        }
    }
    assert!(CHECKS.windows(2).all(|pair| pair[0].effect >= pair[1].effect));
}
