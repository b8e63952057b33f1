//! What clients are told of the clock, and what is behind it.

use super::{Family, counter, gauge};

pub(super) static FAMILIES: &[Family] = &[
    gauge(
        "timeball_clock_synchronised",
        "",
        "1 if clients are told so (leap is not 3), else 0.",
        |seen, out| out.only(f64::from(seen.report.is_serving())),
    ),
    gauge(
        "timeball_clock_info",
        "reference_id, basis, steering",
        "Always 1; where the time comes from, what it rests on (sources, local, nothing) and what is \
         steered (virtual: the served time alone).",
        |seen, out| {
            let (header, clock) = (&seen.report.header, &seen.report.clock);
            let labels = [
                ("reference_id", header.reference_id.as_str()),
                ("basis", &clock.basis),
                ("steering", &clock.steering),
            ];
            out.add(&labels, 1.0);
        },
    ),
    gauge("timeball_clock_stratum", "", "As told; 0: not synchronised.", |seen, out| {
        out.only(seen.report.header.stratum.into());
    }),
    gauge(
        "timeball_clock_leap",
        "",
        "Leap indicator as told; 3: not synchronised.",
        |seen, out| {
            out.only(seen.report.header.leap.into());
        },
    ),
    gauge(
        "timeball_clock_root_delay_seconds",
        "",
        "Round-trip delay to the reference, as told.",
        |seen, out| out.only(seen.report.header.root_delay_s),
    ),
    gauge(
        "timeball_clock_root_dispersion_seconds",
        "",
        "Error bound to the reference without the delay's part, as told.",
        |seen, out| out.only(seen.report.header.root_dispersion_s),
    ),
    gauge(
        "timeball_clock_root_distance_seconds",
        "",
        "Bound of the served time's error: half the root delay and the root dispersion.",
        |seen, out| out.only(seen.report.header.root_distance_s),
    ),
    gauge(
        "timeball_clock_root_distance_limit_seconds",
        "",
        "Where the server stops saying it is synchronised (max_root_distance_s).",
        |seen, out| out.only(seen.report.clock.max_root_distance_s),
    ),
    gauge(
        "timeball_clock_reference_age_seconds",
        "",
        "Since the clock was last corrected; absent: never.",
        |seen, out| out.maybe(seen.report.header.reference_age_s),
    ),
    gauge(
        "timeball_clock_frequency_ratio",
        "",
        "Frequency of truth against the free-running clock: 1e-6 is one ppm slow.",
        |seen, out| out.only(seen.report.clock.frequency_ppm * PPM),
    ),
    gauge(
        "timeball_clock_frequency_error_ratio",
        "",
        "Standard deviation of that.",
        |seen, out| out.only(seen.report.clock.frequency_error_ppm * PPM),
    ),
    gauge("timeball_clock_correction_seconds", "", "Served minus kernel time.", |seen, out| {
        out.only(seen.report.clock.correction_s);
    }),
    gauge("timeball_clock_residual_seconds", "", "What is still being slewed.", |seen, out| {
        out.only(seen.report.clock.residual_s);
    }),
    gauge(
        "timeball_clock_offset_error_seconds",
        "",
        "Standard deviation of the combined estimate of the sources.",
        |seen, out| out.only(seen.report.clock.offset_error_s),
    ),
    counter("timeball_clock_updates_total", "", "Revisions of the estimate.", |seen, out| {
        out.only(seen.report.clock.updates as f64);
    }),
    counter("timeball_clock_steps_total", "", "Steps of the served time.", |seen, out| {
        out.only(seen.report.clock.steps as f64);
    }),
    counter(
        "timeball_clock_foreign_steps_total",
        "",
        "Steps of the kernel clock by others.",
        |seen, out| out.only(seen.report.clock.foreign_steps as f64),
    ),
    gauge(
        "timeball_clock_leap_second_tonight",
        "",
        "1 if a leap second comes at the end of this UTC day, else 0.",
        |seen, out| out.only(f64::from(seen.report.clock.leap_second.is_some())),
    ),
    gauge(
        "timeball_clock_tai_offset_seconds",
        "",
        "TAI − UTC by the list of leap seconds; absent: there is none.",
        |seen, out| out.maybe(seen.report.clock.tai_offset_s.map(f64::from)),
    ),
];

const PPM: f64 = 1e-6;
