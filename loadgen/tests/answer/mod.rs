//! Servers of the tests' own, which answer as they are told.
#![expect(unreachable_pub, reason = "each test binary is a crate")]

use std::net::{SocketAddr, UdpSocket};
use std::time::{SystemTime, UNIX_EPOCH};

/// A server on loopback that answers each request with whatever `answer` makes of it.
pub fn serve(answer: impl Fn(u64, [u8; 48], &dyn Fn(&[u8])) + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let address = socket.local_addr().expect("bound");
    // The thread ends with the process; its socket is all it holds.
    std::thread::spawn(move || {
        let mut bytes = [0; 48];
        for number in 0.. {
            let Ok((_, source)) = socket.recv_from(&mut bytes) else { return };
            answer(number, reply_to(&bytes), &|reply| {
                let _ = socket.send_to(reply, source);
            });
        }
    });
    address
}

/// A valid reply whose four times are true.
pub fn reply_to(request: &[u8; 48]) -> [u8; 48] {
    let mut reply = *request;
    reply[0] = 0x24;
    reply[1] = 1;
    reply.copy_within(40..48, 24);
    let now = now_ntp();
    reply[32..40].copy_from_slice(&now.to_be_bytes());
    reply[40..48].copy_from_slice(&now.to_be_bytes());
    reply
}

/// Now, as the wire has it.
pub fn now_ntp() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    ((now.as_secs() + 2_208_988_800) << 32) | fraction
}
