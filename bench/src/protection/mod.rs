//! `protection`: what limits, sandbox and watching cost, and what they are worth.
//!
//! Four questions, each of which can be asked alone. How many requests of well-behaved clients are answered
//! while others flood ([`floods`]); what an answer costs with limits and with the sandbox, and whether a look
//! at the server every second costs answers ([`cost`]); and what is lost while the server is told to read its
//! configuration again, or another takes its place ([`reloads`]).
//!
//! Must never: give a figure of one server without that of another beside it, or of the same left alone.

mod cost;
mod floods;
mod guarded;
mod reloads;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::cli::{Protection, ProtectionOptions, program_beside};
use crate::error::{Attempt, BenchError};
use crate::host::Host;

/// Measures and prints.
pub(crate) fn run(options: &ProtectionOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    let host = Host::look();
    let program = options.timeball.clone().or_else(program_beside).ok_or_else(|| {
        BenchError::Usage("timeball is not beside this program: give --timeball PATH".to_owned())
    })?;
    let bench = Bench { options, program: program.to_string_lossy().into_owned(), stop };
    let (mut document, mut texts) = (serde_json::json!({ "host": host }), Vec::new());
    for part in options.parts() {
        let (name, figures, text) = match part {
            Protection::Floods => bench.part("floods", floods::measure, floods::text)?,
            Protection::Cost => bench.part("cost", cost::measure_dress, cost::text)?,
            Protection::Watching => bench.part("watching", cost::measure_watching, cost::text)?,
            Protection::Reloads => bench.part("reloads", reloads::measure, reloads::text)?,
        };
        document[name] = figures;
        texts.push(text);
    }
    if options.common.json {
        println!("{document:#}");
    } else {
        println!("{}\n{}\n\n{}", host.text(), host.command.join(" "), texts.join("\n"));
    }
    Ok(())
}

/// What every part needs.
struct Bench<'a> {
    options: &'a ProtectionOptions,
    /// The timeball program.
    program: String,
    stop: &'a AtomicBool,
}

impl Bench<'_> {
    fn part<T: serde::Serialize>(
        &self,
        name: &'static str,
        measure: fn(&Self) -> Result<Vec<T>, BenchError>,
        text: fn(&[T]) -> String,
    ) -> Result<(&'static str, serde_json::Value, String), BenchError> {
        let rows = measure(self)?;
        Ok((name, serde_json::json!(rows), text(&rows)))
    }
}

/// The child's side of being watched: reads the page at `address` once a second until killed.
pub(crate) fn scrape(address: SocketAddr) -> Result<(), BenchError> {
    let reading = || format!("reading the page at {address}");
    loop {
        let mut page = Vec::new();
        let mut stream = TcpStream::connect(address).attempting(reading)?;
        stream.write_all(REQUEST).attempting(reading)?;
        stream.read_to_end(&mut page).attempting(reading)?;
        if !page.starts_with(b"HTTP/1.1 200 ") {
            let cause =
                String::from_utf8_lossy(&page).lines().next().unwrap_or_default().to_owned();
            return Err(BenchError::Program { command: reading(), cause });
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
