//! Why whole groups of directives are refused, and what there is instead: said in one place for both
//! dialects.
//!
//! Must never: give a reason without a way out.

/// Why, and what instead.
pub(super) type Reason = (&'static str, &'static str);

pub(super) const AUTOKEY: Reason = (
    "Autokey (RFC 5906) can be broken by anyone who listens",
    "use symmetric keys (`keys`, AES-CMAC), or NTS",
);
/// Without it the first minutes would be spent waiting for the second answer.
pub(super) const FIRST_BURST: &str = "asked in a burst at the start, as with `iburst`";
pub(super) const NTS: Reason =
    ("NTS is not offered", "a source that needs it is left out rather than asked without");
pub(super) const REFERENCE_CLOCK: Reason = (
    "reference clocks are not read",
    "let a daemon that reads it serve it on another port of this host, and name that as a [[source]]",
);
