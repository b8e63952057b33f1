//! A thread beside the workers, which sleeps in a [`Waiter`](timeball_sys::Waiter) and can be told to end.
//!
//! Must never: be ended from itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use timeball_sys::Pulse;

/// The running thread.
#[derive(Debug)]
pub(crate) struct Thread {
    handle: JoinHandle<()>,
    pulse: Pulse,
    stop: Arc<AtomicBool>,
}

impl Thread {
    /// Starts `body` in a thread called `name`; it looks at `stop` whenever `pulse` wakes it.
    ///
    /// # Errors
    /// When the system gives no further thread.
    pub(crate) fn start(
        name: &str,
        pulse: Pulse,
        stop: Arc<AtomicBool>,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let handle = Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Self { handle, pulse, stop })
    }

    /// By which it can be seen that the thread goes on.
    pub(crate) const fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        self.handle.thread().name().unwrap_or_default().to_owned()
    }

    /// Ends the thread; it has then done what it does last.
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::Release);
        self.pulse.wake();
        let name = self.name();
        if self.handle.join().is_err() {
            tracing::error!("{name} thread: panicked");
        }
    }
}
