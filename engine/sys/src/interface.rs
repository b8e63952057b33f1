//! Network interfaces as the kernel describes them: what they are made of, and which XDP program each has.
//!
//! A program in a driver sees frames before the kernel has taken a bond, a bridge or a VLAN tag apart, so
//! whoever attaches one has to know what the interface is part of. Names come and go and come again; an
//! index is never given twice, so it says whether it is still the same.
//!
//! Must never: take the absence of an answer for the absence of an interface.

use std::io;
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

use crate::mac_address::MacAddress;
use crate::netlink::{IFLA_IFNAME, LINK_LEN, Netlink, attribute, push_attribute};

/// One interface of this thread's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number; a new interface of the same name has another.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is made by, in the kernel's words (`veth`, `bond`, `vlan`, `bridge`); `None`: hardware.
    pub kind: Option<String>,
    /// What it is a port of, by the same words; `None`: it stands alone.
    pub port_of: Option<String>,
    /// The interface it is stacked on (`vlan`), or the other end (`veth`).
    pub below: Option<u32>,
    /// Which VLAN it is, with tags of 802.1Q; `None`: it is none of those.
    pub vlan: Option<u16>,
    /// Its Ethernet address; `None`: frames on it are not Ethernet's.
    pub station: Option<MacAddress>,
    /// It leads back to this machine.
    pub is_loopback: bool,
    /// The XDP program on it, if it has one.
    pub program: Option<XdpProgram>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// Its number in this kernel; 0: several at once.
    pub id: u32,
    /// Where it runs: `native`, `generic`, `hardware`, `several`.
    pub mode: &'static str,
}

impl Interface {
    /// Every interface.
    ///
    /// # Errors
    /// As the kernel says; a container may forbid netlink altogether.
    pub fn all() -> io::Result<Vec<Self>> {
        let devices = Netlink::open()?.devices()?;
        Ok(devices.iter().filter_map(|device| Self::parse(device)).collect())
    }

    /// Takes the program off that was put there by no link: one that has a link stays until that is closed.
    /// Needs `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn take_program_off(&self) -> io::Result<()> {
        let flags: u32 = match self.program.map(|program| program.mode) {
            None => return Ok(()),
            Some("generic") => XDP_FLAGS_SKB_MODE,
            Some("hardware") => XDP_FLAGS_HW_MODE,
            Some(_) => XDP_FLAGS_DRV_MODE,
        };
        let (mut body, mut wanted) = (vec![0; LINK_LEN], Vec::new());
        body[4..8].copy_from_slice(&self.index.to_ne_bytes());
        push_attribute(&mut wanted, IFLA_XDP_FD, &(-1i32).to_ne_bytes());
        push_attribute(&mut wanted, IFLA_XDP_FLAGS, &flags.to_ne_bytes());
        push_attribute(&mut body, libc::IFLA_XDP | NLA_F_NESTED, &wanted);
        Netlink::open()?.order(libc::RTM_SETLINK, &body)
    }

    /// Whether its hardware, or what plays it, takes VLAN tags off before anybody sees the frame.
    ///
    /// # Errors
    /// As the kernel says; an interface without such settings is refused.
    pub fn strips_vlan_tags(&self) -> io::Result<bool> {
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        let mut value = [ETHTOOL_GFLAGS, 0];
        // JUSTIFICATION: ifreq has a union, so it cannot be written literally.
        // SAFETY: all zero is a valid ifreq.
        let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(self.name.bytes().take(NAME_MAX)) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
        let (fd, request) = (socket.as_raw_fd(), &raw mut request);
        // JUSTIFICATION: nothing else tells the settings of a device.
        // SAFETY: the name ends with a zero, and `value` is the ethtool_value that this command fills in;
        // both live through the call.
        if unsafe { libc::ioctl(fd, libc::SIOCETHTOOL, request) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(value[1] & ETH_FLAG_RXVLAN != 0)
    }

    /// From the message about it; `None` if it makes no sense.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let word = |at: usize| message.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
        let hardware = u16::from_ne_bytes(*message.get(2..)?.first_chunk()?);
        let (index, flags) = (word(4)?, word(8)?);
        let attributes = message.get(LINK_LEN..)?;
        let info = attribute(attributes, libc::IFLA_LINKINFO).unwrap_or_default();
        let below = attribute(attributes, libc::IFLA_LINK).and_then(<[u8]>::first_chunk);
        let station =
            attribute(attributes, libc::IFLA_ADDRESS).and_then(|octets| octets.try_into().ok());
        let kind = attribute(info, libc::IFLA_INFO_KIND).map(text);
        let data =
            attribute(info, libc::IFLA_INFO_DATA).filter(|_| kind.as_deref() == Some("vlan"));
        Some(Self {
            index,
            name: text(attribute(attributes, IFLA_IFNAME)?),
            kind,
            port_of: attribute(info, libc::IFLA_INFO_SLAVE_KIND).map(text),
            below: below.map(|index| u32::from_ne_bytes(*index)),
            vlan: data.and_then(vlan),
            station: station.filter(|_| hardware == libc::ARPHRD_ETHER).map(MacAddress::new),
            is_loopback: flags & libc::IFF_LOOPBACK as u32 != 0,
            program: attribute(attributes, libc::IFLA_XDP).and_then(program),
        })
    }
}

/// Which VLAN the data of one say it is.
fn vlan(data: &[u8]) -> Option<u16> {
    let protocol = attribute(data, IFLA_VLAN_PROTOCOL)?;
    let number = attribute(data, IFLA_VLAN_ID)?.first_chunk()?;
    (protocol == ETH_P_8021Q.to_be_bytes()).then(|| u16::from_ne_bytes(*number))
}

/// What `IFLA_XDP` says.
fn program(data: &[u8]) -> Option<XdpProgram> {
    let mode = match attribute(data, IFLA_XDP_ATTACHED)?.first()? {
        0 => return None,
        1 => "native",
        2 => "generic",
        3 => "hardware",
        _ => "several",
    };
    let id = attribute(data, IFLA_XDP_PROG_ID).and_then(<[u8]>::first_chunk);
    Some(XdpProgram { id: id.map_or(0, |id| u32::from_ne_bytes(*id)), mode })
}

/// Text that ends with a zero.
fn text(data: &[u8]) -> String {
    let text = data.split(|octet| *octet == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// linux/if_link.h.
const IFLA_VLAN_ID: u16 = 1;
const IFLA_VLAN_PROTOCOL: u16 = 5;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_PROG_ID: u16 = 4;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const XDP_FLAGS_HW_MODE: u32 = 1 << 3;
/// linux/if_ether.h.
const ETH_P_8021Q: u16 = 0x8100;
/// linux/netlink.h.
const NLA_F_NESTED: u16 = 1 << 15;
/// linux/ethtool.h.
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETH_FLAG_RXVLAN: u32 = 1 << 8;
/// A name and its zero are 16 octets.
const NAME_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_there_and_is_what_it_is() {
        let all = Interface::all().expect("netlink");
        let lo = all.iter().find(|one| one.name == "lo").expect("loopback");
        assert!(lo.is_loopback && lo.station.is_none() && lo.program.is_none(), "{lo:?}");
        assert_eq!((lo.kind.as_deref(), lo.port_of.as_deref()), (None, None));
        assert_eq!(lo.take_program_off().map_err(|error| error.kind()), Ok(()), "there is none");
    }

    #[test]
    fn a_message_that_is_cut_off_anywhere_is_no_interface_or_one_of_that_name() {
        let mut message = vec![0; LINK_LEN];
        message[2..4].copy_from_slice(&libc::ARPHRD_ETHER.to_ne_bytes());
        message[4..8].copy_from_slice(&7u32.to_ne_bytes());
        push_attribute(&mut message, IFLA_IFNAME, b"ntp0\0\0\0\0");
        let (mut xdp, mut info) = (Vec::new(), Vec::new());
        push_attribute(&mut xdp, IFLA_XDP_PROG_ID, &9u32.to_ne_bytes());
        push_attribute(&mut xdp, IFLA_XDP_ATTACHED, &[2, 0, 0, 0]);
        push_attribute(&mut message, libc::IFLA_XDP | NLA_F_NESTED, &xdp);
        push_attribute(&mut info, libc::IFLA_INFO_KIND, b"vlan");
        let mut data = Vec::new();
        push_attribute(&mut data, IFLA_VLAN_PROTOCOL, &[0x81, 0]);
        push_attribute(&mut data, IFLA_VLAN_ID, &42u16.to_ne_bytes());
        push_attribute(&mut info, libc::IFLA_INFO_DATA, &data);
        push_attribute(&mut message, libc::IFLA_LINKINFO | NLA_F_NESTED, &info);
        push_attribute(&mut message, libc::IFLA_LINK, &3u32.to_ne_bytes());
        let whole = Interface::parse(&message).expect("whole");
        assert_eq!(whole.program, Some(XdpProgram { id: 9, mode: "generic" }));
        assert_eq!((whole.index, whole.name.as_str(), whole.below), (7, "ntp0", Some(3)));
        assert_eq!((whole.station, whole.vlan), (None, Some(42)));
        assert!(whole.kind.as_deref() == Some("vlan"), "{whole:?}");
        for len in 0..message.len() {
            let cut = Interface::parse(&message[..len]);
            assert!(cut.is_none_or(|one| one.name == "ntp0" && one.index == 7), "{len}");
        }
    }
}
