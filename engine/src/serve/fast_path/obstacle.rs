//! Why an interface is not one to answer on in the driver.
//!
//! A program in the driver sees frames before bonds, bridges and VLANs have had their say. Where what they
//! would say matters (a bond's idle port, a bridge's blocked one, a tag that the card has taken away), the
//! driver would answer what this machine was not asked, or on the wrong way.
//!
//! Must never: refuse what is only unusual.

use timeball_sys::Interface;

/// What is in the way at `one`, of all interfaces; and what to do about it.
pub(super) fn obstacle(one: &Interface, all: &[Interface]) -> Option<String> {
    let name = &one.name;
    let below = |index: Option<u32>| {
        let parent = all.iter().find(|other| Some(other.index) == index);
        parent.map_or_else(|| "the interface below it".to_owned(), |other| other.name.clone())
    };
    if one.is_loopback {
        return Some(
            "it leads back to this machine, whose own requests are the workers'".to_owned(),
        );
    }
    match (one.kind.as_deref(), one.port_of.as_deref()) {
        (Some(kind @ ("bond" | "team")), _) => {
            return Some(format!("it is a {kind}, which alone knows at which port a frame counts"));
        }
        (Some("bridge"), _) => {
            return Some("it is a bridge, which has no driver of its own".to_owned());
        }
        (Some("vlan"), _) => {
            let parent = below(one.below);
            return Some(format!("it is a VLAN; name {parent} instead, which knows its tag"));
        }
        (_, Some(master)) => {
            return Some(format!("it is a port of a {master}, which has to see its frames first"));
        }
        _ => {}
    }
    if one.station.is_none() {
        return Some("it is no Ethernet".to_owned());
    }
    let vlan = all.iter().find(|other| other.vlan.is_some() && other.below == Some(one.index))?;
    one.strips_vlan_tags().unwrap_or(false).then(|| {
        let vlan = &vlan.name;
        format!("it takes off the tags of {vlan} before the program sees them: ethtool -K {name} rxvlan off")
    })
}

#[cfg(test)]
mod tests {
    use timeball_sys::MacAddress;

    use super::*;

    fn interface(name: &str, kind: Option<&str>, port_of: Option<&str>) -> Interface {
        Interface {
            index: 7,
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            port_of: port_of.map(str::to_owned),
            below: Some(3),
            vlan: None,
            station: Some(MacAddress::new([2; 6])),
            is_loopback: false,
            program: None,
        }
    }

    #[test]
    fn what_is_made_of_others_is_refused_by_what_it_is() {
        let eth0 = Interface { index: 3, ..interface("eth0", None, None) };
        let all = [eth0.clone()];
        for (kind, port_of, said) in [
            (Some("bond"), None, "it is a bond"),
            (Some("team"), None, "it is a team"),
            (Some("bridge"), None, "it is a bridge"),
            (Some("vlan"), None, "name eth0 instead"),
            (None, Some("bridge"), "port of a bridge"),
            (Some("veth"), Some("bond"), "port of a bond"),
            (None, Some("vrf"), "port of a vrf"),
        ] {
            let why = obstacle(&interface("x", kind, port_of), &all).unwrap_or_default();
            assert!(why.contains(said), "{kind:?} {port_of:?}: {why}");
        }
        let loopback = Interface { is_loopback: true, station: None, ..eth0.clone() };
        assert!(obstacle(&loopback, &all).is_some_and(|why| why.contains("back to this machine")));
        let tunnel = Interface { station: None, ..interface("tun0", Some("tun"), None) };
        assert!(obstacle(&tunnel, &all).is_some_and(|why| why.contains("no Ethernet")));
        for kind in [None, Some("veth"), Some("macvlan"), Some("dummy")] {
            assert_eq!(obstacle(&interface("x", kind, None), &all), None);
        }
    }
}
