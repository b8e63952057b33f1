//! The log: lines on standard error, few, and never at the expense of who has something to say.
//!
//! Whoever logs leaves a line in a queue, and a thread of its own writes it: a journal or a pipe that nobody
//! reads holds up neither the discipline nor the control plane. What comes again and again is written a few
//! times and then counted ([`Cap`]). Errors alone are written by the thread that has them, at once, because
//! it is often the last thing it does. Under systemd each line carries its priority (sd-daemon(3)).
//!
//! Must never: be written to on a worker for the sake of a packet, or wait for a reader but at the end, and
//! then for [`FINISH_MAX`].

mod cap;

use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use timeball_sys::sandbox::{Role, confine};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use self::cap::Cap;
use crate::config::LogLevel;

/// The log of this process; dropping it writes what is still to be written.
pub(super) struct Log {
    filter: reload::Handle<LevelFilter, Registry>,
    outlet: Outlet,
    lines: Option<Receiver<Message>>,
    done: Option<Receiver<()>>,
}

impl Log {
    /// Starts it, to standard error. Lines wait until [`Log::write`], which is called when the process has
    /// given up what it no longer needs.
    pub(super) fn start(level: LogLevel) -> Self {
        let (filter, handle) = reload::Layer::new(LevelFilter::from(Level::from(level)));
        let (queue, lines) = bounded(QUEUE_MAX);
        let outlet = Outlet { queue, journal: is_journal() };
        let layer = fmt::layer().with_target(false).with_writer(outlet.clone());
        let log = tracing_subscriber::registry().with(filter);
        // The journal has its own clock, and this one may be wrong.
        if outlet.journal {
            log.with(layer.without_time().with_ansi(false)).init();
        } else {
            log.with(layer.with_ansi(io::stderr().is_terminal())).init();
        }
        Self { filter: handle, outlet, lines: Some(lines), done: None }
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When the system refuses one.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let Some(lines) = self.lines.take() else { return Ok(()) };
        let (writing, done) = bounded::<()>(0);
        let journal = self.outlet.journal;
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            let _writing = writing;
            // With rights that it could not give up it does not run.
            if confine(Role::Log, &[]).is_ok() {
                write_all(&lines, journal);
            }
        })?;
        self.done = Some(done);
        Ok(())
    }

    /// From now on only what is at least as important as `level` is logged.
    pub(super) fn set(&self, level: LogLevel) {
        let level = LevelFilter::from(Level::from(level));
        // There is a log as long as there is a process.
        let _ = self.filter.modify(|filter| *filter = level);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.outlet.queue.try_send(Message::Finish);
        if let Some(lines) = self.lines.take() {
            return write_all(&lines, self.outlet.journal);
        }
        if let Some(done) = self.done.take() {
            let _ = done.recv_timeout(FINISH_MAX);
        }
    }
}

/// What the thread is given.
enum Message {
    Line(Line),
    /// Nothing more is to come.
    Finish,
}

/// One line, with its end.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    level: Level,
    text: String,
}

/// Where lines are left.
#[derive(Clone)]
struct Outlet {
    queue: Sender<Message>,
    journal: bool,
}

impl<'a> MakeWriter<'a> for Outlet {
    type Writer = Entry<'a>;

    fn make_writer(&'a self) -> Entry<'a> {
        Entry { outlet: self, level: Level::INFO }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Entry<'a> {
        Entry { outlet: self, level: *metadata.level() }
    }
}

/// Takes the text of one event, which comes in one piece.
struct Entry<'a> {
    outlet: &'a Outlet,
    level: Level,
}

impl Write for Entry<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let line = Line { level: self.level, text: String::from_utf8_lossy(text).into_owned() };
        if self.level == Level::ERROR {
            put(&line, self.outlet.journal);
        } else {
            // With so many lines waiting, nobody will miss this one.
            let _ = self.outlet.queue.try_send(Message::Line(line));
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes until nothing more is to come.
fn write_all(lines: &Receiver<Message>, journal: bool) {
    let (mut cap, begun) = (Cap::default(), Instant::now());
    let mut out = Vec::new();
    loop {
        let message = lines.recv_timeout(LOOK);
        let now = begun.elapsed();
        match &message {
            Ok(Message::Line(line)) => cap.take(line, now, &mut out),
            Ok(Message::Finish) | Err(RecvTimeoutError::Disconnected) => cap.finish(&mut out),
            Err(RecvTimeoutError::Timeout) => {}
        }
        cap.settle(now, &mut out);
        out.drain(..).for_each(|line| put(&line, journal));
        if matches!(message, Ok(Message::Finish) | Err(RecvTimeoutError::Disconnected)) {
            return;
        }
    }
}

/// Writes one line; whether somebody reads it is not our affair.
fn put(line: &Line, journal: bool) {
    let text = &line.text;
    let _ = if journal {
        io::stderr()
            .write_all(format!("<{}>{}", priority(line.level), text.trim_start()).as_bytes())
    } else {
        io::stderr().write_all(text.as_bytes())
    };
}

/// As syslog numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Whether standard error is the journal (systemd.exec(5), `$JOURNAL_STREAM`: device and inode of it).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let own = std::fs::metadata("/proc/self/fd/2");
    own.is_ok_and(|own| stream == format!("{}:{}", own.dev(), own.ino()))
}

/// Lines that may wait to be written.
const QUEUE_MAX: usize = 1024;
/// How often what was counted is looked through.
const LOOK: Duration = Duration::from_secs(1);
/// What the end of the program may take for the sake of a log that nobody reads.
const FINISH_MAX: Duration = Duration::from_millis(300);
