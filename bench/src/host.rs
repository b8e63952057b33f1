//! The machine, as far as a reader of figures needs to know it.
//!
//! Must never: fail a measurement because a fact is missing.

use std::fs;

use serde::Serialize;

/// Facts without which figures cannot be compared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Host {
    /// Kernel release.
    pub(crate) kernel: String,
    /// Processor model.
    pub(crate) processor: String,
    /// Cores this process may use.
    pub(crate) cores: usize,
    /// The clock source, of which every time stamp here comes.
    pub(crate) clock_source: String,
    /// Load average of the last minute when the run began: a busy machine makes no figures.
    pub(crate) load_average: String,
    /// Seconds since 1970 when the run began.
    pub(crate) began_s: i64,
    /// The command line that made the figures.
    pub(crate) command: Vec<String>,
}

impl Host {
    /// Looks around, and warns if what it sees makes figures worthless.
    pub(crate) fn look() -> Self {
        let host = Self {
            kernel: line("/proc/sys/kernel/osrelease"),
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            clock_source: line(CLOCK_SOURCE),
            load_average: line("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            began_s: timeball_sys::realtime().nanos() / 1_000_000_000,
            command: std::env::args().collect(),
        };
        if host.load_average.parse().is_ok_and(|load: f64| load > LOAD_AVERAGE_MAX) {
            eprintln!(
                "this machine is busy (load average {}): figures will be too high, and \
                 so will their spread; run again when it is quiet",
                host.load_average
            );
        }
        host
    }

    /// The facts on one line.
    pub(crate) fn text(&self) -> String {
        format!(
            "{}, {} cores, Linux {}, clock source {}, load average {} at the start",
            self.processor, self.cores, self.kernel, self.clock_source, self.load_average
        )
    }
}

/// Whether this process is root, by the owner of its own entry in /proc.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

/// The program `name` in the search path and where daemons live.
pub(crate) fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    directories.map(|directory| directory.join(name)).find(|program| program.is_file())
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':'])).to_owned()
}

fn line(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Above this, other programs share the cores.
const LOAD_AVERAGE_MAX: f64 = 0.5;

const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
