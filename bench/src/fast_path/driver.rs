//! A child that has a program answer in the driver of a device, without a server around it.
//!
//! Must never: set or bend the time that it serves.

use timeball_sys::xdp::{self, Endpoint, Mode, Program};
use timeball_sys::{Interface, precision, realtime};
use timeball_time::{Interval, Leap, Publisher, ReferenceId, Snapshot, Stratum};

use crate::cli::{Drive, DriverOptions};
use crate::error::{Attempt, BenchError};

/// Answers until killed.
pub(crate) fn serve(options: &DriverOptions) -> Result<(), BenchError> {
    let failed = |what: &str, cause: String| BenchError::Usage(format!("{what}: {cause}"));
    let all = Interface::all().attempting(|| "looking at the interfaces".to_owned())?;
    let own = all.iter().find(|one| one.name == options.device);
    let index = own.ok_or_else(|| failed(&options.device, "no such device".to_owned()))?.index;
    let refused = |error: xdp::XdpError| failed(&options.device, error.to_string());
    if options.kind != Drive::Answer {
        let clock = options.kind == Drive::ClockEcho;
        let _echo = xdp::Echo::attach(index, Mode::Native, clock).map_err(refused)?;
        park();
    }
    let path = format!("/sys/class/net/{}/address", options.device);
    let text = std::fs::read_to_string(&path).attempting(|| format!("reading {path}"))?;
    let station: timeball_sys::traffic::MacAddress =
        text.trim().parse().map_err(|error| failed(&path, format!("{error}")))?;
    let endpoint = Endpoint { station: station.octets(), vlan: None, address: options.address };
    let mut program = Program::load().map_err(refused)?;
    program.set_endpoints([endpoint].into()).map_err(refused)?;
    let mut publisher = Publisher::new(local_clock());
    publisher.set_mirror(Some(Box::new(program.mirror().map_err(refused)?)));
    let _attached = program.attach(index, Mode::Native).map_err(refused)?;
    park();
}

/// This machine's clock, as it is.
fn local_clock() -> Snapshot {
    Snapshot {
        leap: Leap::None,
        stratum: Stratum::new(10),
        reference_id: ReferenceId::LOCAL,
        root_dispersion: Interval::from_millis(1),
        ..Snapshot::unsynchronised(realtime(), precision())
    }
}

/// Everything is done elsewhere.
fn park() -> ! {
    loop {
        std::thread::park();
    }
}
