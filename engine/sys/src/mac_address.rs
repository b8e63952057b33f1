//! The address of a network card, as Ethernet has it (IEEE 802).
//!
//! Must never: be guessed; it is the kernel's or the operator's.

use std::fmt;
use std::str::FromStr;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// From its octets.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// Its octets.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

/// Six pairs of hexadecimal digits with colons between: `02:00:5e:10:00:01`.
impl FromStr for MacAddress {
    type Err = MacAddressError;

    fn from_str(text: &str) -> Result<Self, MacAddressError> {
        let unreadable = || MacAddressError { text: text.to_owned() };
        let mut octets = [0; 6];
        let mut words = text.split(':');
        for octet in &mut octets {
            let word = words.next().filter(|word| word.len() == 2).ok_or_else(unreadable)?;
            *octet = u8::from_str_radix(word, 16).map_err(|_| unreadable())?;
        }
        if words.next().is_some() { Err(unreadable()) } else { Ok(Self(octets)) }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What was written is no Ethernet address.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no Ethernet address; write it as 02:00:5e:10:00:01")]
pub struct MacAddressError {
    /// What was written.
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ethernet_addresses_are_read_and_written_alike() {
        let text = "02:00:5e:1a:00:ff";
        assert_eq!(text.parse::<MacAddress>().expect("an address").to_string(), text);
        for text in
            ["", "02:00:5e:1a:00", "02:00:5e:1a:00:ff:01", "2:00:5e:1a:00:ff", "0g:0:0:0:0:0"]
        {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}
