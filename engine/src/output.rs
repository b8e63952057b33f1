//! Standard output, for commands whose output is their result.
//!
//! Must never: fail because nobody reads on (`timeball query … | head -1`).

use std::io::{self, Write};

/// Writes all of `text` to standard output.
pub(crate) fn print(text: &str) {
    let mut output = io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
