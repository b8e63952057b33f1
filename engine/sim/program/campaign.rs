//! Many runs at once: one thread per core, the next run to whoever is free.
//!
//! Must never: let the outcome depend on which thread was faster.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does `work` for every job; results come in the order of the jobs.
pub(crate) fn run<Job: Sync, Outcome: Send>(
    jobs: &[Job],
    work: impl Fn(&Job) -> Outcome + Sync,
) -> Vec<Outcome> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(jobs.len())));
    let threads = thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, job)) = take(&next, jobs) {
                    let outcome = work(job);
                    let Ok(mut done) = done.lock() else { return };
                    done.push((index, outcome));
                    progress(done.len(), jobs.len());
                }
            });
        }
    });
    // A thread that panicked has ended the scope, and with it this function.
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|&(index, _)| index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn take<'a, Job>(next: &AtomicUsize, jobs: &'a [Job]) -> Option<(usize, &'a Job)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    jobs.get(index).map(|job| (index, job))
}

/// For whoever waits at a terminal.
fn progress(done: usize, all: usize) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let end = if done == all { "\r\x1b[K" } else { "" };
        let _ = write!(stderr, "\r{done} of {all} runs{end}").and_then(|()| stderr.flush());
    }
}
