//! How long after its start a server without any configuration gives its first answer.
//!
//! In a user and network namespace of its own, where port 123 is free and the clock out of reach; the
//! measurement is made by this program once more, inside. Requests are sent every tenth of a millisecond
//! until one is answered with the time.
//!
//! Must never: wait longer than [`PATIENCE`] for an answer.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cli::{StartOptions, program_beside};
use crate::error::{Attempt, BenchError};
use crate::load::this_program;
use crate::process::{Running, output_unless_stopped};
use crate::rounds::Spread;

/// Runs the command.
pub(crate) fn run(options: &StartOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    if options.inside {
        return measure(options, stop);
    }
    let program = program(options)?;
    let words = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"].map(str::to_owned);
    let script = "ip link set lo up && exec \"$0\" \"$@\"".to_owned();
    let inner = [this_program()?, "start".to_owned(), "--inside".to_owned()];
    let rounds = ["--rounds".to_owned(), options.rounds.to_string()];
    let timeball = ["--timeball".to_owned(), program];
    let words: Vec<_> =
        words.into_iter().chain([script]).chain(inner).chain(rounds).chain(timeball).collect();
    print!("{}", output_unless_stopped(&words, stop)?);
    Ok(())
}

/// Starts and asks, as often as wanted; runs inside the namespace.
fn measure(options: &StartOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    let program = program(options)?;
    let mut times_ms = Vec::new();
    for _ in 0..options.rounds {
        if stop.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
        wait_for_port();
        let begun = Instant::now();
        let server = Running::start(&[program.clone(), "serve".to_owned()], false)?;
        first_answer(begun)?;
        times_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        drop(server);
    }
    let Some(spread) = Spread::of(times_ms) else { return Ok(()) };
    println!(
        "from start to first answer, no config, {} starts: median {:.1} ms (min {:.1}, max {:.1})",
        options.rounds, spread.median, spread.min, spread.max
    );
    Ok(())
}

fn program(options: &StartOptions) -> Result<String, BenchError> {
    let program = options.timeball.clone().or_else(program_beside).ok_or_else(|| {
        BenchError::Usage("timeball is not beside this program: give --timeball PATH".to_owned())
    })?;
    Ok(program.to_string_lossy().into_owned())
}

/// The kernel holds a killed server's sockets until its rings are gone.
fn wait_for_port() {
    let begun = Instant::now();
    while UdpSocket::bind("0.0.0.0:123").is_err() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Asks until the server gives the time.
fn first_answer(begun: Instant) -> Result<(), BenchError> {
    let asking = || "asking for the time".to_owned();
    let socket = UdpSocket::bind("127.0.0.1:0").attempting(asking)?;
    socket.connect("127.0.0.1:123").attempting(asking)?;
    socket.set_read_timeout(Some(Duration::from_micros(100))).attempting(asking)?;
    // Version 4, mode 3.
    let mut request = [0; 48];
    request[0] = 0x23;
    let mut reply = [0; 64];
    while begun.elapsed() < PATIENCE {
        // Refused until the server has its socket.
        let _ = socket.send(&request);
        // A server's reply with a stratum.
        if socket.recv(&mut reply).is_ok_and(|len| len == 48 && reply[0] & 7 == 4 && reply[1] > 0) {
            return Ok(());
        }
    }
    Err(BenchError::Program { command: "timeball serve".to_owned(), cause: NO_ANSWER.to_owned() })
}

const PATIENCE: Duration = Duration::from_secs(5);
const NO_ANSWER: &str = "no answer within 5 s of its start";
