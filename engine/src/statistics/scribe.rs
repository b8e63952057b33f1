//! The thread that writes statistics: takes records from the queue, and the workers' counters by the hour.
//!
//! Must never: end because a file cannot be written.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use timeball_responder::Totals;
use timeball_sys::realtime;
use timeball_sys::sandbox::{Role, confine};

use super::file_set::FileSet;
use super::record::Record;
use crate::config::{Statistics, StatisticsKind, Words};
use crate::report::{Tally, Work, work};

/// What the thread is given.
#[derive(Debug)]
pub(super) enum Message {
    /// Something to be written.
    Record(Box<Record>),
    /// Whose work to tell of every hour.
    Workers(Vec<Tally>),
}

/// What the thread works with.
#[derive(Debug)]
pub(super) struct Scribe {
    sets: Vec<(StatisticsKind, FileSet)>,
    workers: Vec<Tally>,
    told: Totals,
    started: Instant,
    hour: Instant,
    /// When a failure was last logged.
    complained: Option<Instant>,
}

impl Scribe {
    /// Starts the thread; it ends with `records`, and then drops `writing`.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub(super) fn start(
        statistics: &Statistics,
        records: Receiver<Message>,
        writing: Sender<()>,
    ) -> io::Result<()> {
        let set = |&kind: &StatisticsKind| {
            let base = statistics.directory.join(kind.word());
            (kind, FileSet::new(base, statistics.files, statistics.link))
        };
        let now = Instant::now();
        let scribe = Self {
            sets: statistics.kinds.iter().map(set).collect(),
            workers: Vec::new(),
            told: Totals::default(),
            started: now,
            hour: now,
            complained: None,
        };
        let builder = thread::Builder::new().name("statistics".to_owned());
        builder.spawn(move || {
            let _writing = writing;
            scribe.run(&records);
        })?;
        Ok(())
    }

    fn run(mut self, records: &Receiver<Message>) {
        if let Err(error) = confine(Role::Writer, &[]) {
            tracing::error!("{error}; statistics will not be written");
            return;
        }
        loop {
            match records.recv_deadline(self.hour + HOUR) {
                Ok(Message::Record(record)) => self.write(&record),
                Ok(Message::Workers(workers)) => {
                    if self.workers.is_empty() {
                        // Others have told of that.
                        workers.iter().for_each(|worker| self.told += *worker.before());
                    }
                    self.workers = workers;
                }
                Err(RecvTimeoutError::Timeout) => self.tell_work(),
                Err(RecvTimeoutError::Disconnected) => return self.tell_work(),
            }
        }
    }

    fn write(&mut self, record: &Record) {
        let kind = record.kind();
        let Some((_, set)) = self.sets.iter_mut().find(|(own, _)| *own == kind) else { return };
        let uptime_s = self.started.elapsed().as_secs();
        let Err(error) = set.append(&record.line(), record.at(), uptime_s) else { return };
        if self.complained.is_none_or(|last| last.elapsed() >= HOUR) {
            self.complained = Some(Instant::now());
            tracing::warn!("{}: {error}; records are lost until it can be written", kind.word());
        }
    }

    /// What was done for clients since the last time.
    fn tell_work(&mut self) {
        let mut all = Totals::default();
        for worker in &self.workers {
            all += worker.totals();
        }
        let seconds = self.hour.elapsed().as_secs();
        let work = since(&work(&self.told), work(&all));
        (self.told, self.hour) = (all, Instant::now());
        // A statistic of hours: the kernel's time will do.
        self.write(&Record::Work { at: realtime().reinterpret(), seconds, work });
    }
}

/// What is in `now` beyond `before`.
fn since(before: &Work, mut now: Work) -> Work {
    now.received -= before.received;
    now.answered -= before.answered;
    now.unanswered -= before.unanswered;
    for (now, before) in now.answered_by_version.iter_mut().zip(&before.answered_by_version) {
        *now -= before;
    }
    for (map, before) in [
        (&mut now.unanswered_by_reason, &before.unanswered_by_reason),
        (&mut now.noted, &before.noted),
    ] {
        for (name, count) in map.iter_mut() {
            *count -= before.get(name).copied().unwrap_or(0);
        }
    }
    now
}

const HOUR: Duration = Duration::from_secs(3600);
