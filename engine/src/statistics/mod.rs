//! Statistics files as ntpd writes them, for the tools that read those.
//!
//! The discipline thread gives records away through a bounded queue and never waits; a thread of its own
//! writes them. A disk that hangs or is full costs records, not time: what does not fit the queue is
//! dropped, and the log says so at most once an hour.
//!
//! `record` has the lines, `file_set` the files they go to, `scribe` the thread.
//!
//! Must never: make the discipline thread wait, or write half a line.

mod file_set;
mod record;
mod scribe;

use std::io;
use std::net::SocketAddr;

use crossbeam::channel::{Receiver, Sender, bounded};
use timeball_discipline::{Basis, SourceStatus, Status};
use timeball_time::{Interval, Realtime, Snapshot, Timestamp};
use timeball_wire::Header;

use crate::config::Statistics;
use crate::report::Tally;
use record::{Answer, Loop, Peer, Record};
use scribe::{Message, Scribe};

/// The giving end, held by the discipline thread.
#[derive(Debug)]
pub(crate) struct Chronicle {
    inbox: Sender<Message>,
    /// Closed when the thread has written everything.
    done: Receiver<()>,
    /// Accepted answers of each source when they were looked at last.
    answers: Vec<u64>,
    updates: u64,
    basis: Basis,
    /// When each source's last request left.
    departures: Vec<Option<Timestamp<Realtime>>>,
}

impl Chronicle {
    /// Starts the thread that writes what `statistics` asks for, about `sources` sources.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub(crate) fn start(statistics: &Statistics, sources: usize) -> io::Result<Self> {
        let (inbox, records) = bounded(RECORDS_MAX);
        let (writing, done) = bounded(0);
        Scribe::start(statistics, records, writing)?;
        Ok(Self {
            inbox,
            done,
            answers: vec![0; sources],
            updates: 0,
            basis: Basis::Nothing,
            departures: vec![None; sources],
        })
    }

    /// From now on the work of these workers is told of every hour.
    pub(crate) fn count(&self, workers: Vec<Tally>) {
        self.give(Message::Workers(workers));
    }

    /// From now on the sources are others: of each, which one of the old it is.
    pub(crate) fn rearrange(&mut self, origins: &[Option<usize>]) {
        let answers = |at: usize| self.answers.get(at).copied();
        let answers = origins.iter().map(|origin| origin.and_then(answers).unwrap_or(0)).collect();
        let departure = |at: usize| self.departures.get(at).copied().flatten();
        self.departures = origins.iter().map(|origin| origin.and_then(departure)).collect();
        self.answers = answers;
    }

    /// `source`'s last request left at `stamp`.
    pub(crate) fn departed(&mut self, source: usize, stamp: Timestamp<Realtime>) {
        if let Some(departure) = self.departures.get_mut(source) {
            *departure = Some(stamp);
        }
    }

    /// `source` at `remote` has answered by `header`, which came to `local` at `arrival`.
    pub(crate) fn answered(
        &mut self,
        source: usize,
        [remote, local]: [SocketAddr; 2],
        header: Header,
        arrival: Timestamp<Realtime>,
        snapshot: &Snapshot,
    ) {
        let departure = self.departures.get_mut(source).and_then(Option::take);
        let Some(departure) = departure else { return };
        let [departure, arrival] = [departure, arrival].map(|stamp| snapshot.served(stamp));
        let (remote, local) = (remote.ip(), local.ip());
        self.record(Record::Answer(Answer { remote, local, departure, arrival, header }));
    }

    /// Tells of what is new in `status`, which is of the kernel time `now`.
    pub(crate) fn observe(&mut self, status: &Status, now: Timestamp<Realtime>) {
        let at = status.snapshot.served(now);
        for index in 0..self.answers.len().min(status.sources.len()) {
            let source = &status.sources[index];
            if source.answers != self.answers[index] {
                self.answers[index] = source.answers;
                if let Some(peer) = Peer::of(source, at) {
                    self.record(Record::Peer(peer));
                }
            }
        }
        if status.updates != self.updates {
            self.updates = status.updates;
            let peer = status.system_peer.and_then(|index| status.sources.get(index));
            self.record(Record::Loop(Loop {
                at,
                offset: status.residual,
                frequency: status.frequency,
                jitter: peer.and_then(|peer| peer.jitter).unwrap_or(Interval::ZERO),
                wander: status.frequency_error,
                poll: peer.map_or(0, |peer: &SourceStatus| peer.poll),
            }));
        }
        if status.basis != self.basis {
            let (was, is) = (self.basis, status.basis);
            self.basis = is;
            match (was == Basis::Local, is == Basis::Local) {
                (false, true) => {
                    self.record(Record::Clock { at, text: "served for want of sources" })
                }
                (true, false) => self.record(Record::Clock { at, text: "not served any more" }),
                _ => {}
            }
        }
    }

    /// Waits until everything is written, but not for long.
    pub(crate) fn finish(self) {
        drop(self.inbox);
        let _ = self.done.recv_timeout(FINISH_MAX);
    }

    fn record(&self, record: Record) {
        self.give(Message::Record(Box::new(record)));
    }

    /// Lost when the disk is far behind.
    fn give(&self, message: Message) {
        let _ = self.inbox.try_send(message);
    }
}

/// Minutes of records of many sources.
const RECORDS_MAX: usize = 1024;
/// What the end of the program may take for the sake of the disk.
const FINISH_MAX: std::time::Duration = std::time::Duration::from_millis(300);
