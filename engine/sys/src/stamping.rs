//! Arrival stamps in force: the kernel stamps packets only while some socket asks for it.
//!
//! The first socket of the whole machine that asks switches the stamping on, and the kernel does that a
//! little later, from a work queue: what arrives before carries no stamp. Whoever needs the very first
//! arrival stamped holds a [`Stamping`] meanwhile.
//!
//! Must never: be relied on for correctness. A packet without a stamp can always come.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::ClientSocket;

/// While it lives, packets that arrive at sockets which ask for stamps are stamped.
#[derive(Debug)]
pub struct Stamping {
    _asking: ClientSocket,
}

impl Stamping {
    /// Returns when a packet over loopback has been seen to be stamped, which takes some milliseconds if
    /// nobody else asks for stamps. `None` without a loopback device, or if no stamp came within a tenth
    /// of a second.
    pub fn in_force() -> Option<Self> {
        let echo = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0")).ok()?;
        let asking = ClientSocket::connect(echo.local_addr().ok()?).ok()?;
        let here = asking.local_addr().ok()?;
        let begun = Instant::now();
        let mut bytes = [0; 8];
        while begun.elapsed() < PATIENCE {
            echo.send_to(b"stamped?", here).ok()?;
            if matches!(asking.receive(&mut bytes), Ok(Some(received)) if received.stamp.is_some())
            {
                return Some(Self { _asking: asking });
            }
            thread::sleep(PAUSE);
        }
        None
    }
}

/// The work queue is not known to take longer on a machine that is not starved.
const PATIENCE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_micros(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_it_is_held_the_first_packet_of_a_new_socket_is_stamped() {
        let Some(_stamping) = Stamping::in_force() else {
            panic!("no stamp over loopback within {PATIENCE:?}");
        };
        for _ in 0..20 {
            let echo = UdpSocket::bind("127.0.0.1:0").expect("loopback");
            let asking = ClientSocket::connect(echo.local_addr().expect("bound")).expect("connect");
            echo.send_to(b"first", asking.local_addr().expect("bound")).expect("send");
            let received =
                asking.receive(&mut [0; 8]).expect("receive").expect("loopback is at once");
            assert!(received.stamp.is_some());
        }
    }
}
