//! Network addresses as a configuration writes them.
//!
//! Everything is refused here that could only fail later, or fail in silence: addresses that nobody
//! can answer from, and names that no resolver can know.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::plan::Listen;

/// Whom to ask for the time: a host and a UDP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

/// A host, by address or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A unicast address.
    Address(IpAddr),
    /// A DNS name, in lower case, without a final dot.
    Name(String),
}

impl Endpoint {
    /// Reads `HOST` or `HOST:PORT`, with IPv6 addresses in brackets when a port follows.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let (host, port) = split_port(text)?;
        if port == Some(0) {
            return Err(Refusal::new("names port 0", "leave the port out for 123"));
        }
        Ok(Self { host: Host::parse(host)?, port: port.unwrap_or(Listen::PORT) })
    }
}

impl std::str::FromStr for Endpoint {
    type Err = String;

    /// As in a config, for the command line: `HOST` or `HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|refusal| format!("{}; {}", refusal.cause, refusal.remedy))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, Refusal> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return usable_as_source(address).map(Self::Address);
        }
        Self::name(text)
            .map(Self::Name)
            .ok_or(Refusal::new("is neither a host name nor an IP address", SOURCE_FORM))
    }

    /// A DNS name, in lower case, without a final dot.
    pub(crate) fn name(text: &str) -> Option<String> {
        let name = text.strip_suffix('.').unwrap_or(text);
        // "192.0.2.300" is an address gone wrong, not a name: no top-level domain is a number.
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = name.len() <= NAME_CHARS_MAX
            && name.split('.').all(is_label)
            && !name.rsplit('.').next().is_some_and(is_number);
        is_name.then(|| name.to_ascii_lowercase())
    }
}

/// Reads an address to listen on: `ADDRESS` or `ADDRESS:PORT`, never a name.
pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, Refusal> {
    let not_an_address = || Refusal::new("is not an IP address with a port", LISTEN_FORM);
    // Only the standard library's socket address knows scopes, as in [fe80::1%2]:123.
    let address = match text.parse::<SocketAddrV6>() {
        Ok(address) => SocketAddr::V6(address),
        Err(_) => {
            let (host, port) = split_port(text)?;
            let ip = host.parse::<IpAddr>().map_err(|_| not_an_address())?;
            SocketAddr::new(ip, port.unwrap_or(Listen::PORT))
        }
    };
    if is_mapped(address.ip()) {
        return Err(Refusal::new("is IPv4 written as IPv6", "write the IPv4 address itself"));
    }
    if address.ip().is_multicast() || is_broadcast(address.ip()) {
        return Err(Refusal::new("is no address that a reply can leave from", LISTEN_FORM));
    }
    Ok(address)
}

/// Reads where a broadcast goes: `ADDRESS` or `ADDRESS:PORT`, never a name.
pub(super) fn parse_group(text: &str, port: u16) -> Option<SocketAddr> {
    let (host, written) = split_port(text).ok()?;
    let ip: IpAddr = host.parse().ok()?;
    let port = written.unwrap_or(port);
    (port != 0 && !ip.is_unspecified()).then_some(SocketAddr::new(ip, port))
}

/// Why a text is no address, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) cause: &'static str,
    pub(super) remedy: &'static str,
}

impl Refusal {
    fn new(cause: &'static str, remedy: &'static str) -> Self {
        Self { cause, remedy }
    }
}

/// Splits a port off, if there is one: `[v6]:port`, `[v6]`, `v6`, `v4:port`, `name:port`, `v4`,
/// `name`.
fn split_port(text: &str) -> Result<(&str, Option<u16>), Refusal> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, "")) if host.contains(':') => (host, None),
        Some((host, rest)) if host.contains(':') => (host, rest.strip_prefix(':').or(Some(""))),
        _ => match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    let Some(digits) = port else { return Ok((host, None)) };
    // `u16` would take a leading plus sign.
    match digits.parse() {
        Ok(port) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok((host, Some(port))),
        _ => Err(Refusal::new("does not end in a port number", PORT_FORM)),
    }
}

fn usable_as_source(address: IpAddr) -> Result<IpAddr, Refusal> {
    if is_mapped(address) {
        return Err(Refusal::new("is IPv4 written as IPv6", "write the IPv4 address itself"));
    }
    if address.is_unspecified() || address.is_multicast() || is_broadcast(address) {
        return Err(Refusal::new("is no address that a server can answer from", SOURCE_FORM));
    }
    Ok(address)
}

fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_broadcast())
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// RFC 1035 section 2.3.1, with the underscore that private names use.
fn is_label(label: &str) -> bool {
    (1..=LABEL_CHARS_MAX).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

const LISTEN_FORM: &str = "write an address as in \"192.0.2.1:123\" or \"[2001:db8::1]:123\"";
const SOURCE_FORM: &str =
    "write a server as in \"ntp.example.net\", \"192.0.2.1\" or \"2001:db8::1\"";
const PORT_FORM: &str = "write a port from 1 to 65535 as in \"192.0.2.1:123\", or leave it out";

/// RFC 1035 section 2.3.4.
const LABEL_CHARS_MAX: usize = 63;
/// RFC 1035 section 2.3.4: 255 octets on the wire are 253 characters of text.
const NAME_CHARS_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_in_every_usual_form() {
        for (text, shown) in [
            ("ntp1.example.net", "ntp1.example.net:123"),
            ("NTP1.Example.Net.", "ntp1.example.net:123"),
            ("ntp1.example.net:11123", "ntp1.example.net:11123"),
            ("localhost", "localhost:123"),
            ("192.0.2.1", "192.0.2.1:123"),
            ("192.0.2.1:456", "192.0.2.1:456"),
            ("2001:db8::1", "[2001:db8::1]:123"),
            ("[2001:db8::1]", "[2001:db8::1]:123"),
            ("[2001:db8::1]:456", "[2001:db8::1]:456"),
        ] {
            assert_eq!(Endpoint::parse(text).expect(text).to_string(), shown);
        }
    }

    #[test]
    fn what_can_be_no_source_is_refused_with_its_reason() {
        let long = format!("{}.net", "x".repeat(64));
        for (text, cause) in [
            ("", "is neither a host name nor an IP address"),
            ("192.0.2.300", "is neither a host name nor an IP address"),
            ("ntp 1", "is neither a host name nor an IP address"),
            ("ntp..net", "is neither a host name nor an IP address"),
            ("-ntp.net", "is neither a host name nor an IP address"),
            (&long, "is neither a host name nor an IP address"),
            ("[ntp.net", "is neither a host name nor an IP address"),
            ("ntp.net:0", "names port 0"),
            ("ntp.net:", "does not end in a port number"),
            ("ntp.net:+1", "does not end in a port number"),
            ("ntp.net:65536", "does not end in a port number"),
            ("[2001:db8::1]123", "does not end in a port number"),
            ("2001:db8::zz", "is neither a host name nor an IP address"),
            ("[192.0.2.1]:123", "is neither a host name nor an IP address"),
            ("0.0.0.0", "is no address that a server can answer from"),
            ("224.0.1.1", "is no address that a server can answer from"),
            ("255.255.255.255", "is no address that a server can answer from"),
            ("::ffff:192.0.2.1", "is IPv4 written as IPv6"),
        ] {
            assert_eq!(Endpoint::parse(text).expect_err(text).cause, cause, "{text}");
        }
    }

    #[test]
    fn listen_addresses_may_have_a_scope_a_default_port_or_port_zero() {
        for (text, shown) in [
            ("0.0.0.0", "0.0.0.0:123"),
            ("::", "[::]:123"),
            ("[::]:11123", "[::]:11123"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[fe80::1%2]:123", "[fe80::1%2]:123"),
        ] {
            assert_eq!(parse_listen(text).expect(text).to_string(), shown);
        }
        for text in ["localhost:123", "*:123", ":123", "224.0.1.1:123", "[::ffff:1.2.3.4]:123"] {
            assert!(parse_listen(text).is_err(), "{text}");
        }
    }
}
