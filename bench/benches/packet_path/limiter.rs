//! What limits cost a request.
//!
//! Must never: ask in an order that a cache could learn.

use std::net::{Ipv4Addr, SocketAddr};

use criterion::Criterion;
use timeball_responder::{Announcement, LimitMode, Limiter, Verdict, answer};
use timeball_wire::Datagram;

use crate::fixture::{NOW, datagram, limiting, request, snapshot};

/// What limits cost: a request answered without them, from a client that was just heard (hot), and from one
/// of a million in an order that no cache knows (cold). The limiter is the difference.
pub(crate) fn ask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer one request, with limits");
    for (name, mode, clients) in [
        ("off", LimitMode::Off, 1),
        ("hot", LimitMode::Observe, 1),
        ("cold, 1 000 000 clients", LimitMode::Observe, 1_000_000),
    ] {
        let policy = limiting(mode);
        let mut limiter = Limiter::new(&policy.limits);
        let snapshot = snapshot(0);
        let announcement = Announcement::at(&snapshot, NOW);
        let mut number = 0_u32;
        let mut ask = || {
            number = number.wrapping_add(1) % clients;
            // An odd factor visits every address once, in no order that a cache could learn.
            let address =
                Ipv4Addr::from_bits(0x0100_0000 + number.wrapping_mul(0x9E37_79B1) % 0xD000_0000);
            let mut bytes = request();
            let source = SocketAddr::new(address.into(), 40_000);
            let mut datagram = Datagram { source, ..datagram(&mut bytes) };
            answer(&announcement, &snapshot, &policy, &mut limiter, NOW, &mut datagram)
        };
        // Everybody has been heard before.
        assert!((0..clients).all(|_| matches!(ask(), Verdict::Reply { .. })));
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(matches!(ask(), Verdict::Reply { .. })));
        });
    }
    group.finish();
}
