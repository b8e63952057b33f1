//! ntp.conf and chrony.conf as they are found: every line is accounted for, and what comes out is a
//! configuration.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::Scratch;
use timeball::config::{FileScheme, Machine, Plan, StatisticsKind};
use timeball::import::{Dialect, Finding, Imported, Verdict};

fn machine() -> Machine {
    Machine::with_cores(vec![0, 1])
}

fn import(name: &str, text: &str) -> Imported {
    let file = Scratch::file(name, text);
    Imported::read(&file.path, None).unwrap()
}

fn ntp(text: &str) -> Imported {
    let file = Scratch::file("ntp.conf", text);
    Imported::read(&file.path, Some(Dialect::Ntp)).unwrap()
}

fn chrony(text: &str) -> Imported {
    let file = Scratch::file("chrony.conf", text);
    Imported::read(&file.path, Some(Dialect::Chrony)).unwrap()
}

fn plan(imported: &Imported) -> Plan {
    imported.plan(&machine()).unwrap_or_else(|error| panic!("{error}\n{}", imported.commented()))
}

/// The one line's finding.
fn only(imported: &Imported) -> &Finding {
    assert_eq!(imported.findings.len(), 1, "{}", imported.commented());
    &imported.findings[0]
}

/// What the access rules of a plan come to, `WHOM: allowed, required` for each.
fn access(imported: &Imported) -> Vec<String> {
    let shown = |rule: &timeball::config::Access| {
        let [allow, require] = rule.words().map(|words| words.join("+"));
        let port = if rule.from_ntp_port { " from port 123" } else { "" };
        format!("{}{port}: {allow},{require}", rule.whom)
    };
    plan(imported).access.iter().map(shown).collect()
}

#[test]
fn the_classic_file_comes_out_as_meant() {
    let imported = ntp(include_str!("conf/classic.conf"));
    let plan = plan(&imported);
    assert_eq!(plan.clock.drift_file.as_deref(), Some(Path::new("/var/lib/ntp/drift")));
    let local = plan.local.as_ref().expect("server 127.127.1.0");
    assert_eq!(local.stratum.get(), 11, "one further away than the clock itself");
    let sources: Vec<_> = plan.sources.iter().map(|s| (s.endpoint.to_string(), s.iburst)).collect();
    let expected = ["192.0.2.8:123", "192.0.2.9:123"].map(|source| (source.to_owned(), true));
    assert_eq!(sources, expected, "time within seconds, whether the line says iburst or not");
    assert_eq!(
        access(&imported),
        [
            "0.0.0.0/0: time,",
            "::/0: time,",
            "127.0.0.1/32: time+query,",
            "::1/128: time+query,",
            "172.16.1.0/24: time+query,",
            "localhost: time,",
        ]
    );
    assert_eq!(imported.findings.len(), 13, "every line but comments: {}", imported.commented());
}

/// Every file of the corpus: what each line comes to is checked against the lines themselves.
#[test]
fn every_line_of_the_corpus_is_accounted_for() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conf-corpus");
    if !corpus.is_dir() {
        eprintln!("skipped: {} is not here", corpus.display());
        return;
    }
    // Lines that the daemon they were written for refuses or takes for something else, too.
    let truly_wrong =
        [("ntp/057.conf", 14), ("ntp/089.conf", 56), ("ntp/117.conf", 17), ("chrony/053.conf", 42)];
    let (mut files, mut lines) = (0, 0);
    for directory in ["ntp", "chrony", "fragments"] {
        for path in sorted(&corpus.join(directory)) {
            let name = format!("{directory}/{}", path.file_name().unwrap().to_string_lossy());
            let imported = Imported::read(&path, None).unwrap();
            lines += assert_accounted(&path, &imported);
            files += 1;
            let wrong: Vec<_> = imported.of(Verdict::Wrong).collect();
            for finding in &wrong {
                let known = truly_wrong.contains(&(name.as_str(), finding.place.line));
                assert!(known, "{finding}");
            }
            // A server that is also the address listened on.
            let own = name == "chrony/041.conf";
            assert_eq!(imported.plan(&machine()).is_ok(), wrong.is_empty() && !own, "{name}");
            let printed = Plan::parse(Path::new("t.toml"), &imported.commented(), &machine());
            assert_eq!(printed.is_ok(), !own, "what is printed is a configuration: {name}");
        }
    }
    for path in sorted(&corpus.join("negative")) {
        let imported = Imported::read(&path, None).unwrap();
        assert_accounted(&path, &imported);
        // DragonFly's file happens to be an ntp.conf as well.
        let also_ntp = path.ends_with("007.conf");
        assert_eq!(imported.of(Verdict::Wrong).count() == 0, also_ntp, "{}", path.display());
    }
    eprintln!("{files} files, {lines} lines");
    assert!(files >= 100 && lines > 1_000, "the corpus is there: {files} files, {lines} lines");
}

fn sorted(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// Asserts that there is a finding for each line that is neither blank nor a comment, and a reason wherever
/// the line is not honoured. Returns how many.
fn assert_accounted(path: &Path, imported: &Imported) -> usize {
    let bytes = fs::read(path).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let says_something = |line: &str| {
        let comment = match imported.dialect {
            Dialect::Ntp => ["#"].as_slice(),
            Dialect::Chrony => &["#", "!", ";", "%"],
        };
        let line = line.trim();
        !line.is_empty() && !comment.iter().any(|mark| line.starts_with(mark))
    };
    let numbered = text.lines().enumerate().filter(|(_, line)| says_something(line));
    let expected: BTreeSet<_> = numbered.map(|(index, _)| index + 1).collect();
    let of_file = imported.findings.iter().filter(|finding| **finding.place.file == *path);
    let found: BTreeSet<_> = of_file.map(|finding| finding.place.line).collect();
    assert_eq!(found, expected, "{}", path.display());
    for finding in &imported.findings {
        let explained = finding.verdict == Verdict::Honoured || !finding.notes.is_empty();
        assert!(explained && finding.notes.iter().all(|note| !note.is_empty()), "{finding}");
    }
    expected.len()
}

#[test]
fn the_command_prints_a_configuration_and_says_what_is_wrong_with_the_file() {
    let run = |text: &str, options: &[&str]| {
        let file = Scratch::file("ntp.conf", text);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_timeball"));
        let output = command.arg("import").args(options).arg(&file.path).output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), said(&output.stdout), said(&output.stderr))
    };
    let (code, printed, complaints) = run("server 192.0.2.1 iburst\ncrypto\n", &[]);
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0], "# Imported from a configuration of ntpd: 1 honoured, 1 refused.");
    assert!(lines[1].ends_with("ntp.conf:1: honoured: server 192.0.2.1 iburst"), "{printed}");
    assert!(lines[2].contains("refused: crypto: Autokey") && lines[2].contains("NTS"), "{printed}");
    assert!(Plan::parse(Path::new("t.toml"), &printed, &machine()).is_ok());
    let (code, _, complaints) = run("server 192.0.2.1\nservr 192.0.2.2\nrestrict\n", &[]);
    assert_eq!((code, complaints.lines().count()), (Some(1), 2), "{complaints}");
    let (_, json, _) = run("server 192.0.2.1 xleave\n", &["--json", "--from", "chrony"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["from"], &json["findings"][0]["verdict"]),
        (&"chronyd".into(), &"changed".into())
    );
    let mut missing = std::process::Command::new(env!("CARGO_BIN_EXE_timeball"));
    let missing = missing.args(["import", "/nowhere/ntp.conf"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

/// The directives of ntp.org's manual and of NTPsec's, with words that make a line of each.
const NTP: &[&str] = &[
    "automax 12",
    "broadcast 192.0.2.255",
    "broadcastclient",
    "broadcastdelay 0.004",
    "calldelay 5",
    "controlkey 8",
    "crypto pw secret",
    "device /dev/null",
    "disable monitor",
    "discard average 3",
    "driftfile /d",
    "dscp 46",
    "enable monitor",
    "filegen loopstats file loopstats type day enable",
    "fudge 127.127.1.0 stratum 10",
    "ident group",
    "includefile /nowhere",
    "interface listen 127.0.0.1",
    "keys /k",
    "keysdir /k",
    "leapfile /l",
    "leapsmearinterval 3600",
    "logconfig =all",
    "logfile /l",
    "manycastclient 239.255.254.254",
    "manycastserver 239.255.254.254",
    "mdnstries 3",
    "mru maxdepth 9",
    "multicastclient 224.0.1.1",
    "nic listen 127.0.0.1",
    "nonvolatile 1e-7",
    "ntpsigndsocket /s",
    "nts enable",
    "peer 192.0.2.1",
    "phone 123",
    "pidfile /p",
    "pollskewlist default 3|4",
    "pool ntp.example.net",
    "port 11123",
    "qos ef",
    "refclock local unit 0",
    "requestkey 8",
    "reset allpeers",
    "restrict default",
    "revoke 12",
    "rlimit memlock 32",
    "saveconfigdir /s",
    "server 192.0.2.2",
    "setvar a = 1",
    "simulate x",
    "statistics loopstats",
    "statsdir /s/",
    "tick 10000",
    "tinker panic 0",
    "tos minsane 1",
    "trap 192.0.2.3",
    "trustedkey 1",
    "ttl 4 8",
    "unpeer 192.0.2.2",
    "unrestrict default",
];

/// The directives of chrony's manual, with words that make a line of each.
const CHRONY: &[&str] = &[
    "acquisitionport 0",
    "allow all",
    "authselectmode require",
    "bindacqaddress 127.0.0.1",
    "bindacqdevice eth0",
    "bindaddress 127.0.0.1",
    "bindcmdaddress ::1",
    "bindcmddevice eth0",
    "binddevice eth0",
    "broadcast 60 192.0.2.255",
    "clientloglimit 1",
    "clockprecision 1e-6",
    "cmdallow",
    "cmddeny",
    "cmdport 0",
    "cmdratelimit interval 3",
    "combinelimit 3",
    "confdir /nowhere",
    "corrtimeratio 3",
    "deny 192.0.2.0/24",
    "driftfile /d",
    "dscp 46",
    "dumpdir /d",
    "dumponexit",
    "fallbackdrift 16 19",
    "hwclockfile /h",
    "hwtimestamp *",
    "hwtstimeout 0.001",
    "include /nowhere",
    "initstepslew 30 a",
    "keyfile /k",
    "leapseclist /l",
    "leapsecmode slew",
    "leapsectz right/UTC",
    "local stratum 10",
    "lock_all",
    "log tracking",
    "logbanner 32",
    "logchange 0.5",
    "logdir /l",
    "mailonchange root 0.5",
    "makestep 1.0 3",
    "manual",
    "maxchange 1000 1 2",
    "maxclockerror 1",
    "maxdistance 3",
    "maxdrift 500",
    "maxjitter 1",
    "maxntsconnections 100",
    "maxsamples 0",
    "maxslewrate 1000",
    "maxupdateskew 100",
    "minsamples 6",
    "minsources 2",
    "nocerttimecheck 1",
    "noclientlog",
    "nosystemcert",
    "ntpsigndsocket /s",
    "ntsaeads 15",
    "ntscachedir /n",
    "ntsdumpdir /n",
    "ntsntpserver a",
    "ntsport 4460",
    "ntsprocesses 1",
    "ntsratelimit interval 3",
    "ntsrefresh 1",
    "ntsrotate 1",
    "ntsservercert /c",
    "ntsserverkey /k",
    "ntstrustedcerts /c",
    "opencommands a",
    "peer 192.0.2.1",
    "pidfile /p",
    "pool ntp.example.net",
    "port 11123",
    "ptpdomain 1",
    "ptpport 319",
    "ratelimit",
    "refclock SHM 0",
    "refresh 9",
    "reselectdist 1e-4",
    "rtcautotrim 30",
    "rtcdevice /r",
    "rtcfile /r",
    "rtconutc",
    "rtcsync",
    "sched_priority 1",
    "server 192.0.2.2",
    "smoothtime 400 0.01",
    "sourcedir /nowhere",
    "stratumweight 0",
    "tempcomp /t 30 1 1 1 1",
    "user _chrony",
    "commandkey 1",
    "generatecommandkey",
    "linux_hz 100",
    "linux_freq_scale 1",
];

#[test]
fn every_directive_of_both_manuals_is_mapped_or_refused_by_name() {
    for (dialect, lines) in [(Dialect::Ntp, NTP), (Dialect::Chrony, CHRONY)] {
        let file = Scratch::file("t.conf", &lines.join("\n"));
        let imported = Imported::read(&file.path, Some(dialect)).unwrap();
        assert_eq!(imported.findings.len(), lines.len());
        for finding in &imported.findings {
            assert!(finding.verdict != Verdict::Wrong, "{finding}");
            let unlike = finding.verdict >= Verdict::Changed;
            assert!(!unlike || finding.notes.iter().any(|note| note.len() > 10), "{finding}");
        }
        // And the table has no row that nobody knows of.
        let table = dialect.table();
        for row in table.lines().skip(2) {
            let name = row.split('`').nth(1).unwrap();
            let old = ["authenticate", "autokey", "delrestrict", "end", "extra", "mem", "monitor"];
            let old =
                old.contains(&name) || ["precision", "unconfig", "maxtxbuffers"].contains(&name);
            let walked = lines.iter().any(|line| line.split(' ').next() == Some(name));
            assert!(walked || old, "{name}");
        }
    }
}

#[test]
fn the_tables_in_the_documentation_are_the_programs_own() {
    let page = include_str!("../../docs/src/migrating.md");
    for (dialect, name) in [(Dialect::Ntp, "ntp"), (Dialect::Chrony, "chrony")] {
        let remedy = format!("put the output of `timeball import --directives {name}` there");
        assert!(page.contains(&dialect.table()), "{remedy}");
    }
}

#[test]
fn restrict_lines_mean_what_they_mean_to_ntpd() {
    for (line, expected) in [
        ("restrict 10.0.0.0 mask 255.0.0.0", "10.0.0.0/8: time+query,"),
        ("restrict 10.1.2.3 mask 255.255.0.0 noquery", "10.1.0.0/16: time,"),
        ("restrict 192.0.2.7 noserve", "192.0.2.7/32: query,"),
        ("restrict 192.0.2.7 ignore", "192.0.2.7/32: ,"),
        ("restrict 192.0.2.7 noquery notrust", "192.0.2.7/32: time,key"),
        ("restrict 192.0.2.7 noquery version", "192.0.2.7/32: time,version-4"),
        ("restrict 192.0.2.7 ntpport", "192.0.2.7/32 from port 123: time+query,"),
        ("restrict 2001:db8:: mask ffff:ffff:fff0:: noquery", "2001:db8::/44: time,"),
        ("restrict -6 [2001:db8::1] noquery", "2001:db8::1/128: time,"),
        ("restrict host.example.net noquery", "host.example.net: time,"),
        ("restrict host.example.net mask 255.255.255.255", "host.example.net: time+query,"),
        ("restrict source nomodify notrap", "source: time+query,"),
        ("restrict 0.0.0.0 mask 0.0.0.0 noquery", "0.0.0.0/0: time,"),
        ("restrict -4 default noquery nopeer noepeer ippeerlimit 3", "0.0.0.0/0: time,"),
    ] {
        assert_eq!(access(&ntp(line)), [expected], "{line}");
    }
}

#[test]
fn lines_about_one_address_are_merged_wherever_they_stand() {
    let imported =
        ntp("restrict -6 default noquery\nrestrict default noserve\nrestrict 127.0.0.1\n");
    let expected =
        ["::/0: ,", "0.0.0.0/0: ,", "127.0.0.1/32: time+query,", "127.0.0.0/8: ,", "::1/128: ,"];
    assert_eq!(access(&imported), expected, "this machine is no exception unless a line says so");
    assert_eq!(
        access(&ntp("restrict 192.0.2.1 ignore\nunrestrict 192.0.2.1")),
        Vec::<String>::new()
    );
}

#[test]
fn what_would_make_a_weapon_of_the_server_is_not_taken_over() {
    let open = ntp("restrict default nomodify\n");
    assert_eq!(access(&open), ["0.0.0.0/0: time,", "::/0: time,"], "queries by everybody");
    assert_eq!(only(&open).verdict, Verdict::Changed);
    for line in ["trap 192.0.2.1", "enable mode7", "server 192.0.2.1 autokey", "crypto"] {
        let refused = ntp(line);
        assert_eq!(only(&refused).verdict, Verdict::Refused, "{line}");
        assert!(plan(&refused).sources.is_empty(), "{line}");
    }
}

#[test]
fn limits_are_taken_over() {
    let limited =
        ntp("restrict default kod limited noquery\nrestrict 192.0.2.0 mask 255.255.255.0\n\
                       discard average 2 minimum 1\n");
    let text = &limited.toml;
    assert!(text.contains("[limits]\ninterval_s = 4.0\nburst = 8\n"), "{text}");
    assert_eq!(text.matches("kiss = true").count(), 2, "both families: {text}");
    assert!(text.contains("allow = [\"time\", \"query\", \"unlimited\"]"), "{text}");
    let settings = plan(&limited).limits;
    assert_eq!((settings.interval.as_secs_f64(), settings.burst.get()), (4.0, 8));
    let free = ntp("restrict default noquery\n");
    assert!(!free.toml.contains("unlimited") && !free.toml.contains("[limits]"), "{}", free.toml);
    let limits = plan(&chrony("allow\nratelimit interval -4 leak 1 burst 16\n")).limits;
    assert_eq!(
        (limits.interval.as_secs_f64(), limits.burst.get(), limits.leak.get()),
        (0.0625, 16, 2)
    );
}

#[test]
fn allow_and_deny_mean_what_they_mean_to_chronyd() {
    let nobody = ["0.0.0.0/0: ,", "::/0: ,", "127.0.0.0/8: ,", "::1/128: ,"];
    let with = |first: &[&str]| {
        first.iter().chain(&nobody).map(|rule| (*rule).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(access(&chrony("server 192.0.2.1\n")), with(&[]));
    assert_eq!(access(&chrony("allow 10.1/16\n")), with(&["10.1.0.0/16: time,"]));
    assert_eq!(
        access(&chrony("allow 192.0.2.0/24\ndeny 192.0.2.64/26\nallow host.example.net\n")),
        with(&["192.0.2.0/24: time,", "192.0.2.64/26: ,", "host.example.net: time,"]),
    );
    assert_eq!(access(&chrony("deny 10.1/16\nallow\n"))[1..], ["0.0.0.0/0: time,", "::/0: time,"]);
    let all = "deny 10.1/16\nallow 192.0.2.0/24\nallow all 10/8\n";
    assert_eq!(access(&chrony(all)), with(&["192.0.2.0/24: time,", "10.0.0.0/8: time,"]));
    assert_eq!(access(&chrony("allow all\n")), ["0.0.0.0/0: time,", "::/0: time,"]);
}

#[test]
fn server_lines_become_sources_with_their_options() {
    let imported = ntp("server -4 Ntp1.Example.Net iburst minpoll 4 maxpoll 7 prefer\n\
         pool ntp2.example.net iburst\npeer 2001:db8::1 version 3\nserver 192.0.2.9 minpoll -3\n");
    let shown: Vec<_> = plan(&imported)
        .sources
        .iter()
        .map(|s| (s.endpoint.to_string(), s.poll.min(), s.poll.max(), s.prefer))
        .collect();
    assert_eq!(
        shown,
        [
            ("ntp1.example.net:123".into(), 4, 7, true),
            ("ntp2.example.net:123".into(), 6, 10, false),
            ("[2001:db8::1]:123".into(), 6, 10, false),
            ("192.0.2.9:123".into(), 0, 10, false),
        ]
    );
    let verdicts: Vec<_> = imported.findings.iter().map(|finding| finding.verdict).collect();
    use Verdict::{Changed, Honoured};
    assert_eq!(verdicts, [Honoured, Honoured, Changed, Changed]);
    assert_eq!(counts(&imported), [1, 4, 1, 1]);
    let pools = "pool a.example.net iburst\npool b.example.net maxsources 2\n\
                 server c.example.net maxsources 3\npool 192.0.2.7\n";
    assert_eq!(counts(&self::chrony(pools)), [4, 2, 1, 1]);
    assert_eq!(self::chrony("pool a.example.net maxsources 17").of(Verdict::Wrong).count(), 1);
    let chrony = chrony("server 192.0.2.1 port 1123 iburst\nSERVER 192.0.2.2 minpoll 12\n");
    let sources = plan(&chrony).sources;
    assert_eq!(sources[0].endpoint.to_string(), "192.0.2.1:1123");
    assert_eq!((sources[1].poll.min(), sources[1].poll.max()), (12, 12));
}

/// How many addresses of each source are asked at a time.
fn counts(imported: &Imported) -> Vec<u8> {
    plan(imported).sources.iter().map(|source| source.max_sources).collect()
}

#[test]
fn a_server_that_demands_protection_is_never_asked_without() {
    for line in ["server 192.0.2.1 nts", "server 192.0.2.1 autokey iburst"] {
        assert!(plan(&ntp(line)).sources.is_empty(), "{line}");
    }
    assert!(plan(&chrony("server ntp.example.net iburst nts")).sources.is_empty());
}

#[test]
fn the_local_clock_has_the_stratum_that_ntpd_would_announce() {
    for (text, stratum) in [
        ("server 127.127.1.0\nfudge 127.127.1.0 stratum 10\n", 11),
        ("fudge 127.127.1.1 stratum 8 refid LCL\nserver 127.127.1.1 minpoll 4\n", 9),
        ("server 127.127.1.0\n", 6),
        ("refclock local unit 0 stratum 12\n", 13),
        ("tos orphan 7\n", 7),
        // Of both, the nearer counts, as in ntpd.
        ("tos orphan 7\nserver 127.127.1.0\n", 6),
        ("server 127.127.1.0\nfudge 127.127.1.0 stratum 12\ntos orphan 7\n", 7),
    ] {
        let with_source = format!("server 192.0.2.1\n{text}");
        let local = plan(&ntp(&with_source)).local.expect(text);
        assert_eq!(local.stratum.get(), stratum, "{text}");
    }
    assert_eq!(plan(&ntp("server 192.0.2.1\nfudge 127.127.1.0 stratum 3\n")).local, None);
    let local = plan(&chrony("server 192.0.2.1\nlocal stratum 8 orphan\n")).local.unwrap();
    assert_eq!(local.stratum.get(), 8);
}

#[test]
fn thresholds_are_taken_over() {
    let plan = plan(&ntp("tinker panic 0 step 0.5\ntos maxdist 3 minsane 2\n"));
    assert_eq!(plan.clock.panic_threshold, None);
    assert_eq!(plan.clock.step_threshold.as_secs_f64(), 0.5);
    assert_eq!(plan.clock.max_root_distance.as_secs_f64(), 3.0);
    let plan = self::plan(&chrony("makestep 0.1 3\nmaxdistance 1e1\nmaxchange 100 1 -1\n"));
    assert_eq!(plan.clock.step_threshold.as_secs_f64(), 0.1);
    assert_eq!(plan.clock.step_limit, Some(3));
    assert_eq!(plan.clock.max_root_distance.as_secs_f64(), 10.0);
    assert_eq!(plan.clock.panic_threshold.map(|limit| limit.as_secs_f64()), Some(100.0));
}

#[test]
fn listen_addresses_and_ports_are_taken_over() {
    let listen = |imported: &Imported| {
        let addresses = plan(imported).server.listen.addresses();
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let two = "interface ignore wildcard\ninterface listen 127.0.0.1\nnic listen ::1\n";
    assert_eq!(listen(&ntp(two)), ["127.0.0.1:123", "[::1]:123"]);
    assert_eq!(listen(&ntp("port 1123\n")), ["0.0.0.0:1123", "[::]:1123"]);
    let bound = "bindaddress 192.0.2.1\nport 1123\n";
    assert_eq!(listen(&chrony(bound)), ["192.0.2.1:1123", "[::]:1123"]);
}

#[test]
fn odd_forms_are_read_as_their_daemon_reads_them() {
    let crlf =
        ntp("server 192.0.2.1\tiburst # inline\r\n\r\ndriftfile \"/var/lib/my drift\"\r\n# end");
    assert_eq!(crlf.findings.len(), 2);
    let plan = plan(&crlf);
    assert_eq!(plan.clock.drift_file.as_deref(), Some(Path::new("/var/lib/my drift")));
    assert!(plan.sources[0].iburst);
    let latin = Scratch::file("ntp.conf", "");
    fs::write(&latin.path, b"# na\xefve\nserver 192.0.2.1\n").unwrap();
    assert_eq!(Imported::read(&latin.path, None).unwrap().findings.len(), 1);
    for (text, dialect) in [
        ("server a.example.net iburst\nrestrict source\n", Dialect::Ntp),
        ("server a.example.net iburst\nrtcsync\n", Dialect::Chrony),
        ("pool a.example.net iburst maxsources 3\n", Dialect::Chrony),
        ("server a.example.net\n", Dialect::Ntp),
    ] {
        assert_eq!(import("t.conf", text).dialect, dialect, "{text}");
    }
    assert_eq!(import("chrony.conf", "server a.example.net\n").dialect, Dialect::Chrony);
}

#[test]
fn what_is_wrong_is_said_all_at_once_with_its_line_and_a_remedy() {
    let file = Scratch::file(
        "ntp.conf",
        "You do need to talk to a server.\nservr 192.0.2.1\nrestrict 10.0.0.0 mask 255.0.255.0\n\
         restrict 192.0.2.1 nomodfy\nserver\nserver 192.0.2.300\nserver 192.0.2.1 minpoll six\n\
         keys \"/etc/ntp/keys\nminpoll 4\ndriftfile /d too much\n",
    );
    let imported = Imported::read(&file.path, Some(Dialect::Ntp)).unwrap();
    let said = imported.plan(&machine()).unwrap_err().to_string();
    let path = file.path.display().to_string();
    for (line, words) in [
        (1, "no directive `You`; put a # before it"),
        (2, "no directive `servr`; did you mean `server`?"),
        (3, "255.0.255.0 is no mask: its bits have a gap"),
        (4, "`nomodfy` is no word of a `restrict` line; did you mean `nomodify`?"),
        (5, "`server` needs a host name or address after it"),
        (6, "\"192.0.2.300\" is neither a host name nor an address"),
        (7, "`minpoll six`: \"six\" is not the number needed"),
        (8, "opens a quote that is not closed"),
        (9, "no directive `minpoll`"),
        (10, "`too much` is too much; remove it"),
    ] {
        let here = format!("{path}:{line}: ");
        let found = said.lines().find(|said| said.starts_with(&here)).unwrap_or("nothing");
        assert!(found.contains(words), "{line}: {found}");
    }
    assert_eq!(said.lines().count(), 10, "{said}");
}

#[test]
fn what_only_the_whole_file_contradicts_is_traced_to_its_line() {
    let file = Scratch::file("ntp.conf", "interface listen 192.0.2.1\nserver 192.0.2.1 iburst\n");
    let imported = Imported::read(&file.path, Some(Dialect::Ntp)).unwrap();
    let said = imported.plan(&machine()).unwrap_err().to_string();
    assert!(said.starts_with(&format!("{}:2: ", file.path.display())), "{said}");
    assert!(said.contains("is this server itself"), "{said}");
}

#[test]
fn included_files_are_read_in_their_place() {
    let inner = Scratch::file("inner.conf", "server 192.0.2.2\nnonsense\n");
    let directory = inner.path.parent().unwrap();
    fs::write(
        directory.join("outer.conf"),
        "server 192.0.2.1\nincludefile inner.conf\nserver 192.0.2.3\n",
    )
    .unwrap();
    let imported = Imported::read(&directory.join("outer.conf"), Some(Dialect::Ntp)).unwrap();
    let order: Vec<_> = imported.findings.iter().map(|finding| finding.text.as_str()).collect();
    let expected = [
        "server 192.0.2.1",
        "includefile inner.conf",
        "server 192.0.2.2",
        "nonsense",
        "server 192.0.2.3",
    ];
    assert_eq!(order, expected, "relative to the including file where there is none from here");
    let wrong = imported.of(Verdict::Wrong).next().unwrap();
    assert!(wrong.complaint().contains("inner.conf:2: "), "{wrong}");
    fs::create_dir(directory.join("d")).unwrap();
    for (name, text) in
        [("b.conf", "server 192.0.2.8"), ("a.conf", "server 192.0.2.9"), ("c.txt", "no")]
    {
        fs::write(directory.join("d").join(name), text).unwrap();
    }
    for line in [
        format!("include {}/d/*.conf", directory.display()),
        format!("confdir {}/d /nowhere", directory.display()),
    ] {
        let hosts: Vec<_> =
            plan(&chrony(&line)).sources.iter().map(|s| s.endpoint.to_string()).collect();
        assert_eq!(hosts, ["192.0.2.9:123", "192.0.2.8:123"], "{line}");
    }
    let sources = plan(&ntp(&format!("includefile {}/d", directory.display()))).sources;
    assert_eq!(sources.len(), 2, "a directory");
    assert_eq!(only(&ntp("includefile /nowhere/pw")).verdict, Verdict::Changed);
}

#[test]
fn includes_that_go_in_a_circle_or_too_deep_are_named() {
    let a = Scratch::file("a.conf", "");
    let directory = a.path.parent().unwrap();
    let path = |name: &str| directory.join(name).display().to_string();
    fs::write(&a.path, format!("includefile {}\n", path("b.conf"))).unwrap();
    fs::write(
        directory.join("b.conf"),
        format!("server 192.0.2.1\nincludefile {}\n", path("a.conf")),
    )
    .unwrap();
    let said = Imported::read(&a.path, Some(Dialect::Ntp))
        .unwrap()
        .plan(&machine())
        .unwrap_err()
        .to_string();
    let circle = format!("{} → {} → {}", path("a.conf"), path("b.conf"), path("a.conf"));
    assert!(
        said.starts_with(&format!("{}:2: ", path("b.conf"))) && said.contains(&circle),
        "{said}"
    );
    for n in 0..8 {
        let next = path(&format!("{}.conf", n + 1));
        fs::write(directory.join(format!("{n}.conf")), format!("includefile {next}\n")).unwrap();
    }
    let deep = Imported::read(&directory.join("0.conf"), Some(Dialect::Ntp)).unwrap();
    let wrong: Vec<_> = deep.of(Verdict::Wrong).map(Finding::complaint).collect();
    assert!(wrong.len() == 1 && wrong[0].starts_with(&path("5.conf")), "{wrong:?}");
}

#[test]
fn keys_are_taken_over_and_no_server_is_asked_without_its_own() {
    let text = "keys /etc/ntp.keys\ntrustedkey 4 (10 ... 19)\nserver 192.0.2.1 key 12\n\
                server 192.0.2.2 key 5\nserver 192.0.2.3\n";
    let imported = ntp(text);
    let keyed = plan(&imported);
    let keys = keyed.keys.expect("[keys]");
    assert_eq!(
        (keys.file.as_path(), keys.trusted),
        (Path::new("/etc/ntp.keys"), Some(vec![4..=4, 10..=19]))
    );
    let uses: Vec<_> = keyed
        .sources
        .iter()
        .map(|source| (source.endpoint.to_string(), source.key.map(|used| used.id.0)))
        .collect();
    assert_eq!(uses, [("192.0.2.1:123".into(), Some(12)), ("192.0.2.3:123".into(), None)]);
    assert_eq!(imported.findings[3].verdict, Verdict::Refused, "key 5 is not trusted");
    assert_eq!(plan(&ntp("keys /etc/ntp.keys\nserver 192.0.2.1\n")).keys, None, "none is trusted");
    assert!(plan(&ntp("server 192.0.2.1 key 4\n")).sources.is_empty(), "no file");
    let chronyd = plan(&chrony("keyfile /etc/chrony.keys\nserver 192.0.2.1 key 7\n"));
    assert_eq!(chronyd.keys.expect("[keys]").trusted, None, "chronyd trusts them all");
    assert_eq!(chronyd.sources[0].key.map(|used| used.id.0), Some(7));
    for wrong in
        ["trustedkey", "trustedkey (4 .. 9)", "trustedkey 0", "trustedkey four", "keys keys/"]
    {
        assert_eq!(only(&ntp(wrong)).verdict, Verdict::Wrong, "{wrong}");
    }
}

#[test]
fn leap_second_lists_and_modes_are_taken_over() {
    let list = Path::new("/usr/share/zoneinfo/leap-seconds.list");
    let leapfile = format!("leapfile {} ignorehash\n", list.display());
    assert_eq!(plan(&ntp(&leapfile)).clock.leap_file.as_deref(), Some(list));
    let chronyd = format!("leapseclist {}\nleapsecmode slew\n", list.display());
    let plan = plan(&chrony(&chronyd));
    assert_eq!(plan.clock.leap_file.as_deref(), Some(list));
    assert_eq!(plan.clock.leap_second, timeball::config::LeapMode::Slew);
}

#[test]
fn statistics_are_taken_over_if_a_kind_and_a_directory_are_named() {
    let debian = "statsdir /var/log/ntpstats/\nstatistics loopstats peerstats clockstats\n\
                  filegen loopstats file loopstats type week enable\n\
                  filegen peerstats file peerstats type week enable\n\
                  filegen rawstats file rawstats type week link enable\n";
    let statistics = plan(&ntp(debian)).statistics.expect("asked for");
    assert_eq!(statistics.directory, Path::new("/var/log/ntpstats"));
    use StatisticsKind::{Clock, Loop, Peer, Raw};
    assert_eq!(statistics.kinds, [Loop, Peer, Clock, Raw]);
    assert_eq!((statistics.files, statistics.link), (FileScheme::Week, true));
    for none in [
        "statsdir /var/log/ntpstats/\n",
        "filegen loopstats file loopstats type day\n",
        "statistics loopstats\n",
        "statsdir /s/\nfilegen loopstats type day enable\nfilegen loopstats disable\n",
        "statsdir /s/\nstatistics cryptostats\n",
    ] {
        assert_eq!(plan(&ntp(none)).statistics, None, "{none}");
    }
    let classic = ntp("statsdir /s/\nstatistics clockstats cryptostats loopstats peerstats\n");
    assert_eq!(plan(&classic).statistics.unwrap().kinds, [Clock, Loop, Peer]);
    assert_eq!(classic.findings[1].verdict, Verdict::Refused);
    assert!(classic.findings[1].notes[0].contains("Autokey"), "{:?}", classic.findings[1].notes);
}

#[test]
fn every_word_about_selection_has_a_verdict_of_its_own() {
    use Verdict::{Changed, Honoured, Refused};
    for (words, verdict) in [
        ("maxdist 1.0", Honoured),
        ("minsane 1", Honoured),
        ("minsane 3", Refused),
        ("ceiling 4", Refused),
        ("floor 2", Refused),
        ("cohort 1", Changed),
        ("beacon 60", Changed),
        ("minclock 3", Changed),
        ("maxclock 6", Changed),
        ("mindist 0.001", Changed),
        ("orphan 7", Changed),
        ("maxdisp 1", Changed),
        ("basedate 2026-01-01", Changed),
        ("bcpollbstep 3", Changed),
    ] {
        let imported = ntp(&format!("tos {words}\n"));
        assert_eq!(imported.findings[0].verdict, verdict, "{words}");
        let explained = verdict == Honoured || !imported.findings[0].notes.is_empty();
        assert!(explained, "{words}");
    }
}

#[test]
fn the_broadcast_family_is_taken_over_as_far_as_it_is_authenticated() {
    let classic = "keys /etc/ntp/keys\ntrustedkey 4\nbroadcast 192.0.2.255 key 4 minpoll 4\n\
         broadcast 224.0.1.1 ttl 3\nbroadcast 192.0.2.255 key 9\nbroadcast 224.0.1.1 autokey\n\
         multicastclient\nmanycastserver 239.255.254.254\nmanycastclient 239.255.254.254 key 4\n\
         manycastclient 239.255.254.253\n";
    let file = Scratch::file("ntp.conf", classic);
    let imported = Imported::read(&file.path, Some(Dialect::Ntp)).unwrap();
    let refused: Vec<_> = (imported.findings.iter())
        .filter(|finding| finding.verdict == Verdict::Refused)
        .map(|finding| finding.place.line)
        .collect();
    assert_eq!(refused, [5, 6, 10], "{:?}", imported.findings);
    let taken = plan(&imported);
    let sent = taken.lan.broadcasts.iter().map(|to| (to.poll, to.ttl, to.key.is_some()));
    assert_eq!(sent.collect::<Vec<_>>(), [(4, 1, true), (6, 3, false)]);
    let listens = taken.lan.listens.unwrap();
    assert!(listens.authenticate && listens.delay.is_none() && listens.groups.len() == 1);
    assert_eq!((taken.lan.answers.len(), taken.lan.asks.len()), (1, 1));
    let open = "broadcastclient novolley\ndisable auth\nmanycastclient 239.255.254.254\n";
    let file = Scratch::file("ntp.conf", open);
    let taken = plan(&Imported::read(&file.path, Some(Dialect::Ntp)).unwrap());
    let listens = taken.lan.listens.unwrap();
    assert!(!listens.authenticate && listens.delay.is_some());
    assert_eq!(taken.lan.asks.len(), 1);
}
