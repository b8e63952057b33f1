//! Standard output and standard error, for commands whose output is their result.
//!
//! Must never: fail because nobody reads on (`timeball query … | head -1`).

use std::io::{self, Write};

/// Writes all of `text` to standard output.
pub(crate) fn print(text: &str) {
    write(&mut io::stdout().lock(), text);
}

/// Writes all of `text` to standard error.
pub(crate) fn complain(text: &str) {
    write(&mut io::stderr().lock(), text);
}

fn write(output: &mut impl Write, text: &str) {
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
