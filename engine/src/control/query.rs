//! Answers ntpq: mode 6, for reading only.
//!
//! Who may ask is the access table's word `query`; whoever may not gets silence, because an answer is
//! longer than its question and the question's source may be forged. For the same reason all answers
//! together are bounded. What would change anything, and lists of clients, are refused to everybody.
//!
//! Must never: change anything, or answer a stranger.

use timeball_responder::{PolicyReceiver, Restrictions};
use timeball_sys::{ControlSocket, Taken};
use timeball_time::{Leap, Monotonic, Timestamp};
use timeball_wire::{
    CONTROL_FRAGMENT_MAX, CONTROL_FRAGMENTS_MAX, ControlAnswer, ControlError, ControlRequest,
    opcode,
};

use super::allowance::Allowance;
use super::variables::{Variables, associations, find, status_word};
use crate::report::{Report, Witness};

/// What is known of who may ask, and how much was answered.
#[derive(Debug)]
pub(super) struct Queries {
    policy: PolicyReceiver,
    allowance: Allowance,
}

impl Queries {
    /// Nobody has asked yet; `policy` says who may.
    pub(super) fn new(policy: PolicyReceiver, now: Timestamp<Monotonic>) -> Self {
        Self { policy, allowance: Allowance::new(now) }
    }

    /// Answers `bytes`, which arrived as `taken` on `socket`, if they are to be answered.
    pub(super) fn answer(
        &mut self,
        bytes: &[u8],
        taken: &Taken,
        socket: &ControlSocket,
        witness: &mut Witness,
        now: Timestamp<Monotonic>,
    ) {
        let Some(request) = ControlRequest::parse(bytes).filter(|_| !taken.truncated) else {
            return;
        };
        let withheld = self.policy.refresh().0.access.restrictions(&taken.source);
        if withheld.contains(Restrictions::NO_QUERY) || !self.allowance.has(now) {
            return;
        }
        let Some(report) = witness.report() else { return };
        let (header, data) = respond(&request, &report);
        let fragments = ControlAnswer::fragments(&data).min(CONTROL_FRAGMENTS_MAX);
        let mut datagram = [0; CONTROL_FRAGMENT_MAX];
        for index in 0..fragments {
            let len = header.fragment(&data, index, &mut datagram);
            self.allowance.take();
            // Lost like any datagram; the client asks again.
            let _ = socket.answer(taken, &datagram[..len]);
        }
    }
}

/// The answer to `request` by a server in the state of `report`.
fn respond(request: &ControlRequest<'_>, report: &Report) -> (ControlAnswer, Vec<u8>) {
    let outcome = read(request, report);
    let header = ControlAnswer {
        leap: Leap::from_bits(report.header.leap),
        version: request.version,
        opcode: request.opcode,
        sequence: request.sequence,
        association: request.association,
        status: outcome.as_ref().map(|(status, _)| *status).map_err(|error| *error),
    };
    (header, outcome.map_or_else(|_| Vec::new(), |(_, data)| data))
}

/// Status word and data.
fn read(request: &ControlRequest<'_>, report: &Report) -> Result<(u16, Vec<u8>), ControlError> {
    let data = request.data.ok_or(ControlError::Format)?;
    let subject = find(report, request.association).ok_or(ControlError::Association)?;
    let status = status_word(report, &subject);
    match request.opcode {
        opcode::READ_STATUS if request.association == 0 => {
            let pairs =
                associations(report).map(|(id, subject)| (id, status_word(report, &subject)));
            let octets = pairs.flat_map(|(id, status)| [id.to_be_bytes(), status.to_be_bytes()]);
            Ok((status, octets.flatten().collect()))
        }
        opcode::READ_STATUS => Ok((status, Variables::of(report, &subject).lines())),
        opcode::READ_VARIABLES => {
            let variables = Variables::of(report, &subject);
            let names = std::str::from_utf8(data).map_err(|_| ControlError::Variable)?;
            Ok((status, variables.named(names).ok_or(ControlError::Variable)?.lines()))
        }
        opcode::READ_CLOCK_VARIABLES => {
            let variables =
                Variables::of_clock(report, &subject).ok_or(ControlError::Association)?;
            Ok((status, variables.lines()))
        }
        opcode::WRITE_VARIABLES
        | opcode::WRITE_CLOCK_VARIABLES
        | opcode::SET_TRAP
        | opcode::UNSET_TRAP
        | opcode::CONFIGURE
        | opcode::SAVE_CONFIG
        | opcode::READ_MRU
        | opcode::READ_ORDERED_LIST
        | opcode::REQUEST_NONCE => Err(ControlError::Permission),
        _ => Err(ControlError::Opcode),
    }
}
