//! Any octets: a control message never panics, its data is of the datagram, and no answer is a request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use timeball_time::Leap;
use timeball_wire::{
    CONTROL_FRAGMENT_MAX, CONTROL_HEADER_LEN, ControlAnswer, ControlError, ControlRequest,
};

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = ControlRequest::parse(bytes) else { return };
    assert!(bytes.len() >= CONTROL_HEADER_LEN && bytes[1] < 32);
    if let Some(data) = request.data {
        assert_eq!(data, &bytes[CONTROL_HEADER_LEN..CONTROL_HEADER_LEN + data.len()]);
    }
    let ControlRequest { version, opcode, sequence, association, data } = request;
    let status = data.map(|data| data.len() as u16).ok_or(ControlError::Format);
    let leap = Leap::from_bits(bytes[0] >> 6);
    let answer = ControlAnswer { leap, version, opcode, sequence, association, status };
    let data = data.unwrap_or(&[]).repeat(usize::from(bytes[0]));
    for index in 0..ControlAnswer::fragments(&data) {
        let mut datagram = [0; CONTROL_FRAGMENT_MAX];
        let len = answer.fragment(&data, index, &mut datagram);
        assert!(len % 4 == 0 && ControlRequest::parse(&datagram[..len]).is_none());
        assert_eq!((&datagram[2..4], &datagram[6..8]), (&bytes[2..4], &bytes[6..8]));
    }
});
