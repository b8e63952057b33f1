//! Rules and limits: whom the program refuses is whom the workers would, and for the same reason.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use timeball_responder::{
    Access, AccessRule, Announcement, DropReason, HashKey, LimitMode, LimitSettings, Limiter,
    Limits, Network, Policy, Restrictions, Verdict as Judged, answer,
};
use timeball_sys::xdp::{Counts, Guard, Outcome, Program, Verdict};
use timeball_time::{Interval, Realtime, Timestamp};
use timeball_wire::Datagram;

use crate::bench::{Bench, client_of, endpoints, request};
use crate::frame::Frame;
use crate::random::Random;

const ALL: [Restrictions; 6] = [
    Restrictions::NO_TIME,
    Restrictions::NO_QUERY,
    Restrictions::KEYED_ONLY,
    Restrictions::CURRENT_VERSION_ONLY,
    Restrictions::LIMITED,
    Restrictions::KISSED,
];

/// A program with a snapshot, and what it counts.
struct Counted {
    bench: Bench,
    counts: Counts,
}

impl Counted {
    /// Runs the program on `frame` and says what became of it.
    fn outcome(&self, frame: &Frame) -> (Verdict, Outcome) {
        let before = self.counts.tally();
        let (verdict, _) = self.bench.run_through(&frame.bytes());
        let after = self.counts.tally();
        let beside =
            [Outcome::Unsynchronised, Outcome::Leaked, Outcome::Observed, Outcome::Forgotten];
        let mut counted = Outcome::ALL.into_iter().filter(|outcome| {
            !beside.contains(outcome) && after.of(*outcome) != before.of(*outcome)
        });
        let outcome = counted.next().expect("every frame is counted");
        assert_eq!(counted.next(), None, "and once");
        (verdict, outcome)
    }
}

/// A program that remembers `clients` clients, and where its policy is put.
fn guarded(clients: usize) -> Option<(Counted, Guard)> {
    let mut bench = Bench::of(|| Program::guarded(clients))?;
    bench.publish(bench.snapshot);
    let guard = bench.program.guard().expect("its memory");
    let counts = bench.program.counts().expect("its memory");
    Some((Counted { bench, counts }, guard))
}

fn put(guard: &mut Guard, policy: &Policy) {
    let words = policy.to_words();
    guard.write(words.head, &words.rules).expect("there is room");
}

/// A plain request from `source` to an endpoint of its family.
fn plain(source: SocketAddr, version: u8) -> Frame {
    let endpoint = endpoints()[usize::from(source.is_ipv6())];
    Frame::to(&endpoint, source, &request(version, 6, 1))
}

/// What a worker would do with the request of `frame` at the moment `now`.
fn judged(
    bench: &Bench,
    policy: &Policy,
    limiter: &mut Limiter,
    frame: &Frame,
    now: Timestamp<Realtime>,
) -> Judged {
    let announcement = Announcement::at(&bench.snapshot, now);
    let caller = limiter.caller(frame.from.ip());
    let mut bytes = frame.payload.clone();
    let (source, received) = (frame.from, Some(now));
    let mut datagram = Datagram { source, received, bytes: &mut bytes, truncated: false };
    answer(&announcement, &bench.snapshot, policy, limiter, caller, now, &mut datagram)
}

/// What the program is to do with a frame for which a worker does that.
fn expected(judged: Judged, version: u8) -> (Verdict, Outcome) {
    match judged {
        Judged::Reply { answered, .. } if answered.kiss => (Verdict::Pass, Outcome::Kissable),
        Judged::Reply { .. } if version == 3 => (Verdict::Transmit, Outcome::AnsweredV3),
        Judged::Reply { .. } => (Verdict::Transmit, Outcome::AnsweredV4),
        Judged::Drop(DropReason::Access) => (Verdict::Drop, Outcome::Access),
        Judged::Drop(DropReason::Version) => (Verdict::Drop, Outcome::Version),
        Judged::Drop(DropReason::Limited) => (Verdict::Drop, Outcome::Limited),
        Judged::Drop(other) => panic!("{other:?} of a plain request"),
    }
}

/// Any network: few bits vary, so that many of them nest.
fn network(random: &mut Random) -> Network {
    let length = random.below(129) as u8;
    if random.below(2) == 0 {
        let address = Ipv4Addr::from_bits(0x0A00_0000 | random.next() as u32 & 0x0103_0F0F);
        return Network::new(address.into(), length % 33).expect("32 at most");
    }
    let mut drawn = |mask: u64| u128::from(random.next() & mask);
    let low = drawn(0x0F03) | drawn(0x1_0003) << 60;
    let address = Ipv6Addr::from_bits(0x2001_0db8 << 96 | low);
    Network::new(address.into(), length).expect("128 at most")
}

fn rule(random: &mut Random) -> AccessRule {
    let one = |random: &mut Random| ALL[random.below(ALL.len())];
    let mut restrictions = Restrictions::NONE;
    for _ in 0..random.below(3) {
        restrictions = restrictions | one(random);
    }
    AccessRule { network: network(random), from_ntp_port: random.below(4) == 0, restrictions }
}

/// Whether somebody can ask from there, over a wire.
fn is_host(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => (1..224).contains(&ip.octets()[0]) && !ip.is_loopback(),
        IpAddr::V6(ip) => ip.to_bits() >> 64 != 0 && !ip.is_multicast(),
    }
}

/// First and last address of a network, and their neighbours outside it.
fn edges(network: Network) -> [IpAddr; 4] {
    let length = u32::from(network.length());
    match network.address() {
        IpAddr::V4(first) => {
            let first = first.to_bits();
            let last = first | u32::MAX.checked_shr(length).unwrap_or(0);
            let all = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
            all.map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        IpAddr::V6(first) => {
            let first = first.to_bits();
            let last = first | u128::MAX.checked_shr(length).unwrap_or(0);
            let all = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
            all.map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    }
}

#[test]
fn whoever_a_rule_refuses_is_refused_in_the_driver_for_the_same_reason() {
    let Some((program, mut guard)) = guarded(8) else { return };
    let mut seen = [0; Outcome::ALL.len()];
    for seed in 0..150 {
        let random = &mut Random(seed);
        let rules: Vec<_> = (0..random.below(40)).map(|_| rule(random)).collect();
        let policy = Policy { access: Access::new(&rules), ..Policy::default() };
        put(&mut guard, &policy);
        let drawn = (0..4).map(|_| network(random).address());
        let sources = rules.iter().flat_map(|rule| edges(rule.network)).chain(drawn);
        for address in sources.filter(is_host).collect::<Vec<_>>() {
            let (port, version) = ([123, 40_000][random.below(2)], 3 + random.below(2) as u8);
            let frame = plain(SocketAddr::new(address, port), version);
            let now = program.bench.now();
            let wanted = judged(&program.bench, &policy, &mut Limiter::default(), &frame, now);
            let got = program.outcome(&frame);
            assert_eq!(got, expected(wanted, version), "{seed}: {address} port {port}: {rules:?}");
            seen[got.1 as usize] += 1;
        }
    }
    for outcome in [Outcome::AnsweredV3, Outcome::AnsweredV4, Outcome::Access, Outcome::Version] {
        assert!(seen[outcome as usize] > 100, "{outcome:?}: {seen:?}");
    }
}

/// A policy with these limits for everybody; `rest` is what else is withheld.
fn limiting(settings: LimitSettings, key: HashKey, rest: Restrictions) -> Policy {
    let rules = ["0.0.0.0", "::"].map(|address| AccessRule {
        network: Network::new(address.parse().expect("an address"), 0).expect("no bits"),
        from_ntp_port: false,
        restrictions: Restrictions::LIMITED | rest,
    });
    let limits = Limits::new(&settings, key);
    Policy { access: Access::new(&rules), limits, ..Policy::default() }
}

/// One of a few clients: some in one /64, and some of those in one /48.
fn client(random: &mut Random, crowd: usize) -> IpAddr {
    let number = random.below(crowd) as u128;
    if random.below(2) == 0 {
        return Ipv4Addr::from_bits(0x0A00_0000 + number as u32).into();
    }
    let site = 0x2001_0db8_0000 + number % 2;
    Ipv6Addr::from_bits(site << 80 | (number / 2) << 64 | random.below(3) as u128).into()
}

fn settings(random: &mut Random) -> LimitSettings {
    let longest = [1 << 20, 1 << 36][random.below(2)];
    LimitSettings {
        mode: [LimitMode::On, LimitMode::On, LimitMode::Observe, LimitMode::Off][random.below(4)],
        interval: Interval::from_nanos(random.within(100_000, longest)),
        burst: NonZeroU32::MIN.saturating_add(random.below(6) as u32),
        // By chance nobody is answered.
        leak: NonZeroU32::MAX,
        clients: [8, 32, 256][random.below(3)],
    }
}

/// Requests of a drawn crowd at drawn moments, judged by both; returns how many could be compared.
///
/// The moment is the program's to read, in ticks of 2^16 ns. Where it may have been either of two, what is
/// remembered from then on may differ, and the comparison ends.
fn compare(random: &mut Random, seen: &mut [u64; Outcome::ALL.len()]) -> usize {
    const TICK: i64 = 1 << 16;
    let (settings, key) = (settings(random), HashKey([random.next(), random.next()]));
    let policy = limiting(settings, key, Restrictions::NONE);
    let Some((mut program, mut guard)) = guarded(settings.clients) else { return usize::MAX };
    put(&mut guard, &policy);
    let mut limiter = Limiter::new(&policy.limits);
    let crowd = [2, 6, 2_000][random.below(3)];
    let mut tick = 1_764_000_000_000_000_000 / TICK;
    let mut compared = 0;
    while compared < 1_000 {
        let pause = settings.interval.nanos() / TICK + 1;
        let longest = [1, pause / 8, pause][random.below(3)];
        tick += random.within(0, longest + 1);
        if random.below(200) == 0 {
            // Somebody sets the clock back.
            tick -= random.within(0, 100 * pause);
        }
        let frame = plain(SocketAddr::new(client(random, crowd), 40_000), 4);
        program.bench.set_clock(Timestamp::from_nanos(tick * TICK));
        let got = program.outcome(&frame);
        if program.bench.now().nanos() / TICK != tick {
            break;
        }
        let now = Timestamp::from_nanos(tick * TICK);
        let wanted = judged(&program.bench, &policy, &mut limiter, &frame, now);
        assert_eq!(got, expected(wanted, 4), "{compared}: {} by {settings:?}", frame.from);
        let (own, theirs) = (program.counts.tally(), limiter.tally());
        let counted = [Outcome::Observed, Outcome::Forgotten].map(|outcome| own.of(outcome));
        assert_eq!(counted, [theirs.observed, theirs.forgotten], "{compared}: {settings:?}");
        seen[got.1 as usize] += 1;
        compared += 1;
    }
    let own = program.counts.tally();
    seen[Outcome::Observed as usize] += own.of(Outcome::Observed);
    seen[Outcome::Forgotten as usize] += own.of(Outcome::Forgotten);
    compared
}

#[test]
fn the_limits_of_the_driver_are_the_limiters_to_the_tick() {
    // The ledger is one of each processor.
    timeball_sys::pin(timeball_sys::allowed_cores()[0]).expect("one of ours");
    let (begun, mut compared, mut seen) = (Instant::now(), 0usize, [0; Outcome::ALL.len()]);
    let mut seeds = 0..;
    while compared < COMPARED || JUDGEMENTS.iter().any(|outcome| seen[*outcome as usize] < 100) {
        let random = &mut Random(seeds.next().expect("no end"));
        compared = compared.saturating_add(compare(random, &mut seen));
        if compared == usize::MAX {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "no more than {compared} compared: {seen:?}");
    }
}

const JUDGEMENTS: [Outcome; 4] =
    [Outcome::AnsweredV4, Outcome::Limited, Outcome::Observed, Outcome::Forgotten];
/// Requests compared, at least.
const COMPARED: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// What is hardly ever whole again.
const STRICT: LimitSettings = LimitSettings {
    mode: LimitMode::On,
    interval: Interval::from_secs(1_000),
    burst: NonZeroU32::MIN,
    leak: NonZeroU32::new(4).expect("not zero"),
    clients: 64,
};

#[test]
fn one_in_four_over_the_limit_is_answered_by_chance() {
    let Some((program, mut guard)) = guarded(64) else { return };
    put(&mut guard, &limiting(STRICT, HashKey([1, 2]), Restrictions::NONE));
    let frame = plain(client_of(&endpoints()[0]), 4).bytes();
    for _ in 0..8_000 {
        program.bench.run_through(&frame);
    }
    let tally = program.counts.tally();
    let (answered, leaked, limited) =
        (tally.answered(), tally.of(Outcome::Leaked), tally.of(Outcome::Limited));
    assert_eq!(answered + limited, 8_000);
    // One for each processor that the thread has been on.
    assert!(answered > leaked && answered - leaked <= 1_024, "{tally:?}");
    // Six standard deviations.
    assert!((1_600..2_400).contains(&leaked), "{tally:?}");
}

#[test]
fn who_may_be_told_that_it_asks_too_often_is_told_by_workers() {
    let Some((program, mut guard)) = guarded(64) else { return };
    put(&mut guard, &limiting(STRICT, HashKey([1, 2]), Restrictions::KISSED));
    for endpoint in endpoints() {
        let frame = Frame::to(&endpoint, client_of(&endpoint), &request(3, 6, 1)).bytes();
        for _ in 0..500 {
            assert_ne!(program.bench.run_through(&frame).0, Verdict::Drop);
        }
    }
    let tally = program.counts.tally();
    assert_eq!(tally.answered() + tally.of(Outcome::Kissable), 2_000);
    assert!(tally.of(Outcome::Kissable) > 0 && tally.of(Outcome::Leaked) == 0, "{tally:?}");
}

#[test]
fn without_a_policy_or_with_too_many_rules_workers_answer() {
    let Some((program, mut guard)) = guarded(8) else { return };
    let frame = plain(client_of(&endpoints()[0]), 4);
    assert_eq!(program.outcome(&frame), (Verdict::Pass, Outcome::Rules));
    put(&mut guard, &Policy::default());
    assert_eq!(program.outcome(&frame), (Verdict::Transmit, Outcome::AnsweredV4));
    let mut words = Policy::default().to_words();
    words.rules.resize(timeball_sys::xdp::RULES_MAX + 1, [0; 2]);
    assert!(guard.write(words.head, &words.rules).is_err());
    assert_eq!(program.outcome(&frame), (Verdict::Pass, Outcome::Rules));
    put(&mut guard, &Policy::default());
    assert_eq!(program.outcome(&frame), (Verdict::Transmit, Outcome::AnsweredV4));
}

#[test]
fn ten_thousand_rules_have_room_and_are_found() {
    let Some((program, mut guard)) = guarded(8) else { return };
    let random = &mut Random(7);
    let rules: Vec<_> = (0..10_000)
        .map(|n: u32| {
            let address: IpAddr = if n.is_multiple_of(2) {
                Ipv4Addr::from_bits(0x0100_0000 | (random.next() as u32) >> 2).into()
            } else {
                Ipv6Addr::from_bits(0x2000 << 112 | u128::from(random.next()) << 50).into()
            };
            let length = 8 + random.below(if address.is_ipv4() { 25 } else { 57 }) as u8;
            let network = Network::new(address, length).expect("short enough");
            let restrictions = [Restrictions::NO_TIME, Restrictions::NONE][random.below(2)];
            AccessRule { network, from_ntp_port: n.is_multiple_of(16), restrictions }
        })
        .collect();
    let policy = Policy { access: Access::new(&rules), ..Policy::default() };
    put(&mut guard, &policy);
    for rule in &rules {
        for address in edges(rule.network).into_iter().filter(is_host) {
            let frame = plain(SocketAddr::new(address, 123), 4);
            let wanted = judged(
                &program.bench,
                &policy,
                &mut Limiter::default(),
                &frame,
                program.bench.now(),
            );
            assert_eq!(program.outcome(&frame), expected(wanted, 4), "{address}");
        }
    }
}

/// Two tables that agree about those from 10.1/16, who have the time, and from 10.2/16, who have not.
fn tables() -> [Policy; 2] {
    [7u64, 8].map(|seed| {
        let random = &mut Random(seed);
        let mut rules: Vec<_> = (0..2_000).map(|_| rule(random)).collect();
        let agreed = |second| Network::new(Ipv4Addr::new(10, second, 0, 0).into(), 16).expect("16");
        rules.retain(|rule| {
            rule.network.length() < 16
                || ![agreed(1), agreed(2)].iter().any(|own| own.contains(rule.network.address()))
        });
        for (second, restrictions) in [(1, Restrictions::NONE), (2, Restrictions::NO_TIME)] {
            let rule =
                |from_ntp_port| AccessRule { network: agreed(second), from_ntp_port, restrictions };
            rules.extend([rule(false), rule(true)]);
        }
        Policy { access: Access::new(&rules), ..Policy::default() }
    })
}

#[test]
fn nobody_is_without_rules_while_they_change() {
    let Some((program, mut guard)) = guarded(8) else { return };
    let words = tables().map(|policy| policy.to_words());
    guard.write(words[0].head, &words[0].rules).expect("room");
    let frames = |second: u8| -> Vec<_> {
        let source = |last| SocketAddr::new(Ipv4Addr::new(10, second, 3, last).into(), 40_000);
        (0..16).map(|last| plain(source(last), 4).bytes()).collect()
    };
    let (mut changes, done) = (0u64, AtomicBool::new(false));
    let (served, refused) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut served, mut refused) = (0u64, 0u64);
            while !done.load(Ordering::Relaxed) {
                for frame in frames(1) {
                    let (verdict, _) = program.bench.run_through(&frame);
                    assert_ne!(verdict, Verdict::Drop, "it has the time by both");
                    served += u64::from(verdict == Verdict::Transmit);
                }
                for frame in frames(2) {
                    let (verdict, _) = program.bench.run_through(&frame);
                    assert_ne!(verdict, Verdict::Transmit, "it has none by both");
                    refused += u64::from(verdict == Verdict::Drop);
                }
            }
            (served, refused)
        });
        let begun = Instant::now();
        while program.counts.tally().answered() < 20_000 || changes < 2_000 {
            let next = &words[(changes & 1) as usize];
            guard.write(next.head, &next.rules).expect("room");
            changes += 1;
            if asking.is_finished() || begun.elapsed() > PATIENCE {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
        asking.join().expect("each as it must be")
    });
    assert!(served >= 20_000 && refused > 0 && changes >= 2_000, "{served} {refused} {changes}");
}
