//! What follows from a measurement for more cores and faster networks.
//!
//! Three assumptions, which the book explains (`docs/src/capacity.md`): an answer costs every core what it
//! cost this one; each doubling of the cores loses as much as the largest number of lanes measured here did
//! (and at best nothing); and a network carries a request one way and its reply, of the same size, the
//! other.
//!
//! Must never: contain a figure that is neither measured, nor the protocol's, nor computed from these.

use serde::Serialize;

use super::{Measurement, Price};
use crate::rounds::Spread;

/// All that is foretold.
#[derive(Debug, Serialize)]
pub(super) struct Model {
    pub(super) wires: Vec<Wire>,
    pub(super) cores: Vec<Core>,
    /// What is left at each doubling of the cores, by the lanes measured; `None` if none were.
    pub(super) kept_per_doubling: Option<f64>,
    /// The way of serving whose answers are the cheapest, on which `sizes` stand.
    pub(super) best: Option<String>,
    pub(super) sizes: Vec<Size>,
}

/// A request on the wire, and how many fit each network.
#[derive(Debug, Serialize)]
pub(super) struct Wire {
    pub(super) name: &'static str,
    /// The Ethernet frame without its check sequence, octets.
    pub(super) frame_octets: u32,
    /// All the time it takes on the wire, in octets.
    pub(super) wire_octets: u32,
    /// Packets a second each way, for each of [`NETWORKS_GBIT`].
    pub(super) per_s: [f64; NETWORKS_GBIT.len()],
}

/// What one core does by one way of serving.
#[derive(Debug, Serialize)]
pub(super) struct Core {
    pub(super) server: String,
    pub(super) ns_per_answer: f64,
    pub(super) softirq_share: f64,
    pub(super) answers_per_s: f64,
    /// Cores that fill each of [`NETWORKS_GBIT`] with requests by IPv4, at best.
    pub(super) cores_to_fill: [f64; NETWORKS_GBIT.len()],
}

/// A machine of so many cores.
#[derive(Debug, Serialize)]
pub(super) struct Size {
    pub(super) cores: u32,
    /// If nothing is lost, and if as much is lost at each doubling as here.
    pub(super) answers_per_s: (f64, f64),
    /// What to plan with: half of the latter.
    pub(super) planned_per_s: f64,
    /// Clients that ask every 64 s, planned.
    pub(super) clients_at_64_s: f64,
    /// And every 1024 s.
    pub(super) clients_at_1024_s: f64,
    /// The slowest of [`NETWORKS_GBIT`] that carries as much by IPv4; `None` if none does.
    pub(super) network_gbit: Option<u32>,
}

impl Model {
    /// What follows from `measurement`.
    pub(super) fn of(measurement: &Measurement) -> Self {
        let wires =
            PACKETS.map(|(name, network, payload)| Wire::of(name, network + payload)).into();
        let cores = measurement.prices.iter().map(Core::of).collect();
        let cheapest = |a: &&Price, b: &&Price| {
            a.core_ns_per_answer.median.total_cmp(&b.core_ns_per_answer.median)
        };
        let best = measurement.prices.iter().min_by(cheapest);
        let kept_per_doubling = best.and_then(|best| kept_per_doubling(measurement, &best.server));
        let size = |cores, best: &Price| Size::of(cores, best, kept_per_doubling.unwrap_or(1.0));
        Self {
            wires,
            cores,
            kept_per_doubling,
            best: best.map(|best| best.server.clone()),
            sizes: best.map(|best| SIZES.map(|cores| size(cores, best)).into()).unwrap_or_default(),
        }
    }
}

/// By the largest number of lanes of `server`.
fn kept_per_doubling(measurement: &Measurement, server: &str) -> Option<f64> {
    let lanes = measurement.lanes.iter().filter(|lanes| lanes.server == server);
    let most = lanes.max_by_key(|lanes| lanes.workers)?;
    let kept = Spread::of(most.times_alone())?.median / most.workers as f64;
    // More than all is chance.
    Some(kept.powf(1.0 / (most.workers as f64).log2()).min(1.0))
}

impl Wire {
    fn of(name: &'static str, datagram_octets: u32) -> Self {
        let frame_octets = ETHERNET_HEADER + datagram_octets;
        let wire_octets = frame_octets + BETWEEN_FRAMES;
        let per_s = NETWORKS_GBIT.map(|gbit| f64::from(gbit) * 1e9 / 8.0 / f64::from(wire_octets));
        Self { name, frame_octets, wire_octets, per_s }
    }
}

impl Core {
    fn of(price: &Price) -> Self {
        let ns_per_answer = price.core_ns_per_answer.median;
        let answers_per_s = 1e9 / ns_per_answer;
        Self {
            server: price.server.clone(),
            ns_per_answer,
            softirq_share: price.softirq_share.median,
            answers_per_s,
            cores_to_fill: plain_ipv4().per_s.map(|line_rate| line_rate / answers_per_s),
        }
    }
}

impl Size {
    fn of(cores: u32, best: &Price, kept_per_doubling: f64) -> Self {
        let perfect = f64::from(cores) * 1e9 / best.core_ns_per_answer.median;
        let kept = kept_per_doubling.powf(f64::from(cores).log2());
        let planned_per_s = perfect * kept / 2.0;
        let line_rates = NETWORKS_GBIT.into_iter().zip(plain_ipv4().per_s);
        Self {
            cores,
            answers_per_s: (perfect, perfect * kept),
            planned_per_s,
            clients_at_64_s: planned_per_s * 64.0,
            clients_at_1024_s: planned_per_s * 1024.0,
            network_gbit: line_rates.into_iter().find(|it| it.1 >= perfect).map(|it| it.0),
        }
    }
}

fn plain_ipv4() -> Wire {
    let (name, network, payload) = PACKETS[0];
    Wire::of(name, network + payload)
}

/// Networks that are looked at, gigabits a second.
pub(super) const NETWORKS_GBIT: [u32; 3] = [10, 25, 100];
/// Machines that are looked at.
const SIZES: [u32; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Packets by name, with the octets of their network and UDP headers, and of their payload (RFC 5905: a
/// header of 48; RFC 8573: a key ID of 4 and a code of 16).
const PACKETS: [(&str, u32, u32); 4] = [
    ("IPv4", 20 + 8, 48),
    ("IPv6", 40 + 8, 48),
    ("IPv4, signed by AES-CMAC", 20 + 8, 48 + 4 + 16),
    ("IPv6, signed by AES-CMAC", 40 + 8, 48 + 4 + 16),
];
/// Two addresses and a type.
const ETHERNET_HEADER: u32 = 14;
/// Check sequence 4, preamble and start 8, gap 12 (IEEE 802.3).
const BETWEEN_FRAMES: u32 = 24;

#[cfg(test)]
mod tests {
    use super::super::lanes::{Carried, Lanes, Round};
    use super::*;
    use crate::place::On;

    fn measurement() -> Measurement {
        let exactly = |figure| Spread { median: figure, min: figure, max: figure };
        let price = |server: &str, ns| Price {
            server: server.to_owned(),
            core_ns_per_answer: exactly(ns),
            softirq_share: exactly(0.4),
        };
        let carried = |answered_per_s| Carried { answered_per_s, core_ns_per_answer: 1.0 };
        let round =
            Round { alone: carried(100.0), together: carried(180.0), separate: carried(190.0) };
        Measurement {
            schema: String::new(),
            machine: String::new(),
            command: Vec::new(),
            on: On::Veth,
            rounds: 1,
            duration_s: 1.0,
            prices: vec![price("dear", 8_000.0), price("cheap", 4_000.0)],
            lanes: vec![Lanes { server: "cheap".to_owned(), workers: 2, rounds: vec![round] }],
        }
    }

    #[test]
    fn line_rates_are_those_of_the_standard() {
        let wires = Model::of(&measurement()).wires;
        assert_eq!((wires[0].frame_octets, wires[0].wire_octets), (90, 114));
        assert_eq!((wires[1].frame_octets, wires[1].wire_octets), (110, 134));
        // 10 Gbit/s in packets of 114 octets.
        assert_eq!(wires[0].per_s[0].round(), 10_964_912.0);
    }

    #[test]
    fn each_doubling_loses_what_the_lanes_lost() {
        let model = Model::of(&measurement());
        assert_eq!(model.best.as_deref(), Some("cheap"));
        assert!((model.kept_per_doubling.unwrap() - 0.9).abs() < 1e-12);
        let four = &model.sizes[2];
        assert_eq!(four.answers_per_s.0, 1e6);
        assert!((four.answers_per_s.1 - 810_000.0).abs() < 1e-6, "{four:?}");
        assert!((four.clients_at_64_s - 405_000.0 * 64.0).abs() < 1e-3);
    }

    #[test]
    fn a_network_is_wide_enough_or_there_is_none() {
        let networks: Vec<_> =
            Model::of(&measurement()).sizes.iter().map(|it| it.network_gbit).collect();
        assert_eq!(networks[0], Some(10));
        // 128 cores of 250 000 answers are 32 million.
        assert_eq!(networks[7], Some(100));
    }
}
