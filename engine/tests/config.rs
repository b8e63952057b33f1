//! The configuration file as an operator meets it: what is accepted, and what is said about the
//! rest.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use timeball::check;
use timeball::config::{
    Backend, Family, Host, LeapMode, Listen, LogLevel, Machine, Plan, Spread, Steering, Transmit,
    UringReplies, example,
};
use timeball_time::{Interval, Smear, Stratum};

/// A machine with two cores.
fn machine() -> Machine {
    Machine::with_cores(vec![0, 1])
}

fn plan(text: &str) -> Plan {
    match Plan::parse(Path::new("t.toml"), text, &machine()) {
        Ok(plan) => plan,
        Err(problems) => panic!("{text}\n{problems}"),
    }
}

/// The message about `text`, whole.
fn refusal(text: &str) -> String {
    match Plan::parse(Path::new("t.toml"), text, &machine()) {
        Ok(plan) => panic!("accepted: {text}\n{plan:?}"),
        Err(problems) => problems.to_string(),
    }
}

/// Asserts that each text is refused with exactly the lines beside it.
fn assert_refusals(cases: &[(&str, &str)]) {
    for (text, message) in cases {
        assert_eq!(refusal(text), *message, "\n{text}");
    }
}

/// Every setting of the example: section header, key, value, and the limits stated above it.
fn settings() -> Vec<(String, String, String, String)> {
    let (mut settings, mut header, mut limits) = (Vec::new(), String::new(), String::new());
    for line in example().lines() {
        if let Some(more) = line.strip_prefix("# ") {
            limits = if more.starts_with('(') { more.into() } else { format!("{limits} {more}") };
        } else if let Some((key, value)) = line.trim_start_matches('#').split_once(" = ") {
            settings.push((header.clone(), key.into(), value.into(), limits.clone()));
        } else if !line.is_empty() {
            header = line.trim_start_matches('#').to_owned();
        }
    }
    settings
}

/// `value` for `key` under `header`, with whatever else that section cannot do without.
fn alone(header: &str, key: &str, value: &str) -> String {
    let needed = match header {
        "[[source]]" if key != "address" => "address = \"ntp1.example.net\"\n",
        "[[access]]" if key != "network" => "network = \"default\"\n",
        "[[broadcast]]" if key != "address" => "address = \"224.0.1.1\"\n",
        "[[manycast_client]]" => match key {
            "address" => "authenticate = false\n",
            "authenticate" => "address = \"224.0.1.1\"\n",
            _ => "address = \"224.0.1.1\"\nauthenticate = false\n",
        },
        "[keys]" if key != "file" => "file = \"/etc/timeball/keys\"\n",
        _ => "",
    };
    format!("{header}\n{needed}{key} = {value}\n")
}

#[test]
fn nothing_configured_means_the_documented_defaults() {
    let plan = plan("");
    assert_eq!(plan, Plan::without_file(&machine()));
    let any =
        |port| vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()];
    assert_eq!(plan.server.listen, Listen::Default);
    assert_eq!(plan.server.listen.addresses(), any(123));
    assert_eq!(plan.server.listen.fallback(), Some(any(11_123)));
    assert_eq!(plan.server.cores, [0, 1]);
    assert_eq!(plan.server.backend, Backend::Auto);
    assert_eq!(plan.server.uring_replies, UringReplies::Auto);
    assert_eq!(plan.server.transmit, Transmit::Socket);
    assert_eq!(plan.server.spread, Spread::SourceAddress);
    assert_eq!(plan.server.receive_buffer_bytes, 256 << 10);
    assert_eq!(plan.server.worker_priority, None);
    assert_eq!(plan.server.user, None);
    assert_eq!(plan.clock.steering, Steering::Virtual);
    assert_eq!(plan.clock.drift_file, None);
    assert_eq!(plan.clock.state_file, None);
    assert_eq!((plan.clock.leap_file, plan.clock.leap_second), (None, LeapMode::Kernel));
    assert_eq!((plan.server.listen_smeared, plan.server.smear), (Vec::new(), Smear::USUAL));
    assert_eq!(plan.clock.step_threshold, Interval::from_millis(128));
    assert_eq!(plan.clock.step_limit, None);
    assert_eq!(plan.clock.max_root_distance, Interval::from_millis(1_500));
    assert_eq!(plan.clock.panic_threshold, Some(Interval::from_secs(1_000)));
    let local = plan.local.expect("without a source the local clock is served");
    assert_eq!((local.stratum, local.wait), (Stratum::new(10), Interval::from_secs(10)));
    assert!(plan.sources.is_empty());
    assert_eq!(plan.log_level, LogLevel::Info);
}

#[test]
fn every_setting_arrives_in_the_plan() {
    let plan = plan(
        "[server]\nlisten = [\"192.0.2.7:1123\", \"::1\"]\ncores = [1]\nbackend = \"uring\"\n\
         uring_replies = \"sendmmsg\"\ntransmit = \"xdp\"\nspread = \"cpu\"\n\
         receive_buffer_bytes = 65_536\nworker_priority = 50\nuser = \"ntp\"\n\
         listen_smeared = [\"192.0.2.7:124\"]\nsmear_s = 7200\n\
         [clock]\nsteering = \"kernel\"\ndrift_file = \"/var/lib/drift\"\nstep_threshold_s = 0.5\n\
         step_limit = 3\nmax_root_distance_s = 3\npanic_threshold_s = 0\n\
         state_file = \"/var/lib/state\"\nleap_file = \"/usr/leaps\"\nleap_second = \"slew\"\n\
         [local]\nstratum = 5\nwait_s = 2.5\n[log]\nlevel = \"debug\"\n\
         [[access]]\nnetwork = \"192.0.2.0/24\"\nallow = [\"time\", \"query\"]\n\
         require = [\"key\"]\nfrom_port_123 = true\n\
         [[source]]\naddress = \"NTP1.example.net.\"\n\
         [[source]]\naddress = \"[2001:db8::1]:456\"\niburst = false\nmin_poll = 3\nmax_poll = 4\n\
         prefer = true\nfamily = \"ipv6\"\n",
    );
    let listen = vec!["192.0.2.7:1123".parse().unwrap(), "[::1]:123".parse().unwrap()];
    assert_eq!(plan.server.listen, Listen::At(listen));
    assert_eq!(plan.server.listen.fallback(), None);
    assert_eq!(plan.server.cores, [1]);
    assert_eq!(plan.server.backend, Backend::Uring);
    assert_eq!(plan.server.uring_replies, UringReplies::Sendmmsg);
    assert_eq!(plan.server.transmit, Transmit::Xdp);
    assert_eq!(plan.server.spread, Spread::Cpu);
    assert_eq!(plan.server.receive_buffer_bytes, 65_536);
    assert_eq!(plan.server.worker_priority, NonZeroU8::new(50));
    assert_eq!(plan.server.user.as_deref(), Some("ntp"));
    assert_eq!(plan.clock.steering, Steering::Kernel);
    assert_eq!(plan.clock.drift_file, Some(PathBuf::from("/var/lib/drift")));
    assert_eq!(plan.clock.state_file, Some(PathBuf::from("/var/lib/state")));
    assert_eq!(plan.clock.leap_file, Some(PathBuf::from("/usr/leaps")));
    assert_eq!(plan.clock.leap_second, LeapMode::Slew);
    assert_eq!(plan.server.listen_smeared, ["192.0.2.7:124".parse().unwrap()]);
    assert_eq!(plan.server.smear, Smear::new(Interval::from_secs(7_200)));
    assert_eq!((plan.server.cores.len(), plan.server.workers()), (1, 2));
    assert_eq!(plan.clock.step_threshold, Interval::from_millis(500));
    assert_eq!(plan.clock.step_limit, Some(3));
    assert_eq!(plan.clock.max_root_distance, Interval::from_secs(3));
    assert_eq!(plan.clock.panic_threshold, None);
    let local = plan.local.expect("[local] is there");
    assert_eq!((local.stratum, local.wait), (Stratum::new(5), Interval::from_millis(2_500)));
    assert_eq!(plan.log_level, LogLevel::Debug);
    let [rule] = &plan.access[..] else { panic!("one rule") };
    assert_eq!((rule.whom.to_string(), rule.from_ntp_port), ("192.0.2.0/24".into(), true));
    assert_eq!(rule.words(), [vec!["time", "query"], vec!["key"]]);
    let [first, second] = &plan.sources[..] else { panic!("two sources") };
    assert_eq!(first.endpoint.host, Host::Name("ntp1.example.net".into()));
    assert_eq!((first.endpoint.port, first.position.line), (123, 34));
    assert!(first.iburst && !first.prefer);
    assert_eq!((first.poll.min(), first.poll.max(), first.family), (6, 10, Family::Any));
    assert_eq!(second.endpoint.to_string(), "[2001:db8::1]:456");
    assert!(!second.iburst && second.prefer);
    assert_eq!((second.poll.min(), second.poll.max(), second.family), (3, 4, Family::Ipv6));
}

#[test]
fn a_source_alone_has_no_local_clock_behind_it() {
    assert_eq!(plan("[[source]]\naddress = \"192.0.2.1\"\n").local, None);
    assert!(plan("[local]\n[[source]]\naddress = \"192.0.2.1\"\n").local.is_some());
}

#[test]
fn workers_are_the_first_allowed_cores_and_never_more() {
    let cores = |text| {
        let allowed = Machine::with_cores(vec![7, 3, 5]);
        Plan::parse(Path::new("t.toml"), text, &allowed).expect(text).server.cores
    };
    assert_eq!(cores(""), [3, 5, 7]);
    assert_eq!(cores("server.workers = 2"), [3, 5]);
    assert_eq!(cores("server.workers = 64"), [3, 5, 7]);
    assert_eq!(cores("server.cores = [7, 3]"), [7, 3]);
    assert_eq!(cores("server = { cores = [7, 3], workers = 2 }"), [7, 3]);
    assert_eq!(Machine::with_cores(vec![]).cores(), [0]);
    assert!(!Machine::this().cores().is_empty());
}

#[test]
fn the_shipped_example_is_the_printed_one() {
    let shipped = include_str!("../timeball.example.toml");
    let remedy = "run `timeball check --example` and put its output into timeball.example.toml";
    assert!(shipped == example(), "{remedy}");
}

#[test]
fn the_example_with_everything_commented_out_is_the_default() {
    assert_eq!(plan(&example()), Plan::without_file(&machine()));
}

#[test]
fn the_example_with_everything_uncommented_says_what_it_says() {
    let is_setting = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let uncommented: String = example()
        .lines()
        .map(|line| if is_setting(line) { &line[1..] } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    // What finds servers must have a key.
    let uncommented = uncommented.replace("key = 0", "key = 4");
    let plan = plan(&uncommented);
    let defaults = Plan::without_file(&machine());
    assert_eq!(plan.server.listen.addresses(), defaults.server.listen.addresses());
    assert_eq!(plan.server.user.as_deref(), Some("timeball"));
    assert_eq!(plan.server.receive_buffer_bytes, defaults.server.receive_buffer_bytes);
    assert_eq!(plan.clock.step_threshold, defaults.clock.step_threshold);
    assert_eq!(plan.local, defaults.local);
    assert_eq!(plan.sources.len(), 1);
}

#[test]
fn every_setting_in_the_example_is_read() {
    let settings = settings();
    assert!(settings.len() >= 23, "{}", settings.len());
    for (header, key, _, limits) in settings {
        let message = refusal(&alone(&header, &key, "1979-05-27"));
        assert!(message.contains(&format!("`{key}` is a date, not ")), "{message}");
        assert!(limits.ends_with(')'), "{key}: {limits}");
        assert!(limits.contains("default") || limits.contains("required"), "{key}: {limits}");
    }
}

#[test]
fn the_ranges_and_defaults_that_the_example_states_are_those_enforced() {
    let mut ranges = 0;
    for (header, key, value, limits) in settings() {
        // (UNIT, FROM to TO; default VALUE)
        let Some((range, default)) = limits.trim_matches(['(', ')']).split_once("; default ")
        else {
            continue;
        };
        assert_eq!(value, default, "{key}");
        let numbers = range.split_once(", ").and_then(|(_, numbers)| numbers.split_once(" to "));
        let Some((from, to)) = numbers else { continue };
        let is_refused = |value: f64| match Plan::parse(
            Path::new("t.toml"),
            &alone(&header, &key, &value.to_string()),
            &machine(),
        ) {
            Ok(_) => false,
            Err(problems) => problems.to_string().contains("is out of range"),
        };
        let (from, to): (f64, f64) = (from.parse().unwrap(), to.parse().unwrap());
        let step = if from.fract() == 0.0 { 1.0 } else { from / 2.0 };
        assert!(!is_refused(from) && !is_refused(to), "{key}");
        assert!(is_refused(from - step) && is_refused(to + 1.0), "{key}");
        ranges += 1;
    }
    assert_eq!(ranges, 26);
}

#[test]
fn unknown_names_are_refused_with_the_name_that_was_meant() {
    assert_refusals(&[
        ("[servr]\n", "t.toml:1:2: `servr` is no section; did you mean [server]?"),
        ("[[sources]]\n", "t.toml:1:3: `sources` is no section; did you mean [[source]]?"),
        ("workers = 2\n", "t.toml:1:1: `workers` is no section; write it under [server]"),
        (
            "[nts]\n",
            "t.toml:1:2: `nts` is no section; remove it, or use one of [server], [fast_path], [clock], \
             [log], [control], [statistics], [sandbox], [metrics], [local], [[access]], [limits], [keys], \
             [[source]], [[broadcast]], [broadcast_client], [manycast_server], [[manycast_client]]",
        ),
        (
            "[server]\nwokers = 2\n",
            "t.toml:2:1: [server] has no setting `wokers`; did you mean `workers`?",
        ),
        (
            "[server]\nsteering = \"kernel\"\n",
            "t.toml:2:1: [server] has no setting `steering`; it belongs under [clock]",
        ),
        (
            "[local]\nnice = 3\n",
            "t.toml:2:1: [local] has no setting `nice`; remove it, or use one of stratum, wait_s",
        ),
        (
            "[[source]]\naddress = \"a.b\"\nminpoll = 4\n",
            "t.toml:3:1: [[source]] has no setting `minpoll`; did you mean `min_poll`?",
        ),
    ]);
}

#[test]
fn wrong_types_and_values_are_refused_with_one_that_would_do() {
    assert_refusals(&[
        (
            "[server]\nlisten = \"0.0.0.0:123\"\n",
            "t.toml:2:10: `listen` is text, not a list; write it as in `listen = [\"0.0.0.0:123\", \
             \"[::]:123\"]`",
        ),
        (
            "[server]\nlisten = []\n",
            "t.toml:2:10: `listen` has 0 entries; list 1 to 32, or leave the setting out",
        ),
        (
            "[server]\ncores = [true]\n",
            "t.toml:2:10: an entry of `cores` is true or false, not a whole number; write \
             `cores = [0]`",
        ),
        (
            "[server]\nworker_priority = 100\n",
            "t.toml:2:19: `worker_priority = 100` is out of range; write 0 to 99",
        ),
        (
            "[server]\nreceive_buffer_bytes = 99999999999999999999\n",
            "t.toml:2:24: `receive_buffer_bytes = 99999999999999999999` is out of range; write \
             65536 to 67108864",
        ),
        (
            "[server]\nspread = \"cpus\"\n",
            "t.toml:2:10: `spread = \"cpus\"` is not a choice; write \"source-address\", \"cpu\" \
             or \"kernel\"",
        ),
        (
            "[server]\nuser = \"a b\"\n",
            "t.toml:2:8: \"a b\" is no user name; write a name from /etc/passwd as in \
             `user = \"timeball\"`",
        ),
        (
            "[clock]\nstep_threshold_s = nan\n",
            "t.toml:2:20: `step_threshold_s = nan` is out of range; write 0.001 to 1000 seconds",
        ),
        (
            "[clock]\ndrift_file = \"drift\"\n",
            "t.toml:2:14: \"drift\" is not the absolute path of a file; write the whole path as in \
             \"/var/lib/timeball/drift\"",
        ),
        ("[local]\nstratum = 16\n", "t.toml:2:11: `stratum = 16` is out of range; write 1 to 15"),
        (
            "[[source]]\niburst = true\n",
            "t.toml:1:1: a source without `address`; add `address = \"…\"` to this [[source]]",
        ),
        (
            "[[source]]\naddress = \"192.0.2.300\"\n",
            "t.toml:2:11: \"192.0.2.300\" is neither a host name nor an IP address; write a server \
             as in \"ntp.example.net\", \"192.0.2.1\" or \"2001:db8::1\"",
        ),
        (
            "[server]\nlisten = [\"localhost\", \"224.0.1.1:123\"]\n",
            "t.toml:2:11: \"localhost\" is not an IP address with a port; write an address as in \
             \"192.0.2.1:123\" or \"[2001:db8::1]:123\"\n\
             t.toml:2:24: \"224.0.1.1:123\" is no address that a reply can leave from; write an \
             address as in \"192.0.2.1:123\" or \"[2001:db8::1]:123\"",
        ),
        (
            "[source]\naddress = \"a.b\"\n",
            "t.toml:1:2: [source] in single brackets; write [[source]], in double brackets, for \
             each",
        ),
        (
            "server = 3\nsource = [4]\n",
            "t.toml:1:1: `server` is a whole number, not a section; write [server] once, on a line \
             of its own\n\
             t.toml:2:11: `source` is a whole number, not a section; write [[source]], in double \
             brackets, for each",
        ),
    ]);
}

#[test]
fn contradictions_are_refused_where_they_stand() {
    assert_refusals(&[
        (
            "[clock]\ndrift_file = \"/a\"\nstate_file = \"/a\"\n",
            "t.toml:1:2: `state_file = \"/a\"` is the drift file; give each a file of its own",
        ),
        (
            "[server]\nlisten = [\"[::1]:9\"]\nlisten_smeared = [\"[::1]:9\"]\n",
            "t.toml:3:19: [::1]:9 is listed twice; keep one of them",
        ),
        (
            "[server]\nlisten_smeared = [\"[::1]:9\"]\n\
             [clock]\nsteering = \"kernel\"\n[[source]]\naddress = \"a.b\"\n",
            "t.toml:3:2: `leap_second = \"kernel\"` with `steering = \"kernel\"` and \
             `listen_smeared`; write `leap_second = \"slew\"`",
        ),
        (
            "[[source]]\naddress = \"a.b\"\nmin_poll = 12\n",
            "t.toml:3:12: `min_poll = 12` is above the default `max_poll = 10`; lower `min_poll` \
             or raise `max_poll`",
        ),
        (
            "[[source]]\naddress = \"a.b\"\nmax_poll = 4\n",
            "t.toml:3:12: the default `min_poll = 6` is above `max_poll = 4`; lower `min_poll` or \
             raise `max_poll`",
        ),
        (
            "[server]\nlisten = [\"[::1]:123\", \"::1\"]\n",
            "t.toml:2:24: [::1]:123 is listed twice; keep one of them",
        ),
        (
            "[server]\ncores = [0, 7, 0]\n",
            "t.toml:2:13: this process may not use core 7; choose among 0, 1\n\
             t.toml:2:16: core 0 is listed twice; keep one of them",
        ),
        (
            "[server]\nworkers = 1\ncores = [0, 1]\n",
            "t.toml:2:11: `workers = 1` contradicts 2 cores; leave `workers` out: each core has \
             one",
        ),
        (
            "[server]\nbackend = \"mmsg\"\nuring_replies = \"ring\"\n",
            "t.toml:3:17: `uring_replies = \"ring\"` has no meaning with `backend = \"mmsg\"`; \
             leave one of the two out",
        ),
        (
            "[server]\nuring_replies = \"ring\"\ntransmit = \"packet\"\n",
            "t.toml:2:17: `uring_replies = \"ring\"` has no meaning with `transmit = \"packet\"`; \
             leave one of the two out",
        ),
        (
            "[clock]\nsteering = \"kernel\"\n[local]\n",
            "t.toml:2:12: `steering = \"kernel\"` without a source to steer by; add a [[source]], \
             or leave `steering` out",
        ),
        (
            "[clock]\nstep_threshold_s = 5\npanic_threshold_s = 4\n",
            "t.toml:3:21: `panic_threshold_s = 4` is not above `step_threshold_s = 5`; raise it, \
             lower the other, or write 0 for none",
        ),
        (
            "[clock]\nstep_threshold_s = 1000\n",
            "t.toml:2:20: `panic_threshold_s = 1000` is not above `step_threshold_s = 1000`; raise \
             it, lower the other, or write 0 for none",
        ),
        (
            "[[source]]\naddress = \"a.b\"\n[[source]]\naddress = \"A.B.:123\"\n",
            "t.toml:4:11: a.b:123 is a source already, on line 2; keep one of them",
        ),
        (
            "[[source]]\naddress = \"a.b\"\nprefer = true\n\
             [[source]]\naddress = \"c.d\"\nprefer = true\n",
            "t.toml:6:10: `prefer = true` again, after line 3; prefer one source at most",
        ),
        (
            "[[source]]\naddress = \"192.0.2.1\"\nfamily = \"ipv6\"\n",
            "t.toml:3:10: `family = \"ipv6\"` excludes 192.0.2.1; leave `family` out: the address \
             says it",
        ),
        (
            "[server]\nlisten = [\"0.0.0.0:1123\"]\n[[source]]\naddress = \"127.0.0.1:1123\"\n",
            "t.toml:4:11: 127.0.0.1:1123 is this server itself, by `listen`; name another server, \
             or another port",
        ),
    ]);
    let source = |n| format!("[[source]]\naddress = \"10.0.0.{n}\"\n");
    let many: String = (1..=65).map(source).collect();
    assert_eq!(refusal(&many), "t.toml:129:1: 65 sources; keep 64 at most");
    assert_eq!(plan(&(1..=64).map(source).collect::<String>()).sources.len(), 64);
    // Any free port, and so not the same one.
    plan("[server]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n");
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let text = "[server]\nworkers = \"two\"\ncolour = 1\n[clock]\nsteering = \"kernel\"\n\
                step_threshold_s = -1\n[[source]]\nprefer = true\nmin_poll = 1.5\n\
                [[source]]\naddress = \"a.b\"\nmin_poll = 11\nprefer = true\n\
                [[source]]\naddress = \"a.b\"\nmax_poll = 18\n";
    let places: Vec<String> =
        refusal(text).lines().map(|line| line.split("; ").next().unwrap().to_owned()).collect();
    assert_eq!(
        places,
        [
            "t.toml:2:11: `workers` is text, not a whole number",
            "t.toml:3:1: [server] has no setting `colour`",
            "t.toml:6:20: `step_threshold_s = -1` is out of range",
            "t.toml:7:1: a source without `address`",
            "t.toml:9:12: `min_poll` is a number with a fraction, not a whole number",
            "t.toml:12:12: `min_poll = 11` is above the default `max_poll = 10`",
            "t.toml:13:10: `prefer = true` again, after line 8",
            "t.toml:15:11: a.b:123 is a source already, on line 11",
            "t.toml:16:12: `max_poll = 18` is out of range",
        ]
    );
}

#[test]
fn what_is_not_toml_is_explained_without_its_vocabulary() {
    let value =
        "write text in \"quotes\", numbers with a decimal point and no unit, or true or false";
    let list = "write entries with commas between them, text in \"quotes\", and close with ]";
    let line = "write [section] or `key = value` on a line of its own";
    let cases = [
        ("[server]\nuser = ntp\n", format!("t.toml:2:8: `ntp` is no value; {value}")),
        ("[local]\nwait_s = 3 s # long\n", format!("t.toml:2:10: `3 s` is no value; {value}")),
        ("[local]\nwait_s = 2,5\n", format!("t.toml:2:10: `2,5` is no value; {value}")),
        (
            "[local]\nwait_s =\n",
            "t.toml:2:9: a value is missing; write one after the equals sign".into(),
        ),
        ("[server]\nlisten = [::]:123\n", format!("t.toml:2:11: a list goes wrong here; {list}")),
        (
            "[server]\nlisten = [\"::\"\nworkers = 1\n\n[log]\n",
            format!("t.toml:3:1: a list goes wrong here; {list}"),
        ),
        (
            "[server]\nuser = \"ntp\n",
            "t.toml:2:12: text goes wrong here; open and close it with the same kind of quote, on \
             one line; a \\ is written \\\\"
                .into(),
        ),
        ("[log\n", format!("t.toml:1:5: not TOML: unclosed table, expected `]`; {line}")),
        ("workers 2\n", format!("t.toml:1:9: not TOML: key with no value, expected `=`; {line}")),
        (
            "[log]\nlevel = \"info\"\nlevel = \"warn\"\n",
            "t.toml:3:1: `level` is there twice; keep one of them".into(),
        ),
        (
            "[source]\naddress = \"a\"\n[source]\naddress = \"b\"\n",
            "t.toml:3:2: `source` is there twice; write [[source]], in double brackets, for each \
             source\nt.toml:4:1: `address` is there twice; keep one of them"
                .into(),
        ),
        (
            "[server]\nuser = ntp\n[log]\nlevel = info\n",
            format!(
                "t.toml:2:8: `ntp` is no value; {value}\nt.toml:4:9: `info` is no value; {value}"
            ),
        ),
    ];
    for (text, message) in cases {
        assert_eq!(refusal(text), message, "\n{text}");
    }
}

/// A directory of its own for one test, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("timeball-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.join("t.toml");
        fs::write(&path, bytes).expect("the temporary directory is writable");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_that_hold_no_text_are_refused_by_their_kind() {
    let scratch = Scratch::new("kinds");
    let message = |path: &Path| Plan::load(path, &machine()).expect_err("refused").to_string();
    let missing = scratch.0.join("none.toml");
    assert_eq!(message(&missing), format!("{}: no such file; check the path", missing.display()));
    let directory = &scratch.0;
    let expected = format!("{}: is a directory; name a file in it", directory.display());
    assert_eq!(message(directory), expected);
    let path = scratch.file(b"[log]\nlevel = \"\xff\"\n");
    let expected = format!("{}:2:10: not UTF-8 text; save the file in UTF-8", path.display());
    assert_eq!(message(&path), expected);
    let path = scratch.file(&vec![b'\n'; (4 << 20) + 1]);
    let expected = "1:1: larger than 4 MiB; name a configuration file";
    assert_eq!(message(&path), format!("{}:{expected}", path.display()));
    let path = scratch.file(b"");
    assert_eq!(Plan::load(&path, &machine()).expect("empty"), Plan::without_file(&machine()));
}

#[test]
fn check_resolves_names_and_reports_all_that_have_no_address() {
    let scratch = Scratch::new("names");
    let v4 = IpAddr::from([192, 0, 2, 1]);
    let resolver = |name: &str| match name {
        "four.example" => Ok(vec![v4]),
        _ => Err(std::io::Error::other("unknown name")),
    };
    let path = scratch.file(
        b"[[source]]\naddress = \"four.example\"\nfamily = \"ipv6\"\n\
          [[source]]\naddress = \"five.example\"\n[[source]]\naddress = \"192.0.2.9\"\n",
    );
    let error = check::check(&path.as_path().into(), &machine(), resolver)
        .expect_err("two sources cannot be asked");
    let expected = format!(
        "{0}:2:11: \"four.example\" has no address that `family = \"ipv6\"` allows; name another \
         server, or leave `family` out\n{0}:5:11: \"five.example\" has no address: unknown name; \
         check the spelling, and that this machine can resolve names",
        path.display()
    );
    assert_eq!(error.to_string(), expected);
    let path = scratch.file(b"[[source]]\naddress = \"four.example\"\n");
    let report =
        check::check(&path.as_path().into(), &machine(), resolver).expect("it has an address");
    assert_eq!(report.addresses, [[v4]]);
}

#[test]
fn a_pool_is_several_sources_of_one_name() {
    let source = |name: &str, count: &str| {
        format!("[[source]]\naddress = \"{name}\"\nmax_sources = {count}\n")
    };
    let counts = |plan: &Plan| plan.asked().map(|(_, one)| one).collect::<Vec<_>>();
    let pools = source("a.example", "2") + &source("b.example", "3");
    assert_eq!(counts(&plan(&pools)), [1, 2, 1, 2, 3]);
    assert!(refusal(&source("192.0.2.1", "2")).contains("of one address; name a pool"));
    assert!(refusal(&source("a.example", "17")).contains("out of range"));
    let many: String = (0..5).map(|n| source(&format!("{n}.example"), "16")).collect();
    let refused = refusal(&many);
    assert!(refused.contains("t.toml:13:1: 80 sources with those of pools"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
}

#[test]
fn check_shows_the_plan() {
    let scratch = Scratch::new("shows");
    let path = scratch.file(
        b"[server]\nlisten = [\"127.0.0.1:1123\"]\nworkers = 1\n[local]\n\
          [[source]]\naddress = \"ntp1.example\"\nprefer = true\n",
    );
    let report =
        check::check(&path.as_path().into(), &machine(), |_| Ok(vec![[192, 0, 2, 1].into()]))
            .expect("right");
    let expected = "\
        listen on   127.0.0.1:1123\n  \
        answer with 1 worker on core 0, at ordinary priority\n  \
        spread      packets over workers by source address\n  \
        carry by    io_uring; or recvmmsg and sendmmsg where that is not allowed\n  \
        buffer      262144 bytes for each socket\n  \
        run as      stay the user that starts it\n  \
        confine     each thread to the system calls and files it needs, as far as the kernel can\n  \
        ask         ntp1.example:123 (192.0.2.1), every 64 to 1024 s, with a burst first, \
        preferred\n  \
        steer       the served time only, never the kernel clock\n              \
        stepping above 0.128 s, believing no offset above 1000 s\n  \
        admit       being unsynchronised above a root distance of 1.5 s\n  \
        serve       the local clock at stratum 10, when every source has failed, 10 s or more \
        after the start\n  \
        limit       each client to one request in 0.0625 s, 64 at once, and 1 in 4 of the rest; a \
        worker remembers 1048576\n  \
        log         info and above";
    let head = format!("{} is right; timeball would\n  ", path.display());
    assert_eq!(report.to_string(), format!("{head}{expected}"));
}

fn timeball(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_timeball")).args(arguments).output().expect("it runs")
}

#[test]
fn the_command_tells_right_wrong_and_unreadable_apart() {
    let scratch = Scratch::new("command");
    let name = |path: &Path| path.display().to_string();
    let right = name(&scratch.file(b"[log]\nlevel = \"warn\"\n"));
    let output = timeball(&["check", &right]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("log         warn and above"));
    let output = timeball(&["check", "--json", &right]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["ok"], true);
    assert_eq!(json["plan"]["log"]["level"], "warn");
    assert_eq!(json["plan"]["local"]["stratum"], 10);

    let wrong = name(&scratch.file(b"[log]\nlevel = 3\n"));
    let output = timeball(&["check", &wrong]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    let message = format!(
        "{wrong}:2:9: `level` is a whole number, not text; write it as in `level = \"info\"`\n"
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), message);
    let output = timeball(&["check", "--json", &wrong]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json["ok"], false);
    assert_eq!(json["problems"][0]["line"], 2);

    for unreadable in [&["check", "/nonexistent/t.toml"][..], &["check", "/"], &["check"]] {
        assert_eq!(timeball(unreadable).status.code(), Some(2), "{unreadable:?}");
    }
    let output = timeball(&["check", "--example"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), example());
}

#[test]
fn access_rules_are_about_networks_names_and_words() {
    let rule = |text: &str| {
        let plan = plan(&format!("[[access]]\n{text}\n"));
        let [rule] = &plan.access[..] else { panic!("one rule") };
        (rule.whom.to_string(), rule.words().map(|words| words.join(" ")))
    };
    for (text, whom, allow, require) in [
        ("network = \"default\"", "default", "time", ""),
        ("network = \"source\"\nallow = []", "source", "", ""),
        ("network = \"2001:db8::/32\"\nallow = [\"query\"]", "2001:db8::/32", "query", ""),
        ("network = \"192.0.2.7\"\nrequire = [\"version-4\"]", "192.0.2.7/32", "time", "version-4"),
        ("network = \"Host.example.net.\"", "host.example.net", "time", ""),
    ] {
        assert_eq!(rule(text), (whom.into(), [allow.into(), require.into()]), "{text}");
    }
}

#[test]
fn access_rules_that_cannot_be_meant_are_refused() {
    let form = "write \"192.0.2.0/24\", \"2001:db8::/32\", a host name, \"default\" or \"source\"";
    let at = |cause: &str| format!("t.toml:2:11: {cause}; {form}");
    for (network, cause) in [
        ("192.0.2.1/24", "\"192.0.2.1/24\" has bits after its prefix"),
        ("192.0.2.0/33", "\"192.0.2.0/33\" does not end in a prefix length"),
        ("192.0.2.0/255.255.255.0", "\"192.0.2.0/255.255.255.0\" does not end in a prefix length"),
        ("host/24", "\"host/24\" does not begin with an IP address"),
        ("192.0.2.300", "\"192.0.2.300\" is no network, address or host name"),
    ] {
        assert_eq!(refusal(&format!("[[access]]\nnetwork = \"{network}\"\n")), at(cause));
    }
    assert_refusals(&[
        (
            "[[access]]\n",
            "t.toml:1:1: an access rule without `network`; add `network = \"…\"` to this [[access]]",
        ),
        (
            "[[access]]\nnetwork = \"::1\"\n[[access]]\nnetwork = \"::1/128\"\n",
            "t.toml:4:11: a rule for the same network is on line 2 already; keep one of them",
        ),
        (
            "[[access]]\nnetwork = \"::1\"\nallow = [\"thyme\"]\n",
            "t.toml:3:10: \"thyme\" is not a choice; write \"time\" or \"query\" or \"unlimited\"",
        ),
        (
            "[[access]]\nnetwork = \"::1\"\nallow = []\nrequire = [\"key\"]\n",
            "t.toml:4:11: `require` of who may not have the time; add \"time\" to `allow`, or leave \
             `require` out",
        ),
    ]);
}

#[test]
fn ten_thousand_access_rules_are_read_at_once() {
    let rules: String = (0..10_000)
        .map(|n| format!("[[access]]\nnetwork = \"10.{}.{}.0/24\"\nallow = []\n", n / 256, n % 256))
        .collect();
    let begun = std::time::Instant::now();
    assert_eq!(plan(&rules).access.len(), 10_000);
    assert!(begun.elapsed().as_secs() < 20, "took {:?}", begun.elapsed());
}
