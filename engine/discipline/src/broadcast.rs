//! Servers that announce themselves: what is heard of them, and whether it may be believed.
//!
//! A broadcast that is not signed with a trusted key is believed only by whoever has been told to: anybody
//! on the network can send one. What a signed one still does not prove is in `source/broadcast.rs`.
//!
//! Must never: keep state; that is a source's.

use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use timeball_time::{ClockReading, Interval, Realtime, Timestamp};
use timeball_wire::{CRYPTO_NAK_LEN, Header, Key, KeyId, Keys, Mode, Trailer};

use crate::action::Actions;
use crate::discipline::Discipline;
use crate::filter::Verdict;
use crate::rejection::Rejection;
use crate::source::{Context, Source};

/// A server that was heard of.
#[derive(Clone, Debug)]
pub struct Announced {
    /// Where it can be asked.
    pub remote: SocketAddr,
    /// The key it signed with.
    pub key: Option<Arc<Key>>,
    /// What it broadcast, if that is how it was heard of.
    pub broadcast: Option<Broadcast>,
}

/// One broadcast.
#[derive(Clone, Copy, Debug)]
pub struct Broadcast {
    /// What it says.
    pub header: Header,
    /// The kernel's stamp of its arrival.
    pub received: Timestamp<Realtime>,
    /// The round trip to its server if it is not to be measured; its half is taken for the way here.
    pub delay: Option<Interval>,
}

/// Reads a broadcast from `source`, and the key of `keys` it is signed with.
///
/// With `authenticate` there must be one; otherwise a broadcast may also be bare.
///
/// # Errors
/// The [`Rejection`] to count.
pub fn open_broadcast<'k>(
    datagram: &[u8],
    source: IpAddr,
    keys: &'k Keys,
    authenticate: bool,
) -> Result<(Header, Option<&'k Key>), Rejection> {
    let header = Header::parse(datagram).ok_or(Rejection::Malformed)?;
    let version = header.flags.version;
    if !VERSIONS.contains(&version) {
        return Err(Rejection::Version);
    }
    if header.flags.mode != Mode::Broadcast {
        return Err(Rejection::Mode);
    }
    let code_len = Trailer::parse(version, datagram).map_err(|_| Rejection::Malformed)?.code_len;
    if header.transmit.is_zero() {
        return Err(Rejection::TimeMissing);
    }
    if code_len == CRYPTO_NAK_LEN {
        return Err(Rejection::CryptoNak);
    }
    let (message, code) = datagram.split_at(datagram.len() - code_len);
    let Some(id) = KeyId::of_code(code) else {
        return if authenticate { Err(Rejection::Unsigned) } else { Ok((header, None)) };
    };
    let key = keys.get(id, source).filter(|key| key.verifies(version, message, code));
    key.map(|key| (header, Some(key))).ok_or(Rejection::Code)
}

impl Discipline {
    /// A server was heard of: it gets a vacant place among the sources, if it has none and there is one;
    /// its broadcast, if that is how it was heard of, is judged.
    ///
    /// # Errors
    /// Why a broadcast was not believed; counted if its server has a place.
    pub fn on_announced(
        &mut self,
        announced: &Announced,
        now: ClockReading,
        out: &mut Actions,
    ) -> Result<(), Rejection> {
        let remote = announced.remote;
        let Some(at) = self.sources.iter().position(|source| source.remote() == Some(remote))
        else {
            let place = (self.sources.iter().position(Source::is_free_to_hear))
                .or_else(|| self.sources.iter().position(Source::is_replaceable));
            let prior = self.prior();
            let place = place.ok_or(Rejection::NoRequest)?;
            self.sources[place].occupy(announced, now.monotonic, prior, out);
            return Ok(());
        };
        let Some(Broadcast { header, received, .. }) = &announced.broadcast else { return Ok(()) };
        let changed = self.observe(&now, out);
        let received = self.books.free((*received).min(now.realtime));
        let context = Context { precision: self.precision, own_ids: &self.own_ids };
        let result = self.sources[at].on_broadcast(header, received, now.monotonic, &context, out);
        let news = matches!(result, Ok(Verdict::Taken | Verdict::Jumped));
        self.heard_from(news.then_some(at), changed, &now, out);
        result.map(|_| ())
    }
}

/// Versions understood in a broadcast.
const VERSIONS: core::ops::RangeInclusive<u8> = 3..=4;
