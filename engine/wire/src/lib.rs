//! NTP packets as bytes, and the seam through which datagrams come and go.
//!
//! Layer 1 of timeball: [`Header`] is the 48 octets every version shares, [`Trailer`] what may follow
//! them, [`Key`] what proves who sent them, [`PacketIo`] how a worker gets and returns datagrams.
//!
//! Must never: allocate (but for the table of [`Keys`], made at the start), read a clock, or trust a
//! length it has not checked.
#![forbid(unsafe_code)]

mod control;
mod fallback;
mod header;
mod keys;
mod mac;
mod network;
mod packet_io;
mod trailer;

pub use control::{
    CONTROL_DATA_MAX, CONTROL_FRAGMENT_MAX, CONTROL_FRAGMENTS_MAX, CONTROL_HEADER_LEN,
    ControlAnswer, ControlError, ControlRequest, opcode,
};
pub use fallback::Fallback;
pub use header::{Flags, HEADER_LEN, Header, Mode, field};
pub use keys::{Keys, Trusted};
pub use mac::{Algorithm, KEY_ID_LEN, Key, KeyId};
pub use network::Network;
pub use packet_io::{BATCH_MAX, Datagram, IoTally, PacketIo, Wait};
pub use trailer::{CRYPTO_NAK_LEN, Malformed, Trailer};
