//! What known clients make of a reply, by their own rules, given the header they would get now.
//!
//! Read from the clients' sources; each has its own list of what it refuses, and the differences are what
//! makes a server good for one client and useless for another. Nothing is known here of the way to the
//! client, so every verdict is for one close by.
//!
//! Must never: be stricter or laxer than the client it speaks for.

use serde::Serialize;

use crate::names::kiss_meaning;
use crate::report::Header;

/// What one client concludes.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    /// Its name.
    pub(super) client: &'static str,
    /// Whether it would use the reply.
    pub(super) accepts: bool,
    /// Why, or why not.
    pub(super) says: String,
}

/// All of them about `header`.
pub(super) fn verdicts(header: &Header) -> Vec<Verdict> {
    let judge = |client, refusal: Option<String>, good: String| Verdict {
        client,
        accepts: refusal.is_none(),
        says: refusal.unwrap_or(good),
    };
    let good = || format!("stratum {}, {:.6} s at most", header.stratum, header.root_distance_s);
    let within = |limit: f64| {
        let distance = header.root_distance_s;
        (distance >= limit)
            .then(|| format!("root distance {distance:.3} s, its limit is {limit} s"))
    };
    let says_so = || unsynchronised(header);
    vec![
        judge("ntpdate", says_so().or_else(|| reference_time(header)), good()),
        judge("ntpd", says_so().or_else(|| within(1.5)), good()),
        judge("chronyd", says_so().or_else(|| within(3.0)), good()),
        judge("systemd-timesyncd", says_so().or_else(|| within(5.0)), good()),
        judge("sntp, ntpdig", says_so(), good()),
        pool_monitor(header),
    ]
}

/// What every client refuses.
fn unsynchronised(header: &Header) -> Option<String> {
    let why =
        kiss_meaning(&header.reference_id).map_or_else(String::new, |why| format!(" ({why})"));
    match (header.leap, header.stratum) {
        (3, stratum) => Some(format!("leap 3, stratum {stratum}: not synchronised{why}")),
        (_, 1..=15) => None,
        (_, stratum) => Some(format!("stratum {stratum}")),
    }
}

/// ntpdate's own test, which no other client makes: "no server suitable for synchronization found".
fn reference_time(header: &Header) -> Option<String> {
    match header.reference_age_s {
        None => Some("the reference time is zero".to_owned()),
        Some(age) if age < 0.0 => Some("the reference time is later than the reply".to_owned()),
        Some(age) if age >= DAY_S => {
            Some(format!("the clock was last corrected {age:.0} s ago, its limit is one day"))
        }
        Some(_) => None,
    }
}

/// What the NTP pool's monitor adds to the score, which has to be 10 at least.
fn pool_monitor(header: &Header) -> Verdict {
    let (accepts, says) = match (header.stratum, header.root_distance_s) {
        (0 | 16.., _) => (false, "score -2 or less: stratum 0".to_owned()),
        (stratum @ 11..=15, _) => (false, format!("score -4: stratum {stratum} is above 10")),
        (stratum @ 8..=10, _) => (false, format!("score -4: stratum {stratum} is above 7")),
        (_, distance) if distance <= 0.025 => (true, "score +1: within 25 ms for sure".to_owned()),
        (_, distance) if distance <= 0.1 => {
            (true, format!("score +0.5 to +1: may be wrong by {:.0} ms", distance * 1e3))
        }
        (_, distance) => {
            (true, format!("score +1 only if right within 25 ms; the claim is {distance:.3} s"))
        }
    };
    Verdict { client: "NTP pool monitor", accepts, says }
}

const DAY_S: f64 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            leap: 0,
            stratum: 2,
            precision_log2_s: -24,
            root_delay_s: 0.01,
            root_dispersion_s: 0.005,
            root_distance_s: 0.01,
            reference_id: "192.0.2.1".to_owned(),
            reference_age_s: Some(3.0),
        }
    }

    /// Who refuses `header`, in their order.
    fn refusers(header: &Header) -> Vec<&'static str> {
        let verdicts = verdicts(header).into_iter();
        verdicts.filter(|verdict| !verdict.accepts).map(|verdict| verdict.client).collect()
    }

    #[test]
    fn a_good_header_is_taken_by_all() {
        assert_eq!(refusers(&header()), [""; 0]);
    }

    #[test]
    fn leap_3_is_refused_by_all_who_look_at_it() {
        let leap_3 = Header { leap: 3, stratum: 0, reference_id: "INIT".to_owned(), ..header() };
        assert_eq!(refusers(&leap_3).len(), 6);
        assert!(verdicts(&leap_3)[0].says.contains("never since its start"), "{leap_3:?}");
    }

    #[test]
    fn each_limit_of_the_root_distance_is_its_clients_own() {
        let at = |root_distance_s| refusers(&Header { root_distance_s, ..header() });
        assert_eq!(at(1.4), [""; 0]);
        assert_eq!(at(1.5), ["ntpd"]);
        assert_eq!(at(3.2), ["ntpd", "chronyd"]);
        assert_eq!(at(5.1), ["ntpd", "chronyd", "systemd-timesyncd"]);
    }

    #[test]
    fn ntpdate_alone_minds_the_reference_time() {
        for reference_age_s in [None, Some(-0.5), Some(86_400.0)] {
            assert_eq!(refusers(&Header { reference_age_s, ..header() }), ["ntpdate"]);
        }
    }

    #[test]
    fn the_pool_wants_no_local_clocks() {
        let local = Header { stratum: 10, reference_id: "127.127.1.0".to_owned(), ..header() };
        assert_eq!(refusers(&local), ["NTP pool monitor"]);
        assert!(verdicts(&local)[5].says.contains("-4"));
    }
}
