//! Child processes: started under control, and gone when we are.
//!
//! Every server is started without CAP_SYS_TIME, so that none can touch the machine's clock
//! whatever its configuration says, and with a death signal, so that none outlives this program
//! even if it is killed.
//!
//! Must never: leave a child running, or signal a process that is not our child.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::BenchError;

/// Runs a short command to its end; its output, or its complaint as an error.
pub(crate) fn output(words: &[String]) -> Result<String, BenchError> {
    let failed = |cause: String| BenchError::Program { command: words.join(" "), cause };
    let output =
        command(words).stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(failed(format!("{} ({})", complaint.trim(), output.status)))
    }
}

/// Runs a command that may take long; killed when `stop` is raised.
pub(crate) fn output_unless_stopped(
    words: &[String],
    stop: &AtomicBool,
) -> Result<String, BenchError> {
    let mut running = Running::start(words, true)?;
    let mut stdout = running.child.stdout.take();
    // Read beside it: a pipe holds less than a report with all its histograms.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.as_mut().map(|stdout| std::io::Read::read_to_string(stdout, &mut text));
        read.transpose().map(|_| text)
    });
    // The command bounds itself; this loop only watches for it and for Ctrl-C.
    let status = loop {
        if stop.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
        match running.child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => std::thread::sleep(POLL),
            Err(error) => return Err(running.failed(error.to_string())),
        }
    };
    let text = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let text = text.map_err(|error| running.failed(error.to_string()))?;
    if status.success() { Ok(text) } else { Err(running.failed(status.to_string())) }
}

/// A child that is killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    words: Vec<String>,
}

impl Running {
    /// Starts `words`; its output is kept for us or thrown away, its complaints go to our stderr.
    pub(crate) fn start(words: &[String], keep_output: bool) -> Result<Self, BenchError> {
        let stdout = if keep_output { Stdio::piped() } else { Stdio::null() };
        let stderr = if keep_output || std::env::var_os(VERBOSE).is_some() {
            Stdio::inherit()
        } else {
            Stdio::null()
        };
        let child =
            command(words).stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().map_err(
                |error| BenchError::Program { command: words.join(" "), cause: error.to_string() },
            )?;
        Ok(Self { child, words: words.to_vec() })
    }

    /// How the child ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| {
            format!("`{}` ended, {status}; set {VERBOSE}=1 to see why", self.words.join(" "))
        })
    }

    /// Sends the child a signal, by its name.
    pub(crate) fn signal(&self, name: &str) -> Result<(), BenchError> {
        let words = ["kill", "-s", name, &self.child.id().to_string()].map(str::to_owned);
        output(&words).map(drop)
    }

    /// Until the child has ended by itself.
    pub(crate) fn await_end(&mut self) -> Result<(), BenchError> {
        let begun = Instant::now();
        while begun.elapsed() < END_MAX {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(self.failed("it goes on for longer than it should".to_owned()))
    }

    fn failed(&self, cause: String) -> BenchError {
        BenchError::Program { command: self.words.join(" "), cause }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What goes before a server's command: it dies with us, cannot set the clock, stays on `cores`, and
/// runs at the real-time `priority`.
pub(crate) fn confinement(cores: Option<&str>, priority: Option<u8>) -> Vec<String> {
    let mut words = vec!["setpriv".to_owned(), "--pdeathsig".to_owned(), "KILL".to_owned()];
    if crate::host::is_root() {
        words.extend(["--bounding-set".to_owned(), "-sys_time".to_owned()]);
    }
    words.push("--".to_owned());
    if let Some(cores) = cores {
        words.extend(["taskset", "-c", cores].map(str::to_owned));
    }
    if let Some(priority) = priority {
        words.extend(["chrt".to_owned(), "-f".to_owned(), priority.to_string()]);
    }
    words
}

fn command(words: &[String]) -> Command {
    let (program, arguments) = words.split_first().expect("a command has a program");
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// A server that is told to end, or has a successor, has so long.
const END_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// Set in the environment, servers may write to our stderr.
const VERBOSE: &str = "TIMEBALL_BENCH_VERBOSE";
