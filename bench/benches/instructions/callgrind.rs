//! Counting the instructions of a run with valgrind's callgrind.
//!
//! Must never: let the count depend on which machine counts.

use crate::valgrind::{REMEDY, valgrind};

/// Instructions of one turn of the case called `name`.
pub(crate) fn instructions(name: &str) -> Result<f64, String> {
    let (few, many) = (count(name, FEW)?, count(name, MANY)?);
    Ok(many.saturating_sub(few) as f64 / f64::from(MANY - FEW))
}

fn count(name: &str, turns: u32) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = valgrind();
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--"])
        .arg(own)
        .args(["run", name, &turns.to_string()])
        // Which copy of memcpy the C library chooses depends on the processor.
        .env(
            "GLIBC_TUNABLES",
            "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-ERMS,-FSRM",
        )
        .env("LC_ALL", "C");
    let output = command.output().map_err(|error| format!("valgrind: {error}; {REMEDY}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :"));
    match collected.and_then(|(_, count)| count.trim().parse().ok()) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(format!("\"{name}\" did not run under valgrind:\n{text}")),
    }
}

const FEW: u32 = 50;
const MANY: u32 = 550;
