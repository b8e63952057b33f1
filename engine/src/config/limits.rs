//! `[limits]`: how much a client may ask for, how it is read, and how a plan says it.
//!
//! Must never: choose a number; the defaults are the limiter's own.

use std::num::NonZeroU32;

use serde_json::{Value, json};
use timeball_responder::{LimitMode, LimitSettings};

use super::kind::{Setting, Whole};
use super::plan::Words;
use super::section::{Noted, SectionReader};
use super::settings::{BURST, CLIENTS, INTERVAL_S, LEAK, LIMIT_MODE};

impl Words for LimitMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("observe", Self::Observe), ("on", Self::On)];
}

pub(super) fn read_limits(section: &SectionReader<'_, '_>) -> Result<LimitSettings, Noted> {
    let count = |setting: &Setting<Whole>| {
        let count = section.whole(setting)?.value;
        Ok(NonZeroU32::try_from(count as u32).expect("in its range"))
    };
    let (mode, interval) = (section.choice(&LIMIT_MODE), section.seconds(&INTERVAL_S));
    let (burst, leak, clients) = (count(&BURST), count(&LEAK), section.whole(&CLIENTS));
    Ok(LimitSettings {
        mode: mode?.value,
        interval: interval?.value,
        burst: burst?,
        leak: leak?,
        clients: clients?.value as usize,
    })
}

/// What the limits come to, for people.
pub(crate) fn limits_text(limits: &LimitSettings) -> String {
    let LimitSettings { interval, burst, leak, clients, .. } = limits;
    let amount = format!("one request in {} s, {burst} at once", interval.as_secs_f64());
    match limits.mode {
        LimitMode::Off => "nobody".to_owned(),
        LimitMode::Observe => format!("nobody, but count who asks for more than {amount}"),
        LimitMode::On => format!(
            "each client to {amount}, and 1 in {leak} of the rest; a worker remembers {clients}"
        ),
    }
}

/// The limits for programs, by the names of the file.
pub(crate) fn limits_json(limits: &LimitSettings) -> Value {
    json!({
        "mode": limits.mode.word(),
        "interval_s": limits.interval.as_secs_f64(),
        "burst": limits.burst,
        "leak": limits.leak,
        "clients": limits.clients,
    })
}
