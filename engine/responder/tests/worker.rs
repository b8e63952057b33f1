//! The worker's turn over a carrier made of vectors.

use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam::utils::CachePadded;
use timeball_responder::{
    Access, AccessRule, Census, Clerk, Clients, Counters, DropReason, HashKey, Network, Policy,
    PolicyReceiver, Reading, Restrictions, Worker, policy_exchange,
};
use timeball_time::{
    Interval, Leap, LeapKind, LeapMaker, LeapSecond, NtpTimestamp, Publisher, Realtime, Smear,
    Snapshot, Stratum, Timestamp,
};
use timeball_wire::{BATCH_MAX, Datagram, Flags, Header, IoTally, Mode, PacketIo, Wait};

const NOW: Timestamp<Realtime> = Timestamp::from_nanos(1_764_000_000_000_000_000);

/// Delivers `inbox` in batches and collects what is sent, each reply leaving 1 µs after the one before.
#[derive(Default)]
struct Mailbox {
    inbox: Vec<Vec<u8>>,
    batch: Vec<Vec<u8>>,
    wanted: Vec<(usize, usize)>,
    sent: Arc<std::sync::Mutex<Vec<Vec<u8>>>>,
    tally: IoTally,
}

impl PacketIo for Mailbox {
    type Error = ();

    fn now(&self) -> Timestamp<Realtime> {
        NOW
    }

    fn receive(&mut self, _: Wait) -> Result<usize, ()> {
        let taken = self.inbox.len().min(BATCH_MAX);
        self.batch = self.inbox.drain(..taken).collect();
        Ok(taken)
    }

    fn datagram(&mut self, index: usize) -> Datagram<'_> {
        let source = SocketAddr::from(([192, 0, 2, 1], 40_000));
        let received = index.is_multiple_of(2).then_some(NOW - Interval::from_micros(10));
        Datagram { source, received, bytes: &mut self.batch[index], truncated: false }
    }

    fn reply(&mut self, index: usize, len: usize) {
        self.wanted.push((index, len));
    }

    fn send(&mut self, stamp: &mut impl FnMut(&mut [u8], Timestamp<Realtime>)) -> Result<(), ()> {
        for (k, (index, len)) in self.wanted.drain(..).enumerate() {
            let mut reply = self.batch[index][..len].to_vec();
            stamp(&mut reply, NOW + Interval::from_micros(k as i64));
            self.sent.lock().unwrap().push(reply);
            self.tally.sent += 1;
        }
        Ok(())
    }

    fn tally(&self) -> IoTally {
        self.tally
    }
}

fn request(number: u64) -> Vec<u8> {
    let flags = Flags { leap: Leap::None, version: 3, mode: Mode::Client };
    let mut header = Header::new(flags);
    header.transmit = timeball_time::NtpTimestamp::from_bits(number);
    header.encode().to_vec()
}

#[test]
fn a_turn_answers_in_order_with_rising_departures_and_counts_everything() {
    let local = Snapshot {
        leap: Leap::None,
        stratum: Stratum::new(10),
        ..Snapshot::unsynchronised(NOW, -24)
    };
    let publisher = Publisher::new(local);
    let counters = Arc::new(CachePadded::new(Counters::default()));
    let mut io = Mailbox { inbox: (0..100).map(request).collect(), ..Mailbox::default() };
    io.inbox.push(vec![0; 12]);
    let sent = Arc::clone(&io.sent);
    let mut worker =
        Worker::new(io, publisher.reader(), PolicyReceiver::default(), Arc::clone(&counters));
    assert_eq!(worker.turn(Wait::Poll), Ok(BATCH_MAX));
    assert_eq!(worker.turn(Wait::Poll), Ok(101 - BATCH_MAX));
    assert_eq!(worker.turn(Wait::Poll), Ok(0));

    let sent = sent.lock().unwrap();
    let headers: Vec<_> = sent.iter().map(|reply| Header::parse(reply).unwrap()).collect();
    assert!(headers.iter().enumerate().all(|(i, header)| header.origin.to_bits() == i as u64));
    let first_batch = &headers[..BATCH_MAX];
    assert!(first_batch.is_sorted_by(|a, b| b.transmit.since(a.transmit) > Interval::ZERO));

    let totals = counters.totals();
    assert_eq!((totals.received, totals.batches), (101, 2));
    assert_eq!((totals.answered, totals.answers()), ([0, 0, 100, 0], 100));
    assert_eq!((totals.unstamped, totals.unsynchronised), (50, 0));
    assert_eq!((totals.drops(), totals.dropped[DropReason::Short as usize]), (1, 1));
    assert_eq!(totals.io.sent, 100);
    assert_eq!((totals.batch_sizes.counts, totals.batch_sizes.sum), ([0, 0, 0, 0, 0, 0, 2], 101));
    let residences = totals.residences;
    assert_eq!(residences.counts.iter().sum::<u64>(), 100);
    // Stamped 10 µs before their batch, or not at all; each leaves 1 µs after the one before.
    let sum: i64 = headers.iter().map(|header| header.transmit.since(header.receive).nanos()).sum();
    assert!(residences.sum.abs_diff(sum as u64) <= 100, "{residences:?} {sum}");
    assert_eq!(residences.counts[7..], [0; 13], "none above 100 µs: {residences:?}");
}

#[test]
fn a_clerk_notes_every_datagram_and_counts_who_was_answered() {
    let publisher = Publisher::new(Snapshot::unsynchronised(NOW, -24));
    let mut io = Mailbox { inbox: (0..3).map(request).collect(), ..Mailbox::default() };
    io.inbox.push(vec![0; 12]);
    let census = Arc::new(Census::new(HashKey([1, 2])));
    let worker = Worker::new(io, publisher.reader(), PolicyReceiver::default(), Arc::default());
    let mut worker = worker.with_clerk(Clerk::new(Arc::clone(&census)));
    assert_eq!(worker.turn(Wait::Poll), Ok(4));
    let reading = Reading::of(&[&census], NOW, 10);
    assert_eq!(reading.last_day, Clients { ipv4: 1, ipv6: 0 });
    let talker = &reading.addresses.talkers[0];
    assert_eq!(talker.network, Network::host([192, 0, 2, 1].into()));
    assert_eq!((reading.addresses.datagrams, talker.at_least, talker.at_most), (4, 4, 4));
}

#[test]
fn a_new_snapshot_is_served_from_the_next_batch_on() {
    let mut publisher = Publisher::new(Snapshot::unsynchronised(NOW, -24));
    let counters = Arc::new(CachePadded::new(Counters::default()));
    let io = Mailbox { inbox: (0..65).map(request).collect(), ..Mailbox::default() };
    let mut worker =
        Worker::new(io, publisher.reader(), PolicyReceiver::default(), Arc::clone(&counters));
    assert_eq!(worker.turn(Wait::Poll), Ok(BATCH_MAX));
    assert_eq!(counters.totals().unsynchronised, BATCH_MAX as u64);
    publisher.publish(Snapshot {
        leap: Leap::None,
        stratum: Stratum::new(10),
        ..Snapshot::unsynchronised(NOW, -24)
    });
    assert_eq!(worker.turn(Wait::Poll), Ok(1));
    assert_eq!(counters.totals().unsynchronised, BATCH_MAX as u64);
    assert_eq!(counters.totals().answers(), BATCH_MAX as u64 + 1);
}

#[test]
fn a_new_policy_counts_from_the_next_batch_on() {
    let publisher = Publisher::new(Snapshot::unsynchronised(NOW, -24));
    let counters = Arc::new(CachePadded::new(Counters::default()));
    let io = Mailbox { inbox: (0..65).map(request).collect(), ..Mailbox::default() };
    let (sender, receiver) = policy_exchange(Arc::default());
    let mut worker = Worker::new(io, publisher.reader(), receiver, Arc::clone(&counters));
    assert_eq!(worker.turn(Wait::Poll), Ok(BATCH_MAX));
    assert_eq!(counters.totals().answers(), BATCH_MAX as u64);
    let nobody = AccessRule {
        network: Network::new([0, 0, 0, 0].into(), 0).unwrap(),
        from_ntp_port: false,
        restrictions: Restrictions::NO_TIME,
    };
    sender.send(Arc::new(Policy { access: Access::new(&[nobody]), ..Policy::default() }));
    assert_eq!(worker.turn(Wait::Poll), Ok(1));
    assert_eq!(counters.totals().answers(), BATCH_MAX as u64);
    assert_eq!(counters.totals().dropped[DropReason::Access as usize], 1);
}

/// The clock of a server that inserts a second at `midnight`, as published a minute before.
fn leaping(midnight: Timestamp<Realtime>) -> Snapshot {
    let leap = LeapSecond {
        midnight: midnight.reinterpret(),
        kind: LeapKind::Insert,
        made_by: LeapMaker::Mapping,
    };
    Snapshot {
        leap: Leap::Insert,
        stratum: Stratum::new(2),
        reference_time: NtpTimestamp::floor(midnight - Interval::from_secs(30)),
        leap_second: Some(leap),
        ..Snapshot::unsynchronised(midnight - Interval::from_secs(60), -24)
    }
}

/// The reply to a request that arrived 10 µs before [`NOW`].
fn reply_of(snapshot: Snapshot, smear: Option<Smear>) -> Header {
    let publisher = Publisher::new(snapshot);
    let io = Mailbox { inbox: vec![request(1)], ..Mailbox::default() };
    let sent = Arc::clone(&io.sent);
    let worker = Worker::new(io, publisher.reader(), PolicyReceiver::default(), Arc::default());
    let mut worker = if let Some(smear) = smear { worker.smearing(smear) } else { worker };
    assert_eq!(worker.turn(Wait::Poll), Ok(1));
    let sent = sent.lock().unwrap();
    Header::parse(&sent[0]).unwrap()
}

#[test]
fn both_times_of_a_reply_lie_on_one_side_of_a_leap() {
    for (to_midnight_us, leap, second) in
        [(1, Leap::Insert, 0), (-5, Leap::None, -1), (-10, Leap::None, -1)]
    {
        let midnight = NOW + Interval::from_micros(to_midnight_us);
        let header = reply_of(leaping(midnight), None);
        let turnaround = header.transmit.since(header.receive);
        assert!((turnaround - Interval::from_micros(10)).abs() <= Interval::from_nanos(2));
        assert_eq!(header.flags.leap, leap, "{to_midnight_us}");
        let served = header.transmit.since(NtpTimestamp::floor(NOW));
        assert!((served - Interval::from_secs(second)).abs() <= Interval::from_nanos(1));
        assert!(header.transmit.since(header.reference) > Interval::ZERO);
    }
}

#[test]
fn a_smearing_worker_says_so_and_knows_no_leap() {
    let header = reply_of(leaping(NOW), Some(Smear::USUAL));
    assert_eq!(header.flags.leap, Leap::None);
    assert_eq!(header.reference_id.octets()[0], 254);
    let off = header.transmit.since(NtpTimestamp::floor(NOW));
    assert!((off + Interval::from_millis(500)).abs() < Interval::from_micros(10), "{off:?}");
    let quiet = Snapshot { leap_second: None, leap: Leap::None, ..leaping(NOW) };
    let header = reply_of(quiet, Some(Smear::USUAL));
    assert_eq!(
        header.reference_id.octets(),
        [254, 0, 0, 0],
        "smeared, if there is nothing to smear"
    );
    let lost = Snapshot::unsynchronised(NOW, -24);
    let header = reply_of(lost, Some(Smear::USUAL));
    assert_eq!((header.flags.leap, header.stratum), (Leap::Unsynchronised, 0));
    assert_eq!(header.reference_id.code(), Some("INIT"));
}
