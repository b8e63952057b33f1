//! What may wait for a worker: enough for a burst, and no more.
//!
//! Must never: advise a buffer in which answers grow old.

use crate::{Finding, Scene, Setting};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let setting = Setting::file(LIMIT);
    let limit: u64 = match setting.read(scene.host) {
        Ok(value) => value.parse().unwrap_or(0),
        Err(why) => return vec![Finding::unseen(&why)],
    };
    if limit >= ASKED_FOR {
        return vec![Finding::good(format!("up to {limit} octets; timeball asks for {ASKED_FOR}"))];
    }
    vec![
        Finding::advice(
            format!("at most {limit} octets; timeball asks for {ASKED_FOR}"),
            format!("{ASKED_FOR}"),
            "a burst that outruns a worker waits there; the usual limit holds 50 to 180 requests, by \
             network card, and the \
             rest is lost. More than about 500 would only make answers late",
        )
        .change(setting, ASKED_FOR.to_string())
        .by_hand("to keep it after a restart: sysctl.d/30-timeball.conf"),
    ]
}

const LIMIT: &str = "/proc/sys/net/core/rmem_max";
/// The default of timeball's `receive_buffer_bytes`.
const ASKED_FOR: u64 = 262_144;
