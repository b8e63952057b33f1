//! `allow` and `deny`: chronyd's access rules, of which the most specific wins; a later line about the same
//! network replaces an earlier one, and `all` also forgets what is said about parts of it.
//!
//! Must never: answer somebody whom chronyd would not.

use timeball_responder::{Network, Restrictions};

use super::super::draft::{Access, Draft};
use super::super::entry::Entry;
use super::super::numbers;
use crate::config::{Host, Whom, everybody};

pub(super) fn allow(draft: &mut Draft, entry: &mut Entry) {
    rule(draft, entry, Restrictions::NO_QUERY);
}

pub(super) fn deny(draft: &mut Draft, entry: &mut Entry) {
    rule(draft, entry, Restrictions::NO_QUERY | Restrictions::NO_TIME);
}

fn rule(draft: &mut Draft, entry: &mut Entry, restrictions: Restrictions) {
    let all = entry.takes("all");
    let about: Vec<Whom> = match entry.next() {
        None => everybody().map(Whom::Network).into(),
        Some(text) => match numbers::network(&text).map(Whom::Network) {
            Some(network) => vec![network],
            None if text.contains('/') || Host::name(&text).is_none() => {
                return entry
                    .wrong(format!("{text:?} is no network, address or name"), "correct it");
            }
            None => {
                entry.note("the name's addresses are looked up again from time to time");
                Host::name(&text).map(Whom::Name).into_iter().collect()
            }
        },
    };
    for whom in about {
        if let (Whom::Network(network), true) = (&whom, all) {
            draft.access.retain(|rule| !is_part(&rule.whom, *network));
        }
        draft.access.retain(|rule| rule.whom != whom);
        let place = entry.place().clone();
        draft.access.push(Access { whom, from_ntp_port: false, restrictions, place });
    }
}

fn is_part(whom: &Whom, of: Network) -> bool {
    let Whom::Network(network) = whom else { return false };
    network.length() >= of.length() && Network::new(network.address(), of.length()) == Some(of)
}
