//! Rings, sockets, clocks and cores: everything timeball asks of the kernel.
//!
//! Layer 2 of timeball, and the one crate with `unsafe`: every block says why it cannot be safe
//! (`JUSTIFICATION`) and why it is sound (`SAFETY`), and holds one unsafe operation.
//!
//! * Serving: [`listen`] makes the sockets, [`Carrier`] moves their datagrams ([`UringIo`] or
//!   [`MmsgIo`], both [`timeball_wire::PacketIo`]).
//! * Replying around the kernel's IP layer: [`Exits`], and the [`Pilot`] who knows the ways.
//! * On a local network: [`LanSocket`] for broadcasts and multicasts.
//! * Asking: [`ClientSocket`] with kernel stamps both ways, [`Waiter`] to sleep until something
//!   happens.
//! * The clock: [`realtime`], [`reading`], [`precision`]; [`ReadClock`] and [`SteerClock`] for
//!   `adjtimex`.
//! * The fast path: [`xdp`] answers in the driver.
//! * The host: cores and priorities, users and capabilities, [`sandbox`].
//!
//! Must never: allocate, lock, log or format per packet; set the clock but through [`SteerClock`].

#[cfg(not(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")))]
compile_error!("timeball is for 64-bit Linux with glibc: its C structures are laid out for that");

mod addresses;
#[cfg(feature = "baseline")]
pub mod baseline;
mod batch;
mod block;
mod carrier;
mod client;
mod clock;
mod cmsg;
mod control;
mod cpu;
mod departure;
mod frame;
mod group;
mod headers;
mod holding_back;
mod interface;
mod kernel_clock;
mod lan;
mod mac_address;
mod message;
mod mmsg;
mod netlink;
mod open_files;
mod passed;
mod passing;
mod peer;
mod privileges;
mod raw;
pub mod sandbox;
mod server;
mod sockaddr;
mod sockopt;
mod stamping;
mod steering;
mod stream;
pub mod traffic;
mod uring;
mod wait;
mod waker;
pub mod xdp;

pub use addresses::{AddressNews, InterfaceAddress, interface_addresses, own_addresses};
pub use carrier::{Backend, Carrier, CarrierError};
pub use client::{ClientSocket, ConnectError};
pub use clock::{monotonic, precision, reading, realtime};
pub use cmsg::{Control, PacketInfo};
pub use control::{ControlSocket, Taken};
pub use cpu::{CpuError, allowed_cores, pin, set_realtime_priority};
pub use group::{ListenGroup, Seats, listen};
pub use holding_back::HoldBack;
pub use interface::{Interface, XdpProgram};
pub use kernel_clock::{
    ClockState, KernelClock, ReadClock, RecordingClock, SteerClock, SteerCommand, SteerError,
};
pub use lan::LanSocket;
pub use mac_address::MacAddress;
pub use message::Received;
pub use mmsg::MmsgIo;
pub use open_files::raise_open_files;
pub use passed::{Passed, listen_by, passed, wait_until_alone};
pub use passing::{FDS_MAX, receive_with_fds, send_with_fds};
pub use peer::peer_user;
pub use privileges::{Capability, PrivilegeError, User, drop_privileges};
pub use raw::{Exit, Exits, ExitsError, Pilot, Transmit};
pub use server::{ListenError, ListenOptions, ServerSocket, check_free};
pub use stamping::Stamping;
pub use steering::Spread;
pub use stream::listen_stream;
pub use uring::{
    Feature, ReplyPath, Report, Unusable, UringIo, UringOptions, UringRefused, probe as probe_uring,
};
pub use wait::{Pulse, Waiter, Woken};
pub use waker::Waker;
