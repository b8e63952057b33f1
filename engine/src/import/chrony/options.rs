//! Lines that tune chronyd and have a counterpart.
//!
//! Must never: turn a number of chronyd's into one of timeball's that means something else.

use super::super::draft::{Draft, quoted};
use super::super::entry::Entry;
use super::super::numbers;

pub(super) fn driftfile(draft: &mut Draft, entry: &mut Entry) {
    draft.set_path(entry, "clock", "drift_file");
    if entry.takes("interval") && entry.number::<f64>("interval").is_some() {
        entry.changed("it is written within the hour when it moved");
    }
}

pub(super) fn leapseclist(draft: &mut Draft, entry: &mut Entry) {
    draft.set_path(entry, "clock", "leap_file");
}

pub(super) fn leapsecmode(draft: &mut Draft, entry: &mut Entry) {
    let Some(mode) = entry.expect("a mode") else { return };
    match mode.to_ascii_lowercase().as_str() {
        "system" => draft.set(entry, "clock", "leap_second", quoted("kernel")),
        mode @ ("step" | "slew") => draft.set(entry, "clock", "leap_second", quoted(mode)),
        "ignore" => {
            entry.refused("a leap second that is ignored makes a wrong clock", "let it be made")
        }
        other => entry.unknown(other, &["ignore", "slew", "step", "system"]),
    }
}

/// `ratelimit [interval LOG2] [burst N] [leak LOG2] [kod LOG2]`.
pub(super) fn ratelimit(draft: &mut Draft, entry: &mut Entry) {
    let (mut interval, mut burst, mut leak) = (3, 8, 2);
    while let Some(option) = entry.next() {
        let option = option.to_ascii_lowercase();
        let known = ["burst", "interval", "kod", "leak"];
        if !known.contains(&option.as_str()) {
            entry.unknown(&option, &known);
            continue;
        }
        let Some(value) = entry.number::<i32>(&option) else { continue };
        match option.as_str() {
            "interval" => interval = value.clamp(-4, 12),
            "burst" => burst = value.clamp(1, 255),
            "leak" => leak = value.clamp(1, 4),
            _ => entry.changed("`kod`: nobody is told; see `kiss` under `[[access]]`"),
        }
    }
    draft.set(entry, "limits", "interval_s", format!("{:?}", 2f64.powi(interval)));
    draft.set(entry, "limits", "burst", burst.to_string());
    draft.set(entry, "limits", "leak", (1 << leak).to_string());
}

pub(super) fn port(draft: &mut Draft, entry: &mut Entry) {
    match entry.number::<u16>("port") {
        Some(0) => entry.changed("`port 0` would make no server of it: port 123 is listened on"),
        Some(port) => draft.port = Some((port, entry.place().clone())),
        None => {}
    }
}

pub(super) fn bindaddress(draft: &mut Draft, entry: &mut Entry) {
    let Some(text) = entry.expect("an address") else { return };
    let Some(address) = numbers::address(&text) else {
        return entry.changed(format!("{text:?} is a device: name its address in `server.listen`"));
    };
    // Of each family the last counts.
    draft.listen.retain(|(known, _)| known.is_ipv4() != address.is_ipv4());
    draft.listen.push((address, entry.place().clone()));
}

pub(super) fn user(draft: &mut Draft, entry: &mut Entry) {
    if let Some(user) = entry.expect("a user's name") {
        draft.set(entry, "server", "user", quoted(&user));
    }
}

/// `local [stratum N] [orphan] [distance D] [activate D] [waitsynced S] [waitunsynced S]`.
pub(super) fn local(draft: &mut Draft, entry: &mut Entry) {
    let mut stratum = 10;
    while let Some(option) = entry.next() {
        match option.to_ascii_lowercase().as_str() {
            "stratum" => stratum = entry.number::<u8>("stratum").unwrap_or(10),
            "orphan" => entry.changed("`orphan`: each server serves its own clock"),
            option @ ("distance" | "activate" | "waitsynced" | "waitunsynced") => {
                entry.number::<f64>(option);
                entry.changed(format!("`{option}`: it is served when all sources have failed"));
            }
            other => {
                let known =
                    ["activate", "distance", "orphan", "stratum", "waitsynced", "waitunsynced"];
                entry.unknown(other, &known);
            }
        }
    }
    if !(1..=15).contains(&stratum) {
        return entry.wrong(format!("there is no stratum {stratum} to serve"), "write 1 to 15");
    }
    draft.set(entry, "local", "stratum", stratum.to_string());
    entry.note("with sources, once they have had 10 s to answer (`local.wait_s`), not before");
}

/// `makestep THRESHOLD LIMIT`.
pub(super) fn makestep(draft: &mut Draft, entry: &mut Entry) {
    let (threshold, limit) = (entry.number::<f64>("makestep"), entry.number::<i64>("makestep"));
    let (Some(threshold), Some(limit)) = (threshold, limit) else { return };
    draft.set_seconds(entry, STEP, threshold, 0.001..=1000.0);
    if limit >= 0 {
        draft.set(entry, "clock", "step_limit", limit.min(1_000_000).to_string());
    }
}

/// `initstepslew THRESHOLD SERVER…`.
pub(super) fn initstepslew(draft: &mut Draft, entry: &mut Entry) {
    let Some(threshold) = entry.number::<f64>("initstepslew") else { return };
    draft.set_seconds(entry, STEP, threshold, 0.001..=1000.0);
    entry.rest();
    entry.changed("the sources themselves say at the start what the time is, not other servers");
}

/// `maxchange OFFSET DELAY IGNORE`.
pub(super) fn maxchange(draft: &mut Draft, entry: &mut Entry) {
    let offset = entry.number::<f64>("maxchange");
    let rest = (entry.number::<i64>("maxchange"), entry.number::<i64>("maxchange"));
    let (Some(offset), (Some(_), Some(_))) = (offset, rest) else { return };
    draft.set_seconds(entry, ("clock", "panic_threshold_s"), offset, 0.001..=1e9);
    entry.changed("such an offset is not believed, and the server says so instead of ending");
}

pub(super) fn maxdistance(draft: &mut Draft, entry: &mut Entry) {
    if let Some(distance) = entry.number::<f64>("maxdistance") {
        draft.set_seconds(entry, ("clock", "max_root_distance_s"), distance, 0.001..=16.0);
        entry.changed("the limit is for what is served, too");
    }
}

const STEP: (&str, &str) = ("clock", "step_threshold_s");
