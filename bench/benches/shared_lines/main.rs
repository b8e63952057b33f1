//! Whether workers write anything that another one looks at: by the addresses of every load and store.
//!
//! A cache line that one core writes and another touches travels between them each time, and that is what
//! keeps a server from becoming twice as fast with twice the cores. So two workers, made as the server makes
//! them and with its allocator, answer real requests one after the other, each in its own thread, while
//! valgrind's lackey writes down every address; no line that one of them wrote may have been touched by the
//! other.
//!
//! ```text
//! cargo bench -p timeball-bench --bench shared_lines
//! ```
//!
//! So that nothing is proven by looking past it, two workers that do share something, their counters, are
//! looked at as well, and have to be found out.
//!
//! A third thread that is not in the kernel yet when a worker begins can add accesses to a trace, and never
//! take any away: so of three traces one without a shared line is enough.
//!
//! The kernel's own accesses are not seen: what it writes for a worker (frames, message headers, rings) lies
//! on pages of that worker's alone, and what it shares within is its own affair.
//!
//! Must never: pass because nothing was traced.

mod trace;
#[path = "../fixture/valgrind.rs"]
mod valgrind;
mod workers;

use std::process::ExitCode;

use trace::Trace;
use workers::Together;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Cargo adds a word of its own.
    let words: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["run", backend, together] => workers::run(backend, together),
        [] => judge(),
        _ => {
            eprintln!("usage: shared_lines");
            ExitCode::from(2)
        }
    }
}

/// Looks at workers that share nothing by each carrier, and at some that do.
fn judge() -> ExitCode {
    let mut good = true;
    println!(
        "{:<36} {:>9} {:>9} {:>8}",
        "cache lines of 64 octets", "written", "touched", "shared"
    );
    for (backend, together) in
        [("mmsg", Together::Nothing), ("uring", Together::Nothing), ("mmsg", Together::Counters)]
    {
        let name = format!("two workers, {backend}, sharing {}", together.name());
        match record(backend, together) {
            Ok(trace) => {
                println!("{name:<36} {trace}");
                good &=
                    trace.is_sound() && (trace.shared() > 0) == (together == Together::Counters);
            }
            Err(error) if backend == "uring" => println!("{name:<36} not traced: {error}"),
            Err(error) => {
                eprintln!("{name}: {error}");
                good = false;
            }
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first trace without a shared line, or the last of some.
fn record(backend: &str, together: Together) -> Result<Trace, String> {
    let mut trace = Trace::record(backend, together.name())?;
    for _ in 1..TRACES {
        if trace.shared() == 0 {
            break;
        }
        trace = Trace::record(backend, together.name())?;
    }
    Ok(trace)
}

const TRACES: usize = 3;
