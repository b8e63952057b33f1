//! chrony.conf: every directive of chronyd's.
//!
//! Must never: know anything that is not in chrony's manual.

mod access;
mod options;
mod source;

use super::directive::Directive;
use super::directive::Rule::{Change, Include, Keep, Map, Refuse};
use super::instead::{NTS, REFERENCE_CLOCK};
use super::keyring;
use super::lan;

/// What a line may begin with.
pub(super) static DIRECTIVES: &[Directive] = &[
    row(
        "acquisitionport",
        Change("requests leave from a new port each, so that nobody can guess it"),
    ),
    row("allow", Map { becomes: "an `[[access]]` with `allow = [\"time\"]`", read: access::allow }),
    row("authselectmode", Change("no source is authenticated, so none is mixed with others")),
    row(
        "bindacqaddress",
        Change("requests leave from the address that the system's routes choose"),
    ),
    row("bindacqdevice", Change("requests leave by the device that the system's routes choose")),
    row("bindaddress", Map { becomes: "`server.listen`", read: options::bindaddress }),
    row("bindcmdaddress", Change(CHRONYC)),
    row("bindcmddevice", Change(CHRONYC)),
    row("binddevice", Change("every device is listened on; name its address in `server.listen`")),
    row("broadcast", Map { becomes: "a `[[broadcast]]`", read: lan::broadcast_at }),
    row("clientloglimit", Keep("no list of clients is kept")),
    row("clockprecision", Change("the precision is measured")),
    row("cmdallow", Change(CHRONYC)),
    row("cmddeny", Change(CHRONYC)),
    row("cmdport", Change(CHRONYC)),
    row("cmdratelimit", Change("answers to queries are bounded, whoever asks")),
    row("combinelimit", Change(SELECTED)),
    row("commandkey", Keep("no longer supported by chronyd either")),
    row("confdir", Include("its *.conf files are read in its place")),
    row("corrtimeratio", Change(TUNED)),
    row("deny", Map { becomes: "an `[[access]]` with `allow = []`", read: access::deny }),
    row("driftfile", Map { becomes: "`clock.drift_file`", read: options::driftfile }),
    row("dscp", Change("packets are sent as the system marks them")),
    row(
        "dumpdir",
        Change("what is known of the clock is kept in `clock.state_file`, if that is set"),
    ),
    row(
        "dumponexit",
        Change("what is known of the clock is kept in `clock.state_file`, if that is set"),
    ),
    row("fallbackdrift", Change("without sources the last frequency is kept")),
    row("generatecommandkey", Keep("no longer supported by chronyd either")),
    row("hwclockfile", Change(RTC)),
    row("hwtimestamp", Change("packets are stamped by the kernel, not by the network card")),
    row("hwtstimeout", Change("packets are stamped by the kernel, not by the network card")),
    row("include", Include("the files are read in its place, up to 5 deep")),
    row("initstepslew", Map { becomes: "`clock.step_threshold_s`", read: options::initstepslew }),
    row(
        "keyfile",
        Map { becomes: "`keys.file`, if a server is asked with a key", read: keyring::file },
    ),
    row("leapseclist", Map { becomes: "`clock.leap_file`", read: options::leapseclist }),
    row("leapsecmode", Map { becomes: "`clock.leap_second`", read: options::leapsecmode }),
    row(
        "leapsectz",
        Change("leap seconds are what most sources say, or the list in `clock.leap_file`"),
    ),
    row("linux_freq_scale", Keep("no longer supported by chronyd either")),
    row("linux_hz", Keep("no longer supported by chronyd either")),
    row("local", Map { becomes: "`[local]`", read: options::local }),
    row("lock_all", Change("memory is locked by the service manager's limits, if at all")),
    row("log", Change("measurements are not written to files")),
    row("logbanner", Change("measurements are not written to files")),
    row("logchange", Change("every change of state is logged")),
    row("logdir", Change("measurements are not written to files")),
    row("mailonchange", Change("nobody is sent mail; watch the log")),
    row(
        "makestep",
        Map { becomes: "`clock.step_threshold_s`, `step_limit`", read: options::makestep },
    ),
    row("manual", Refuse("the time cannot be set by hand", "name a source")),
    row("maxchange", Map { becomes: "`clock.panic_threshold_s`", read: options::maxchange }),
    row("maxclockerror", Change(TUNED)),
    row("maxdistance", Map { becomes: "`clock.max_root_distance_s`", read: options::maxdistance }),
    row("maxdrift", Change(TUNED)),
    row("maxjitter", Change(SELECTED)),
    row("maxntsconnections", Refuse(NTS.0, NTS_SERVER)),
    row("maxsamples", Change(TUNED)),
    row("maxslewrate", Change("offsets are slewed so that no client is misled")),
    row("maxtxbuffers", Change("replies wait nowhere but in the kernel")),
    row("maxupdateskew", Change(TUNED)),
    row("minsamples", Change(TUNED)),
    row("minsources", Change(SELECTED)),
    row("nocerttimecheck", Refuse(NTS.0, NTS_SERVER)),
    row("noclientlog", Keep("no list of clients is kept")),
    row("nosystemcert", Refuse(NTS.0, NTS_SERVER)),
    row("ntpsigndsocket", Refuse("signing for Windows domains (MS-SNTP) is not offered", SIGND)),
    row("ntsaeads", Refuse(NTS.0, NTS_SERVER)),
    row("ntscachedir", Refuse(NTS.0, NTS_SERVER)),
    row("ntsdumpdir", Refuse(NTS.0, NTS_SERVER)),
    row("ntsntpserver", Refuse(NTS.0, NTS_SERVER)),
    row("ntsport", Refuse(NTS.0, NTS_SERVER)),
    row("ntsprocesses", Refuse(NTS.0, NTS_SERVER)),
    row("ntsratelimit", Refuse(NTS.0, NTS_SERVER)),
    row("ntsrefresh", Refuse(NTS.0, NTS_SERVER)),
    row("ntsrotate", Refuse(NTS.0, NTS_SERVER)),
    row("ntsservercert", Refuse(NTS.0, NTS_SERVER)),
    row("ntsserverkey", Refuse(NTS.0, NTS_SERVER)),
    row("ntstrustedcerts", Refuse(NTS.0, NTS_SERVER)),
    row("opencommands", Change(CHRONYC)),
    row("peer", Map { becomes: "a `[[source]]`, asked as a client", read: source::peer }),
    row("pidfile", Change("there is no pid file; the service manager knows the process")),
    row("pool", Map { becomes: "a `[[source]]` with `max_sources`", read: source::pool }),
    row("port", Map { becomes: "the port in `server.listen`", read: options::port }),
    row("ptpdomain", Refuse("NTP is not carried by PTP messages", "use NTP's own port")),
    row("ptpport", Refuse("NTP is not carried by PTP messages", "use NTP's own port")),
    row("ratelimit", Map { becomes: "`[limits]`", read: options::ratelimit }),
    row("refclock", Refuse(REFERENCE_CLOCK.0, REFERENCE_CLOCK.1)),
    row("refresh", Keep("a name is looked up again when its server fails")),
    row("reselectdist", Change(SELECTED)),
    row("rtcautotrim", Change(RTC)),
    row("rtcdevice", Change(RTC)),
    row("rtcfile", Change(RTC)),
    row("rtconutc", Change(RTC)),
    row("rtcsync", Change("the kernel keeps the hardware clock by itself while it is steered")),
    row("sched_priority", Change("workers have `server.worker_priority`, 0 unless set")),
    row("server", Map { becomes: "a `[[source]]`", read: source::server }),
    row(
        "smoothtime",
        Change("steps are avoided by slewing; the served time is not smoothed further"),
    ),
    row("sourcedir", Include("its *.sources files are read in its place")),
    row("stratumweight", Change(SELECTED)),
    row(
        "tempcomp",
        Refuse("the frequency is not compensated by temperature", "let it be measured"),
    ),
    row("user", Map { becomes: "`server.user`", read: options::user }),
];

const fn row(name: &'static str, rule: super::directive::Rule) -> Directive {
    Directive { name, rule }
}

const CHRONYC: &str = "chronyc's protocol is not spoken: use `timeball status`, or ntpq";
const NTS_SERVER: &str = "clients are answered without it";
const RTC: &str = "the hardware clock is left to the kernel and to the system's start";
const SELECTED: &str = "sources are selected and combined by their measured error bounds";
const SIGND: &str = "keep the domain controller's own service for domain members";
const TUNED: &str = "the clock is kept by measured noise and needs no such constant";
