//! How a server is named by its clients (RFC 5905 section 7.3), by which loops are found.
//!
//! Must never: be taken for proof of anything; the digest is four octets of MD5.

use core::net::IpAddr;

use md5::{Digest, Md5};
use timeball_time::ReferenceId;

/// How a server at `address` is named by its clients (RFC 5905 section 7.3).
pub fn reference_id_of(address: IpAddr) -> ReferenceId {
    match address.to_canonical() {
        IpAddr::V4(v4) => ReferenceId::from_octets(v4.octets()),
        IpAddr::V6(v6) => {
            let digest: [u8; 16] = Md5::digest(v6.octets()).into();
            ReferenceId::from_octets([digest[0], digest[1], digest[2], digest[3]])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_ids_are_addresses_or_digests() {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(reference_id_of(v4).octets(), [192, 0, 2, 1]);
        assert_eq!(reference_id_of(mapped), reference_id_of(v4));
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        assert_ne!(reference_id_of(v6), reference_id_of("2001:db8::2".parse().unwrap()));
    }
}
