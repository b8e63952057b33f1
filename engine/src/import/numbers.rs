//! Addresses and networks as classic configurations write them: in brackets, cut short, or with masks.
//!
//! Must never: look a name up.

use std::net::{IpAddr, Ipv4Addr};

use timeball_responder::Network;

/// The address in `text`, with or without brackets.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

/// How many bits `mask` has set.
///
/// # Errors
///
/// A mask whose bits have a gap covers no network, and so nothing more or less specific than others.
pub(super) fn mask_length(mask: IpAddr) -> Result<u8, &'static str> {
    let (ones, leading) = match mask {
        IpAddr::V4(v4) => (v4.to_bits().count_ones(), v4.to_bits().leading_ones()),
        IpAddr::V6(v6) => (v6.to_bits().count_ones(), v6.to_bits().leading_ones()),
    };
    if ones == leading { Ok(ones as u8) } else { Err("is no mask: its bits have a gap") }
}

/// `10.1/16`, `192.168`, `2001:db8::/32` or a whole address; a short form without a length has 8 bits for
/// each number.
pub(super) fn network(text: &str) -> Option<Network> {
    let (address_text, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    if let Some(address) = address(address_text) {
        let whole = if address.is_ipv4() { 32 } else { 128 };
        return Network::new(address, length.unwrap_or(whole));
    }
    let numbers: Vec<u8> =
        address_text.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    if !(1..=3).contains(&numbers.len()) {
        return None;
    }
    let mut octets = [0; 4];
    octets[..numbers.len()].copy_from_slice(&numbers);
    Network::new(Ipv4Addr::from(octets).into(), length.unwrap_or(8 * numbers.len() as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_may_be_cut_short() {
        for (text, shown) in [
            ("10.1/16", "10.1.0.0/16"),
            ("192.168", "192.168.0.0/16"),
            ("10", "10.0.0.0/8"),
            ("0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("[2001:db8::1]", "2001:db8::1/128"),
        ] {
            assert_eq!(network(text).map(|network| network.to_string()).as_deref(), Some(shown));
        }
        for text in ["host", "10.1/33", "10.256", "1.2.3.4.5", "", "/8", "2001:db8::/129"] {
            assert_eq!(network(text), None, "{text}");
        }
    }

    #[test]
    fn masks_have_no_gap() {
        let length = |text: &str| mask_length(text.parse().unwrap()).ok();
        assert_eq!(length("255.255.240.0"), Some(20));
        assert_eq!(length("0.0.0.0"), Some(0));
        assert_eq!(length("ffff:ffff:fff0::"), Some(44));
        assert_eq!(length("255.0.255.0"), None);
    }
}
