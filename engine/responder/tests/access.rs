//! The access table against a search through all rules.

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use timeball_responder::{Access, AccessRule, Network, Restrictions};

/// By the definition, word for word: the longest matching network; of the rules for it those for port 123,
/// if the packet is from there and there are any; what any of them withholds.
fn naive(rules: &[AccessRule], source: SocketAddr) -> Restrictions {
    let matching = |rule: &&AccessRule| {
        let port = !rule.from_ntp_port || source.port() == 123;
        port && Network::new(source.ip(), rule.network.length()) == Some(rule.network)
    };
    let Some(longest) = rules.iter().filter(matching).map(|rule| rule.network.length()).max()
    else {
        return Restrictions::NONE;
    };
    let of_it: Vec<_> =
        rules.iter().filter(matching).filter(|r| r.network.length() == longest).collect();
    let for_port = of_it.iter().any(|rule| rule.from_ntp_port);
    of_it
        .iter()
        .filter(|rule| rule.from_ntp_port == for_port)
        .fold(Restrictions::NONE, |all, rule| all | rule.restrictions)
}

fn restrictions() -> impl Strategy<Value = Restrictions> {
    let each = [
        Restrictions::NO_TIME,
        Restrictions::NO_QUERY,
        Restrictions::KEYED_ONLY,
        Restrictions::CURRENT_VERSION_ONLY,
    ];
    vec(0..each.len(), 0..4)
        .prop_map(move |chosen| chosen.into_iter().fold(Restrictions::NONE, |all, i| all | each[i]))
}

/// Addresses of both families, most of them in a few networks.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        (0u32..1024).prop_map(|bits| IpAddr::V4((0x0A00_0000 | bits).into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
        (0u128..1024).prop_map(|bits| IpAddr::V6((0x2001_0DB8 << 96 | bits << 56).into())),
    ]
}

fn rule() -> impl Strategy<Value = AccessRule> {
    (address(), 0u8..=128, any::<bool>(), restrictions()).prop_map(
        |(address, length, from_ntp_port, restrictions)| {
            let length = if address.is_ipv4() { length % 33 } else { length };
            let network = Network::new(address, length).unwrap();
            AccessRule { network, from_ntp_port, restrictions }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn the_most_specific_rule_wins_wherever_it_stands(
        rules in vec(rule(), 0..60).prop_shuffle(),
        strangers in vec(address(), 20),
    ) {
        let access = Access::new(&rules);
        let known = rules.iter().map(|rule| rule.network.address());
        for address in strangers.iter().copied().chain(known) {
            for port in [123, 40_000] {
                let source = SocketAddr::new(address, port);
                prop_assert_eq!(access.restrictions(&source), naive(&rules, source), "{}", source);
            }
        }
    }
}

#[test]
fn a_network_is_an_address_without_its_host_bits() {
    let network = |text: &str, length| Network::new(text.parse().unwrap(), length);
    assert_eq!(network("192.0.2.200", 24).unwrap().to_string(), "192.0.2.0/24");
    assert_eq!(network("2001:db8::ff", 32).unwrap().to_string(), "2001:db8::/32");
    assert_eq!(network("192.0.2.1", 33), None);
    assert_eq!(network("::1", 129), None);
    assert_eq!(network("::1", 128), Some(Network::host("::1".parse().unwrap())));
}
