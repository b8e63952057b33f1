//! ntp.conf: every directive of ntp.org's ntpd and of NTPsec's.
//!
//! Must never: know anything that is not in the manuals of these two.

mod association;
mod options;
mod restrict;
pub(super) mod statistics;

use super::directive::Directive;
use super::directive::Rule::{Change, Include, Keep, Map, Refuse};
use super::instead::{AUTOKEY, NTS, REFERENCE_CLOCK};
use super::keyring;
use super::lan;

/// What a line may begin with.
pub(super) static DIRECTIVES: &[Directive] = &[
    row("authenticate", Change("obsolete since ntpd 4: see `enable auth`")),
    row("automax", Refuse(AUTOKEY.0, AUTOKEY.1)),
    row("autokey", Refuse(AUTOKEY.0, AUTOKEY.1)),
    row("broadcast", Map { becomes: "a `[[broadcast]]`", read: lan::broadcast }),
    row("broadcastclient", Map { becomes: "`[broadcast_client]`", read: lan::broadcast_client }),
    row("broadcastdelay", Map { becomes: "`broadcast_client.delay_s`", read: lan::delay }),
    row("calldelay", Refuse("it is about telephone calls of a modem clock", REFERENCE_CLOCK.1)),
    row("controlkey", Keep("nothing can be changed by ntpq, so no key is needed for it")),
    row("crypto", Refuse(AUTOKEY.0, AUTOKEY.1)),
    row(
        "delrestrict",
        Map { becomes: "takes an earlier `restrict` back", read: restrict::unrestrict },
    ),
    row("device", Refuse(REFERENCE_CLOCK.0, REFERENCE_CLOCK.1)),
    row("disable", Map { becomes: "each word by itself, below", read: options::disable }),
    row("discard", Map { becomes: "`[limits]`", read: restrict::discard }),
    row("driftfile", Map { becomes: "`clock.drift_file`", read: options::driftfile }),
    row("dscp", Change("packets are sent as the system marks them")),
    row("enable", Map { becomes: "each word by itself, below", read: options::enable }),
    row("end", Keep("the file ends here anyway")),
    row(
        "extra",
        Refuse("answers leave from the ports listened on", "name ports in `server.listen`"),
    ),
    row(
        "filegen",
        Map { becomes: "`statistics.files`, one scheme for all kinds", read: statistics::filegen },
    ),
    row("fudge", Map { becomes: "the stratum of the local clock", read: association::fudge }),
    row("ident", Refuse(AUTOKEY.0, AUTOKEY.1)),
    row("includefile", Include("the file is read in its place, up to 5 deep")),
    row("interface", Map { becomes: "`server.listen`", read: options::interface }),
    row("keys", Map { becomes: "`keys.file`, if any key is trusted", read: keyring::file }),
    row("keysdir", Refuse(AUTOKEY.0, AUTOKEY.1)),
    row("leapfile", Map { becomes: "`clock.leap_file`", read: options::leapfile }),
    row("leapsmearinterval", Refuse(SMEAR.0, SMEAR.1)),
    row("logconfig", Change("what changes the server's state is logged; see `log.level`")),
    row("logfile", Change("messages go to standard error, which the service manager keeps")),
    row("manycastclient", Map { becomes: "a `[[manycast_client]]`", read: lan::manycast_client }),
    row("manycastserver", Map { becomes: "`manycast_server.groups`", read: lan::manycast_server }),
    row("mdnstries", Keep("nothing is announced by mDNS")),
    row("mem", Change("memory is locked by the service manager's limits, if at all")),
    row("monitor", Change("clients are counted, not listed")),
    row("mru", Change("clients are counted, not listed")),
    row(
        "multicastclient",
        Map { becomes: "`broadcast_client.groups`", read: lan::multicast_client },
    ),
    row("nic", Map { becomes: "`server.listen`", read: options::interface }),
    row("nonvolatile", Change("the drift file is written when it moved by 0.1 ppm")),
    row("ntpsigndsocket", Refuse("signing for Windows domains (MS-SNTP) is not offered", SIGND)),
    row("nts", Refuse(NTS.0, NTS.1)),
    row("peer", Map { becomes: "a `[[source]]`, asked as a client", read: association::peer }),
    row("phone", Refuse("it is a telephone number for a modem clock", REFERENCE_CLOCK.1)),
    row("pidfile", Change("there is no pid file; the service manager knows the process")),
    row("pollskewlist", Change("polls are spread at random anyway")),
    row("pool", Map { becomes: "a `[[source]]` with `max_sources`", read: association::pool }),
    row("port", Map { becomes: "the port in `server.listen`", read: options::port }),
    row("precision", Keep("the precision is measured")),
    row("qos", Change("packets are sent as the system marks them")),
    row(
        "refclock",
        Map { becomes: "`refclock local` alone: `[local]`", read: association::refclock },
    ),
    row("requestkey", Keep("ntpdc's mode 7 is never answered, so no key is needed for it")),
    row("reset", Keep("counters begin at zero")),
    row("restrict", Map { becomes: "an `[[access]]`", read: restrict::restrict }),
    row("revoke", Refuse(AUTOKEY.0, AUTOKEY.1)),
    row("rlimit", Change("limits are the service manager's")),
    row("saveconfigdir", Keep("the configuration can not be changed or saved by ntpq")),
    row("server", Map { becomes: "a `[[source]]`, or `[local]`", read: association::server }),
    row("setvar", Change("variables of one's own are not shown by ntpq")),
    row("simulate", Refuse("there is no simulation in the server", "use `timeball-sim`")),
    row("statistics", Map { becomes: "`statistics.kinds`", read: statistics::kinds }),
    row("statsdir", Map { becomes: "`statistics.directory`", read: statistics::directory }),
    row("tick", Refuse("the kernel's tick is not changed", "remove it")),
    row("tinker", Map { becomes: "thresholds, below", read: options::tinker }),
    row("tos", Map { becomes: "selection limits, below", read: options::tos }),
    row("trap", Refuse("traps are never sent: a stranger could aim them", "watch the log instead")),
    row("trustedkey", Map { becomes: "`keys.trusted`", read: keyring::trusted }),
    row("ttl", Change("a group is asked one hop away, then ever twice as far")),
    row("unconfig", Map { becomes: "takes an earlier server back", read: association::unpeer }),
    row("unpeer", Map { becomes: "takes an earlier server back", read: association::unpeer }),
    row(
        "unrestrict",
        Map { becomes: "takes an earlier `restrict` back", read: restrict::unrestrict },
    ),
];

const fn row(name: &'static str, rule: super::directive::Rule) -> Directive {
    Directive { name, rule }
}

const SIGND: &str = "keep the domain controller's own service for domain members";
const SMEAR: (&str, &str) = (
    "it would smear for every client, of which some ask other servers too",
    "name an address of its own in `server.listen_smeared`",
);
