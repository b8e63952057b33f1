//! The keys a server or client trusts, by number.
//!
//! Made once from a key file and never changed: whoever wants other keys makes another table and swaps
//! it whole. A key may be bound to addresses (the fourth column of ntpd's key files): with any other
//! peer it is as good as unknown.
//!
//! Must never: hold a key that is not trusted.

use core::net::IpAddr;

use crate::mac::{Key, KeyId};
use crate::network::Network;

/// Trusted keys in the order of their numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Keys(Vec<Trusted>);

/// A key, and with whom it may be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trusted {
    /// The key.
    pub key: Key,
    /// Networks of the peers it is for; none at all is everybody.
    pub peers: Vec<Network>,
}

impl Keys {
    /// A table of `keys`; of several with one number the first counts.
    pub fn new(mut keys: Vec<Trusted>) -> Self {
        keys.sort_by_key(|trusted| trusted.key.id());
        keys.dedup_by_key(|trusted| trusted.key.id());
        Self(keys)
    }

    /// The key `id`, if it may be used with `peer`.
    #[inline]
    pub fn get(&self, id: KeyId, peer: IpAddr) -> Option<&Key> {
        let at = self.0.binary_search_by_key(&id, |trusted| trusted.key.id()).ok()?;
        let Trusted { key, peers } = &self.0[at];
        let allowed = peers.is_empty() || peers.iter().any(|network| network.contains(peer));
        allowed.then_some(key)
    }

    /// The key `id`, whoever the peer.
    #[inline]
    pub fn by_id(&self, id: KeyId) -> Option<&Key> {
        let at = self.0.binary_search_by_key(&id, |trusted| trusted.key.id()).ok()?;
        Some(&self.0[at].key)
    }

    /// All keys, rising by number.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Trusted> {
        self.0.iter()
    }

    /// True if there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mac::Algorithm;

    fn trusted(id: u32, secret: &str, peers: Vec<Network>) -> Trusted {
        let key = Key::new(KeyId(id), Algorithm::Sha1, secret.as_bytes()).expect("any length");
        Trusted { key, peers }
    }

    #[test]
    fn a_key_is_found_by_its_number_and_used_with_its_peers_only() {
        let bound = ["192.0.2.0", "2001:db8::1"].map(|at| {
            let address: IpAddr = at.parse().expect("address");
            Network::new(address, if address.is_ipv4() { 24 } else { 128 }).expect("prefix")
        });
        let keys = Keys::new(vec![
            trusted(9, "i", bound.to_vec()),
            trusted(1, "a", vec![]),
            trusted(u32::MAX, "z", vec![]),
        ]);
        let found = |id, peer: &str| keys.get(KeyId(id), peer.parse().expect("address")).is_some();
        assert!(found(1, "203.0.113.5") && found(u32::MAX, "::1") && !found(2, "::1"));
        assert!(found(9, "192.0.2.77") && found(9, "2001:db8::1"));
        assert!(!found(9, "192.0.3.77") && !found(9, "2001:db8::2"));
        assert!(keys.by_id(KeyId(9)).is_some() && keys.by_id(KeyId(8)).is_none());
        let others = Keys::new(vec![trusted(1, "b", vec![])]);
        assert!(keys == keys.clone() && others != Keys::new(vec![trusted(1, "a", vec![])]));
    }
}
