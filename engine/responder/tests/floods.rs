//! Floods against the worker itself, in simulated time: who floods, and what it costs everybody else.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use crossbeam::utils::CachePadded;
use timeball_responder::{
    Access, AccessRule, Caller, Counters, DropReason, HashKey, LimitMode, LimitSettings, Limits,
    Network, Policy, PolicySender, Restrictions, Totals, Worker, worker_exchange,
};
use timeball_time::{Interval, Publisher, Realtime, Snapshot, Timestamp};
use timeball_wire::{
    Algorithm, BATCH_MAX, Datagram, Flags, HEADER_LEN, Header, IoTally, Key, KeyId, Keys, Mode,
    PacketIo, Trusted, Wait,
};

const NOW: Timestamp<Realtime> = Timestamp::from_nanos(1_764_000_000_000_000_000);
const KEY: HashKey = HashKey([0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344]);

/// One request at a time: who asks, when, what; and the reply.
struct Desk {
    worker: Worker<Line>,
    counters: Arc<CachePadded<Counters>>,
    sender: PolicySender,
    line: Arc<std::sync::Mutex<Talk>>,
    _publisher: Publisher,
}

#[derive(Default)]
struct Talk {
    now: Option<Timestamp<Realtime>>,
    asked: Vec<(SocketAddr, Vec<u8>)>,
    replies: Vec<(SocketAddr, Vec<u8>)>,
}

/// The carrier of a [`Desk`].
struct Line {
    talk: Arc<std::sync::Mutex<Talk>>,
    batch: Vec<(SocketAddr, Vec<u8>)>,
    wanted: Vec<(usize, usize)>,
}

impl PacketIo for Line {
    type Error = Infallible;

    fn now(&self) -> Timestamp<Realtime> {
        self.talk.lock().unwrap().now.unwrap()
    }

    fn receive(&mut self, _: Wait) -> Result<usize, Infallible> {
        let mut talk = self.talk.lock().unwrap();
        let taken = talk.asked.len().min(BATCH_MAX);
        self.batch = talk.asked.drain(..taken).collect();
        Ok(taken)
    }

    fn datagram(&mut self, index: usize) -> Datagram<'_> {
        let now = self.now();
        let (source, bytes) = &mut self.batch[index];
        Datagram { source: *source, received: Some(now), bytes, truncated: false }
    }

    fn reply(&mut self, index: usize, len: usize) {
        self.wanted.push((index, len));
    }

    fn send(
        &mut self,
        stamp: &mut impl FnMut(&mut [u8], Timestamp<Realtime>),
    ) -> Result<(), Infallible> {
        let now = self.now();
        for (index, len) in self.wanted.drain(..) {
            let (source, bytes) = &mut self.batch[index];
            stamp(&mut bytes[..len], now);
            self.talk.lock().unwrap().replies.push((*source, bytes[..len].to_vec()));
        }
        Ok(())
    }

    fn tally(&self) -> IoTally {
        IoTally::default()
    }
}

impl Desk {
    fn new(policy: Policy) -> Self {
        let publisher = Publisher::new(Snapshot::unsynchronised(NOW, -24));
        let counters: Arc<CachePadded<Counters>> = Arc::default();
        let (sender, receiver) = worker_exchange(Arc::new(policy));
        let line = Arc::new(std::sync::Mutex::new(Talk::default()));
        let io = Line { talk: Arc::clone(&line), batch: Vec::new(), wanted: Vec::new() };
        let worker = Worker::new(io, publisher.reader(), receiver, Arc::clone(&counters));
        Self { worker, counters, sender, line, _publisher: publisher }
    }

    /// One worker that goes by `settings` for everybody.
    fn limiting(settings: LimitSettings) -> Self {
        Self::new(policy(settings, Restrictions::LIMITED))
    }

    /// Serves `asked` at the moment `now`; the replies.
    fn serve(
        &mut self,
        now: Timestamp<Realtime>,
        asked: Vec<(SocketAddr, Vec<u8>)>,
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut talk = self.line.lock().unwrap();
        talk.now = Some(now);
        talk.asked = asked;
        drop(talk);
        while self.worker.turn(Wait::Poll) != Ok(0) {}
        std::mem::take(&mut self.line.lock().unwrap().replies)
    }

    /// Whether `client` is answered at `seconds` from the start.
    fn answers(&mut self, client: impl Into<IpAddr>, seconds: f64) -> bool {
        let source = SocketAddr::new(client.into(), 40_000);
        !self.serve(at(seconds), vec![(source, request())]).is_empty()
    }

    fn totals(&self) -> Totals {
        self.counters.totals()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.totals().dropped[reason as usize]
    }
}

fn at(seconds: f64) -> Timestamp<Realtime> {
    NOW + Interval::from_secs_f64(seconds)
}

fn request() -> Vec<u8> {
    let header =
        Header::new(Flags { leap: timeball_time::Leap::None, version: 4, mode: Mode::Client });
    Header { poll: 6, ..header }.encode().to_vec()
}

/// As shipped, but for a table that is not so large.
fn usual() -> LimitSettings {
    LimitSettings { clients: 1 << 16, ..LimitSettings::USUAL }
}

/// A request every 8 s, 8 at once: as strict as ntpd.
fn strict() -> LimitSettings {
    let burst = NonZeroU32::new(8).unwrap();
    LimitSettings { interval: Interval::from_secs(8), burst, ..usual() }
}

fn policy(settings: LimitSettings, everybody: Restrictions) -> Policy {
    let rule = |address: IpAddr| AccessRule {
        network: Network::new(address, 0).unwrap(),
        from_ntp_port: false,
        restrictions: everybody,
    };
    let rules = [rule(Ipv4Addr::UNSPECIFIED.into()), rule(Ipv6Addr::UNSPECIFIED.into())];
    let limits = Limits::new(&settings, KEY);
    Policy { access: Access::new(&rules), limits, ..Policy::default() }
}

const VICTIM: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn v4(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0A00_0000 + number)
}

fn v6(site: u16, network: u16, host: u64) -> Ipv6Addr {
    let network = 0x2001_0DB8_u128 << 32 | u128::from(site) << 16 | u128::from(network);
    Ipv6Addr::from_bits(network << 64 | u128::from(host))
}

#[test]
fn a_spoofer_cannot_silence_its_victim() {
    let mut desk = Desk::limiting(usual());
    let mut answered = 0;
    for poll in 0..100 {
        // Polls have some jitter; the spoofer sends 100/s, long before and until the poll.
        let poll_at = f64::from(poll) * 64.0 + f64::from(poll * 37 % 100) * 0.017;
        for k in (0..400).rev() {
            desk.answers(VICTIM, poll_at - 0.01 * f64::from(k) - 0.003);
        }
        answered += u32::from(desk.answers(VICTIM, poll_at));
    }
    assert!((15..=60).contains(&answered), "{answered} of 100");
}

#[test]
fn who_asks_too_often_gets_its_allowance_and_a_quarter_of_the_rest() {
    for (client, name) in [(IpAddr::from(VICTIM), "IPv4"), (v6(1, 1, 1).into(), "IPv6")] {
        let mut desk = Desk::limiting(usual());
        // 20 000/s for 5 s.
        let answered = (0..100_000).filter(|&k| desk.answers(client, f64::from(k) * 50e-6)).count();
        let usual = LimitSettings::USUAL;
        let allowed = 5.0 / usual.interval.as_secs_f64() + f64::from(usual.burst.get());
        let expected = allowed + (100_000.0 - allowed) / 4.0;
        assert!((answered as f64 - expected).abs() < 0.01 * 100_000.0, "{name}: {answered}");
        assert_eq!(desk.dropped(DropReason::Limited) + answered as u64, 100_000);
        assert!((desk.totals().limiter.leaked as f64 - (expected - allowed)).abs() < 1_000.0);
    }
}

#[test]
fn what_decent_clients_do_is_within_the_limits() {
    let burst = |count: i32, every: f64| (0..count).map(move |k| f64::from(k) * every);
    let monitors: Vec<f64> =
        (0..8).flat_map(|k| burst(3, 2.0).map(move |t| t + 0.1 * f64::from(k))).collect();
    let behind_nat: Vec<f64> = (0..5_000).map(|k| f64::from(k) * 0.1).collect();
    let patterns: [(&str, Vec<f64>); 6] = [
        ("ntpd's iburst", burst(8, 2.0).collect()),
        ("chronyd's iburst", burst(4, 2.0).collect()),
        ("ntpdate", burst(8, 0.0).collect()),
        ("eight pool monitors behind one address", monitors),
        ("ten a second for ever, behind one address", behind_nat),
        ("sixty-four at once, behind one address", burst(64, 0.0).collect()),
    ];
    for (name, mut times) in patterns {
        times.sort_unstable_by(f64::total_cmp);
        let mut desk = Desk::limiting(usual());
        assert!(times.iter().all(|&t| desk.answers(VICTIM, t)), "{name}");
    }
}

#[test]
fn another_port_or_address_of_the_same_network_is_the_same_client() {
    let mut desk = Desk::limiting(strict());
    let ask = |desk: &mut Desk, source: SocketAddr| {
        !desk.serve(NOW, vec![(source, request())]).is_empty()
    };
    let by_port = (1024..11_024).filter(|&port| ask(&mut desk, (VICTIM, port).into())).count();
    assert!(by_port.abs_diff(8 + 9_992 / 4) < 250, "{by_port} by port");
    let by_host = (0..10_000).filter(|&host| ask(&mut desk, (v6(1, 1, host), 123).into())).count();
    assert!(by_host.abs_diff(8 + 9_992 / 4) < 250, "{by_host} by host of one /64");
    // 64 clients' worth for the whole /48.
    let mut networks = (0..10_000).map(|n| SocketAddr::from((v6(2, n, 1), 123)));
    let by_network = networks.by_ref().filter(|&source| ask(&mut desk, source)).count();
    assert!(by_network.abs_diff(512 + 9_488 / 4) < 250, "{by_network} by /64 of one /48");
    assert!((3..4_000).all(|site| ask(&mut desk, (v6(site, 0, 1), 123).into())), "sites are apart");
}

#[test]
fn one_bad_network_of_a_site_does_not_use_up_the_sites_allowance() {
    let mut desk = Desk::limiting(usual());
    for k in 0..100_000 {
        desk.answers(v6(1, 1, 1), f64::from(k) * 50e-6);
    }
    assert!((2..40).all(|network| desk.answers(v6(1, network, 1), 5.0)));
}

#[test]
fn neither_churn_nor_a_full_table_frees_a_flooder_or_silences_anybody() {
    // A table of 4096 clients, a flooder, and a hundred times as many strangers, each once.
    let mut desk = Desk::limiting(LimitSettings { clients: 4_096, ..strict() });
    let (mut flooder, mut strangers) = (0, 0);
    for k in 0..400_000 {
        let seconds = f64::from(k) * 100e-6;
        strangers += u32::from(desk.answers(v4(k), seconds));
        if k % 10 == 0 {
            flooder += u32::from(desk.answers(VICTIM, seconds));
        }
    }
    assert_eq!(strangers, 400_000, "a full table lets everybody through");
    // In 40 s an allowance of 8 + 5, and a quarter of the other 39 987.
    let ideal = 13.0 + 39_987.0 / 4.0;
    let share = (f64::from(flooder) - ideal) / 40_000.0;
    assert!(share.abs() < 0.05, "{flooder} of 40 000 answered, {ideal} would be ideal");
    assert!(desk.totals().limiter.forgotten > 390_000);
}

#[test]
fn clients_that_share_a_set_do_not_share_an_allowance() {
    // Half of what the table holds: most sets have several, some more than they hold.
    let mut desk = Desk::limiting(LimitSettings { clients: 4_096, ..strict() });
    let (mut asked, mut answered) = (0, 0);
    for round in 0..20 {
        for client in 0..2_048 {
            asked += 1;
            answered += u32::from(desk.answers(v4(client), f64::from(round) * 0.01));
        }
    }
    // Eight at once, and a quarter of the other twelve.
    let ideal = 2_048.0 * (8.0 + 12.0 / 4.0);
    let off = (f64::from(answered) - ideal) / f64::from(asked);
    assert!(off.abs() < 0.05, "{answered} of {asked} answered, {ideal} would be ideal");
}

#[test]
fn a_flooder_costs_the_others_nothing() {
    let mut desk = Desk::limiting(usual());
    let mut lost = 0;
    // A flooder at 20 000/s and ten thousand clients, each every 64 s, for 64 s.
    for k in 0..1_280_000_u32 {
        let seconds = f64::from(k) * 50e-6;
        desk.answers(VICTIM, seconds);
        if k % 128 == 0 {
            lost += u32::from(!desk.answers(v4(k / 128), seconds));
        }
    }
    assert_eq!(lost, 0, "of 10 000");
}

#[test]
fn who_has_a_key_or_no_limit_is_not_limited() {
    let key = Key::new(KeyId(1), Algorithm::Aes128Cmac, &[7; 16]).unwrap();
    let keys = Keys::new(vec![Trusted { key: key.clone(), peers: Vec::new() }]);
    let mut desk = Desk::new(Policy { keys, ..policy(strict(), Restrictions::LIMITED) });
    let mut signed = request();
    signed.resize(HEADER_LEN + key.code_len(), 0);
    key.sign(&mut signed, key.code_len());
    let mut forged = signed.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut ask = |bytes: &[u8]| {
        let asked = (0..1_000).map(|_| ((VICTIM, 123).into(), bytes.to_vec())).collect();
        desk.serve(NOW, asked).len()
    };
    assert!(ask(&forged).abs_diff(8 + 992 / 4) < 60, "a wrong code is worth nothing");
    assert_eq!(ask(&signed), 1_000);
    let mut free = Desk::new(policy(strict(), Restrictions::NONE));
    assert!((0..1_000).all(|_| free.answers(VICTIM, 0.0)));
}

#[test]
fn who_is_sifted_before_gets_an_answer_to_all_that_comes_through_unless_it_could_be_signed() {
    let key = Key::new(KeyId(1), Algorithm::Aes128Cmac, &[7; 16]).unwrap();
    let keys = Keys::new(vec![Trusted { key: key.clone(), peers: Vec::new() }]);
    let policy = Policy { keys, ..policy(strict(), Restrictions::LIMITED) };
    let sifted = Arc::clone(&policy.sifted);
    let mut desk = Desk::new(policy);
    sifted.show([Caller::of(VICTIM.into(), KEY)].into_iter());
    assert!((0..1_000).all(|_| desk.answers(VICTIM, 0.0)));
    assert!((0..1_000).filter(|_| desk.answers(v4(1), 0.0)).count() < 400, "nobody else");
    assert!(desk.totals().limiter.leaked >= 992);
    let mut forged = request();
    forged.resize(HEADER_LEN + key.code_len(), 0);
    let asked = (0..1_000).map(|_| ((VICTIM, 123).into(), forged.clone())).collect();
    assert!(desk.serve(NOW, asked).len() < 400, "these are not sifted");
    sifted.show(std::iter::empty());
    assert!((0..1_000).filter(|_| desk.answers(VICTIM, 0.0)).count() < 400);
}

#[test]
fn kisses_are_for_those_who_may_have_them_and_ten_a_second_at_most() {
    let kissed = Restrictions::LIMITED | Restrictions::KISSED;
    let mut desk = Desk::new(policy(strict(), kissed));
    let mut kisses = 0;
    for k in 0..100_000 {
        let source = SocketAddr::new(v4(k % 16).into(), 40_000);
        for (to, reply) in desk.serve(at(f64::from(k) * 100e-6), vec![(source, request())]) {
            let header = Header::parse(&reply).unwrap();
            if header.reference_id == timeball_time::ReferenceId::RATE {
                assert_eq!((to, reply.len(), header.stratum), (source, HEADER_LEN, 0));
                assert_eq!(header.flags.leap, timeball_time::Leap::Unsynchronised);
                assert_eq!(header.poll, 6, "not less than was asked with, nor than the limit");
                kisses += 1;
            }
        }
    }
    assert!((100..=112).contains(&kisses), "{kisses} in 10 s");
    assert_eq!(desk.totals().limiter.kisses, kisses);
    let mut silent = Desk::new(policy(strict(), Restrictions::LIMITED));
    assert!((0..1_000).filter(|_| silent.answers(VICTIM, 0.0)).count() < 400);
    assert_eq!(silent.totals().limiter.kisses, 0);
}

#[test]
fn limits_that_are_observed_are_counted_and_change_nothing() {
    let mut desk = Desk::limiting(LimitSettings { mode: LimitMode::Observe, ..strict() });
    assert!((0..1_000).all(|_| desk.answers(VICTIM, 0.0)));
    assert_eq!(desk.totals().limiter.observed, 992);
    let mut off = Desk::limiting(LimitSettings { mode: LimitMode::Off, ..strict() });
    assert!((0..1_000).all(|_| off.answers(VICTIM, 0.0)));
    assert_eq!(off.totals().limiter, timeball_responder::LimiterTally::default());
}

#[test]
fn a_clock_that_jumps_lets_people_through() {
    let mut desk = Desk::limiting(strict());
    let mut is_limited = |seconds| {
        let answered = (0..100).filter(|_| desk.answers(VICTIM, seconds)).count();
        // All of the burst again, or only what is answered by chance.
        if answered >= 8 + 10 { Some(false) } else { Some(true).filter(|_| answered < 60) }
    };
    assert_eq!(is_limited(0.0), Some(false));
    for seconds in [1e6, -1e6, 7.3e7, 0.0, -1e9] {
        assert_eq!(is_limited(seconds), Some(false), "{seconds}");
    }
}

#[test]
fn a_new_limit_counts_at_once_and_who_was_over_the_old_one_is_still_remembered() {
    let mut desk = Desk::limiting(strict());
    assert_eq!((0..8).filter(|_| desk.answers(VICTIM, 0.0)).count(), 8);
    let free = LimitSettings { burst: NonZeroU32::new(100).unwrap(), ..strict() };
    desk.sender.send(Arc::new(policy(free, Restrictions::LIMITED)));
    assert_eq!((0..92).filter(|_| desk.answers(VICTIM, 0.0)).count(), 92);
    let before = desk.totals();
    let larger = LimitSettings { clients: 1 << 18, ..strict() };
    desk.sender.send(Arc::new(policy(larger, Restrictions::LIMITED)));
    assert_eq!((0..8).filter(|_| desk.answers(VICTIM, 0.0)).count(), 8, "a new table");
    assert!(desk.totals().limiter.leaked >= before.limiter.leaked, "totals never fall");
}
