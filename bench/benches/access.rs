//! What an access rule costs a worker: one look-up among ten thousand rules. And what it costs the
//! gatekeeper to make such a table.
//!
//! Four shapes of table, because a structure can be fast for one and slow for another: prefixes of all
//! lengths all over the address space, single hosts of one network, both for each family. About half of
//! the addresses looked up, at random, are covered by a rule of their own.
//!
//! Must never: look up addresses in an order that a cache or a branch predictor could learn.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use timeball_responder::{Access, AccessRule, Network, Restrictions};

criterion_group!(benches, look_up);
criterion_main!(benches);

fn look_up(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access, 10 000 rules");
    for (name, make) in SHAPES {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let networks: Vec<Network> = (0..RULES).map(|_| make(&mut random)).collect();
        let rules: Vec<_> = networks.iter().map(|&network| no_time(network)).collect();
        let access = Access::new(&rules);
        let sources: Vec<SocketAddr> = (0..LOOK_UPS)
            .map(|_| {
                let network = networks[random.below(RULES as u64) as usize];
                let covered = random.below(2) == 0;
                let ip = if covered { network.address() } else { make(&mut random).address() };
                SocketAddr::new(ip, 40_000)
            })
            .collect();
        let withheld = |source: &SocketAddr| {
            access.restrictions(black_box(source)).contains(Restrictions::NO_TIME)
        };
        let expected = sources.iter().filter(|source| withheld(source)).count();
        assert!((LOOK_UPS * 4 / 10..LOOK_UPS).contains(&expected));
        group.throughput(Throughput::Elements(LOOK_UPS as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let found = sources.iter().filter(|source| withheld(source)).count();
                assert_eq!(found, expected);
            });
        });
        group.throughput(Throughput::Elements(RULES as u64));
        group.bench_function(format!("{name}, the table made"), |bencher| {
            bencher.iter(|| Access::new(black_box(&rules)));
        });
    }
    group.finish();
}

type Make = fn(&mut Random) -> Network;

const SHAPES: [(&str, Make); 4] = [
    ("IPv4 prefixes everywhere", |random| {
        let address = (random.next() as u32).to_be_bytes();
        Network::new(IpAddr::from(address), 8 + random.below(25) as u8).expect("up to 32")
    }),
    ("IPv4 hosts of one /12", |random| {
        let address = 0x0A10_0000 | random.below(1 << 20) as u32;
        Network::host(IpAddr::from(address.to_be_bytes()))
    }),
    ("IPv6 prefixes everywhere", |random| {
        let address = 0x2 << 124 | u128::from(random.next()) << 60 | u128::from(random.next());
        Network::new(IpAddr::from(address.to_be_bytes()), 20 + random.below(109) as u8)
            .expect("up to 128")
    }),
    ("IPv6 networks of one /32", |random| {
        let address = 0x2001_0DB8 << 96 | u128::from(random.below(1 << 32)) << 64;
        Network::new(IpAddr::from(address.to_be_bytes()), 48 + random.below(17) as u8)
            .expect("up to 128")
    }),
];

fn no_time(network: Network) -> AccessRule {
    AccessRule { network, from_ntp_port: false, restrictions: Restrictions::NO_TIME }
}

/// Splitmix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

const RULES: usize = 10_000;
const LOOK_UPS: usize = 32_768;
