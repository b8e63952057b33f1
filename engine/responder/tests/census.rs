//! Who is out there, against the truth: populations of which everything is known.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use timeball_responder::{Caller, Census, Clerk, Clients, HashKey, Reading, TopTalkers};
use timeball_time::{Interval, Realtime, Timestamp};
use timeball_wire::Network;

const NOW: Timestamp<Realtime> = Timestamp::from_nanos(1_764_000_000_000_000_000);
const KEY: HashKey = HashKey([0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344]);
const TOP: usize = 20;

/// A census with its clerk.
fn census() -> (Arc<Census>, Clerk) {
    let census = Arc::new(Census::new(KEY));
    (Arc::clone(&census), Clerk::new(census))
}

/// Notes `sources` in batches of `batch`.
fn note(clerk: &mut Clerk, at: Timestamp<Realtime>, batch: usize, sources: &[IpAddr]) {
    for batch in sources.chunks(batch) {
        clerk.begin(at, batch.len());
        batch.iter().for_each(|&source| clerk.note(source, Caller::of(source, KEY), true));
    }
}

fn after(minutes: i64) -> Timestamp<Realtime> {
    NOW + Interval::from_secs(60 * minutes)
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0A00_0000 + number).into()
}

fn v6(number: u128) -> IpAddr {
    Ipv6Addr::from_bits(0x2001_0DB8 << 96 | number).into()
}

/// Splitmix64 (Steele, Lea and Flood, 2014), as a number from 0 to 1.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }
}

/// `datagrams` from a population in which the k-th client sends 1/k^`exponent` of what the first sends, each
/// in a network of its own.
fn zipf(exponent: f64, population: u32, datagrams: usize, seed: u64) -> Vec<IpAddr> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=population)
        .map(|rank| {
            sum += f64::from(rank).powf(-exponent);
            sum
        })
        .collect();
    let mut random = Random(seed);
    (0..datagrams)
        .map(|_| {
            let drawn = random.draw() * sum;
            v4(256 * sums.partition_point(|&sum| sum < drawn) as u32)
        })
        .collect()
}

fn truth(sources: &[IpAddr]) -> HashMap<Network, u64> {
    let mut truth = HashMap::new();
    for &source in sources {
        *truth.entry(Network::host(source)).or_default() += 1;
    }
    truth
}

/// That everything `top` says is so; with `deviations` of the sampling error allowed.
fn assert_holds(top: &TopTalkers, truth: &HashMap<Network, u64>, deviations: f64) {
    let slack = |count: f64| deviations * ((top.sampled_one_in - 1) as f64 * count).sqrt();
    let datagrams = truth.values().sum::<u64>() as f64;
    assert!((top.datagrams as f64 - datagrams).abs() <= slack(datagrams), "{top:?}");
    assert!(top.talkers.is_sorted_by(|one, next| one.at_least >= next.at_least));
    for talker in &top.talkers {
        let sent = truth[&talker.network] as f64;
        assert!(talker.at_least as f64 <= sent + slack(sent), "{talker:?} sent {sent}");
        assert!(talker.at_most as f64 >= sent - slack(sent), "{talker:?} sent {sent}");
    }
    let listed: Vec<_> = top.talkers.iter().map(|talker| talker.network).collect();
    // Whoever is not listed is either unknown, or no more certain than the last on the list.
    let last = top.talkers.last().map_or(0, |talker| talker.at_most);
    let limit = top.unknown_at_most.max(last) as f64;
    for (network, &sent) in truth.iter().filter(|(network, _)| !listed.contains(network)) {
        assert!(sent as f64 <= limit + slack(limit), "{network} sent {sent}, limit {limit}");
    }
}

#[test]
fn every_bound_holds_for_zipf_populations_of_every_steepness() {
    for exponent in [0.0, 0.6, 1.0, 1.5] {
        let sources = zipf(exponent, 50_000, 400_000, 7);
        let truth = truth(&sources);
        for batch in [1, 64] {
            let (census, mut clerk) = census();
            note(&mut clerk, NOW, batch, &sources);
            let reading = Reading::of(&[&census], NOW, TOP);
            assert_eq!(reading.addresses.sampled_one_in, if batch == 1 { 1 } else { 16 });
            assert_holds(&reading.addresses, &truth, if batch == 1 { 0.0 } else { 5.0 });
            let found = reading.last_hour.ipv4 as f64 / truth.len() as f64;
            assert!((found - 1.0).abs() < 4.0 * Clients::ERROR, "{exponent}: {found}");
            assert_eq!(reading.last_hour.ipv6, 0);
        }
    }
}

#[test]
fn heavy_senders_are_found_in_their_order_behind_a_million_strangers() {
    let mut sources: Vec<_> = (0..1_000_000).map(|number| v4(number << 4)).collect();
    let heavy: Vec<_> = (0..10).map(|number: u128| v6(number << 80)).collect();
    for (rank, &source) in heavy.iter().enumerate() {
        sources.extend(std::iter::repeat_n(source, 20_000 * (10 - rank)));
    }
    let mut random = Random(3);
    for place in (1..sources.len()).rev() {
        sources.swap(place, (random.draw() * place as f64) as usize);
    }
    for batch in [1, 20, 64] {
        let (census, mut clerk) = census();
        note(&mut clerk, NOW, batch, &sources);
        let reading = Reading::of(&[&census], NOW, 10);
        let found: Vec<_> = reading.addresses.talkers.iter().map(|one| one.network).collect();
        let expected: Vec<_> = heavy.iter().copied().map(Network::host).collect();
        assert_eq!(found, expected, "{batch}: {reading:#?}");
        let found = reading.networks.talkers.iter().map(|one| (one.network.length(), one.network));
        let expected = heavy.iter().map(|&one| (48, Network::new(one, 48).unwrap()));
        assert!(found.eq(expected), "{batch}: {:#?}", reading.networks);
    }
}

#[test]
fn a_host_that_changes_its_address_is_one_client_and_one_network() {
    let (census, mut clerk) = census();
    let sources: Vec<_> = (0..5000).map(|number| v6(0xABCD << 64 | number)).collect();
    note(&mut clerk, NOW, 1, &sources);
    let reading = Reading::of(&[&census], NOW, TOP);
    assert_eq!(reading.last_hour, Clients { ipv4: 0, ipv6: 1 });
    let network = &reading.networks.talkers[0];
    assert_eq!((network.network, network.at_least), (Network::new(v6(0), 48).unwrap(), 5000));
}

#[test]
fn those_who_get_no_answer_send_but_are_no_clients() {
    let (census, mut clerk) = census();
    clerk.begin(NOW, 2);
    clerk.note(v4(1), Caller::of(v4(1), KEY), false);
    clerk.note(v4(2), Caller::of(v4(2), KEY), true);
    let reading = Reading::of(&[&census], NOW, TOP);
    assert_eq!(reading.last_hour, Clients { ipv4: 1, ipv6: 0 });
    assert_eq!((reading.addresses.datagrams, reading.addresses.talkers.len()), (2, 2));
}

#[test]
fn workers_are_put_together_without_counting_anybody_twice() {
    let parts = [census(), census(), census()];
    let sources = zipf(1.0, 20_000, 90_000, 1);
    let mut censuses = Vec::new();
    for ((census, mut clerk), share) in parts.into_iter().zip(sources.chunks(30_000)) {
        note(&mut clerk, NOW, 1, share);
        censuses.push(census);
    }
    let censuses: Vec<&Census> = censuses.iter().map(|census| &**census).collect();
    let reading = Reading::of(&censuses, NOW, TOP);
    let truth = truth(&sources);
    assert_holds(&reading.addresses, &truth, 0.0);
    let found = reading.last_hour.ipv4 as f64 / truth.len() as f64;
    assert!((found - 1.0).abs() < 4.0 * Clients::ERROR, "{found}");
    assert_eq!(Reading::of(&[], NOW, TOP), Reading::default());
}

#[test]
fn what_is_past_is_forgotten_in_time() {
    let (census, mut clerk) = census();
    // A client of its own in each of 30 hours, and nobody in between.
    for hour in 0..30 {
        note(&mut clerk, after(60 * hour), 1, &[v4(hour as u32)]);
    }
    let clients = |minutes| {
        let reading = Reading::of(&[&census], after(minutes), TOP);
        (reading.last_hour.ipv4, reading.last_day.ipv4, reading.addresses.datagrams)
    };
    assert_eq!(clients(29 * 60), (1, 24, 1));
    assert_eq!(clients(29 * 60 + 9), (1, 24, 1), "the slice before is still told of");
    assert_eq!(clients(29 * 60 + 10), (1, 24, 0));
    assert_eq!(clients(29 * 60 + 59), (1, 24, 0));
    assert_eq!(clients(30 * 60), (0, 23, 0), "although the clerk has had nothing to write since");
    assert_eq!(clients(52 * 60), (0, 1, 0));
    assert_eq!(clients(53 * 60), (0, 0, 0));
}

#[test]
fn a_clock_that_jumps_costs_what_it_jumps_over_and_nothing_else() {
    let (census, mut clerk) = census();
    for minutes in [0, 1_000_000, -50_000_000, 3] {
        note(&mut clerk, after(minutes), 1, &[v4(1), v4(2)]);
        let reading = Reading::of(&[&census], after(minutes), TOP);
        assert_eq!((reading.last_hour.ipv4, reading.last_day.ipv4), (2, 2), "{minutes}");
        assert_eq!(reading.addresses.datagrams, 2, "{minutes}");
    }
}

#[test]
fn a_reader_beside_the_writer_sees_nothing_that_never_was() {
    let (census, mut clerk) = census();
    let done = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&done);
    let writer = std::thread::spawn(move || {
        let mut round = 0;
        // Each address sends ten times in each slice; pages turn all the time.
        while !ended.load(Ordering::Relaxed) {
            let sources: Vec<_> = (0..2000u32).map(|number| v4(number / 10)).collect();
            note(&mut clerk, after(5 * (round % 100)), 1, &sources);
            round += 1;
        }
        round
    });
    for reading in 0..400 {
        let reading = Reading::of(&[&census], after(5 * (reading % 100)), TOP);
        for talker in &reading.addresses.talkers {
            let known = (0..200).any(|number| talker.network == Network::host(v4(number)));
            assert!(known && talker.at_least <= 20, "{talker:?}");
        }
        assert!(reading.last_day.ipv4 <= 220, "{:?}", reading.last_day);
    }
    done.store(true, Ordering::Relaxed);
    assert!(writer.join().unwrap() > 0);
}
