//! What an answer in the driver costs, part by part, with everything in the cache.
//!
//! The parts are programs of their own that the kernel runs over and over. Of many short series the fastest
//! counts, because whatever disturbs one makes it slower. What answering at an interface costs, its driver
//! and cold memory included, is another matter: `timeball-bench fast-path`.
//!
//! Must never: be run without root; or count a run that gave no answer.

use std::process::ExitCode;

use timeball_load::table::Table;
use timeball_sys::xdp::{Endpoint, PARTS, Parts, REQUEST_LEN, XdpError};
use timeball_sys::{precision, realtime};
use timeball_time::{Interval, Leap, Publisher, Rate, Snapshot, Stratum};

fn main() -> ExitCode {
    match prices() {
        Ok(prices) => {
            print!("{}", text(&prices));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What one run of each part takes, in nanoseconds.
fn prices() -> Result<[u64; PARTS.len()], XdpError> {
    let address = "192.0.2.1:123".parse().expect("an address and a port");
    let mut parts =
        Parts::load(REQUEST, Endpoint { station: [2, 0, 0, 0, 0, 5], vlan: None, address })?;
    let mut publisher = Publisher::new(served());
    publisher.set_mirror(Some(Box::new(parts.mirror()?)));
    let mut prices = [u64::MAX; PARTS.len()];
    for _ in 0..SERIES {
        for (price, part) in prices.iter_mut().zip(PARTS) {
            let took = parts.time(part, RUNS)?.unwrap_or_else(|| panic!("{part} did nothing"));
            *price = (*price).min(took.as_nanos() as u64);
        }
    }
    Ok(prices)
}

/// A clock that has to be corrected, for an hour.
fn served() -> Snapshot {
    let now = realtime();
    Snapshot {
        leap: Leap::None,
        stratum: Stratum::new(2),
        root_dispersion: Interval::from_micros(777),
        dispersion_rate: Rate::from_ppb(15_000),
        offset: Interval::from_micros(-123),
        rate: Rate::from_ppb(-42_000),
        valid_until: now + Interval::from_secs(3_600),
        ..Snapshot::unsynchronised(now, precision())
    }
}

fn text(prices: &[u64; PARTS.len()]) -> String {
    let price = |name| PARTS.iter().position(|part| *part == name).map(|at| prices[at]);
    let price = |name| price(name).expect("one of the parts");
    let beyond = |part, other| price(part).saturating_sub(price(other));
    let mut table = Table::new(&["part", "ns"]);
    let rows = [
        ("a run of nothing, not counted below", price("nothing")),
        ("the clock, once", beyond("clock", "nothing")),
        ("whether it is ours", beyond("ours", "request")),
        ("the same by the table", beyond("ours_by_hash", "request")),
        ("whether a rule is against it", beyond("access", "request")),
        ("whether it is within its limits", beyond("limits", "nothing")),
        ("the same of another of 2^20 clients each time", beyond("limits_of_many", "nothing")),
        ("checksums of the request", beyond("checksums", "request")),
        ("the snapshot, and the time by it", beyond("snapshot", "nothing")),
        ("the snapshot, and the reply", beyond("reply", "request")),
        ("counting it", beyond("tally", "nothing")),
        ("a whole answer", beyond("whole", "request")),
    ];
    for (name, nanos) in rows {
        table.row(vec![name.to_owned(), nanos.to_string()]);
    }
    format!("fastest of {SERIES} series of {RUNS} runs\n\n{}", table.text())
}

/// Version 4, from 203.0.113.9:54321 to 192.0.2.1:123.
const REQUEST: [u8; REQUEST_LEN] = [
    2, 0, 0, 0, 0, 5, 2, 0, 0, 0, 0, 12, 8, 0, // Ethernet
    0x45, 0, 0, 76, 0, 1, 0x40, 0, 64, 17, 0x3C, 0x95, 203, 0, 113, 9, 192, 0, 2, 1, // IPv4
    0xD4, 0x31, 0, 123, 0, 56, 0xF2, 0xC5, // UDP
    0x23, 0, 6, 0xEC, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // NTP
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
];
const SERIES: usize = 200;
const RUNS: u32 = 5_000;
