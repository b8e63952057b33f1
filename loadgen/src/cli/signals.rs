//! Ctrl-C and SIGTERM as a flag, so that an interrupted load still gives its report.
//!
//! Must never: keep a second Ctrl-C from ending the program at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::error::CommandError;

/// A flag that is raised by the first of these signals; the second ends the program.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>, CommandError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down, raises it, and only then a second
        // finds it up.
        let code = 128 + signal;
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(CommandError::Signals)?;
    }
    Ok(stop)
}
