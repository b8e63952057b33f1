//! What a section and a setting are, and the kinds of value a setting takes.
//!
//! A kind carries its limits, so that reading a setting and describing it cannot disagree. The
//! settings themselves are in `settings/`.
//!
//! Must never: name a particular setting.

use std::ops::RangeInclusive;

use super::plan::Words;

/// One section of the file.
pub(super) struct Section {
    /// Its name, as between the brackets.
    pub(super) name: &'static str,
    /// What it is about, for the example.
    pub(super) about: &'static str,
    /// How it is written, and whether being there means something by itself.
    pub(super) presence: Presence,
    /// Its settings, in the order of the example.
    pub(super) settings: &'static [&'static dyn Described],
}

/// What it means that a section is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Nothing: `[name]` without settings is all defaults.
    Always,
    /// `[name]` turns something on.
    Optional,
    /// Each `[[name]]` adds one.
    Repeated,
}

impl Section {
    /// The section's name in its brackets.
    pub(super) fn header(&self) -> String {
        match self.presence {
            Presence::Always | Presence::Optional => format!("[{}]", self.name),
            Presence::Repeated => format!("[[{}]]", self.name),
        }
    }
}

/// One setting: what it is called, what it means, and what may be written.
pub(super) struct Setting<K> {
    /// The name before the equals sign; the unit comes last in it where TOML's type leaves it open.
    pub(super) key: &'static str,
    /// What it means, for the example.
    pub(super) about: &'static str,
    /// What may be written.
    pub(super) kind: K,
}

/// What the example and the messages say about a setting, whatever its kind.
pub(super) trait Described: Sync {
    /// The name before the equals sign.
    fn key(&self) -> &'static str;
    /// What it means.
    fn about(&self) -> &'static str;
    /// Unit, range and default, in words.
    fn limits(&self) -> String;
    /// A value as it may be written: the default, or an example where the default is absence.
    fn sample(&self) -> String;
}

/// What kind of value a setting takes.
pub(super) trait Kind: Sync {
    /// Unit, range and default, in words.
    fn limits(&self) -> String;
    /// A value as it may be written.
    fn sample(&self) -> String;
}

impl<K: Kind> Described for Setting<K> {
    fn key(&self) -> &'static str {
        self.key
    }
    fn about(&self) -> &'static str {
        self.about
    }
    fn limits(&self) -> String {
        self.kind.limits()
    }
    fn sample(&self) -> String {
        self.kind.sample()
    }
}

/// `true` or `false`.
pub(super) struct Flag {
    pub(super) default: bool,
}

impl Kind for Flag {
    fn limits(&self) -> String {
        format!("true or false; default {}", self.default)
    }
    fn sample(&self) -> String {
        self.default.to_string()
    }
}

/// A whole number.
pub(super) struct Whole {
    pub(super) unit: &'static str,
    pub(super) range: RangeInclusive<i64>,
    pub(super) default: i64,
}

impl Kind for Whole {
    fn limits(&self) -> String {
        let (from, to) = (self.range.start(), self.range.end());
        format!("{}, {from} to {to}; default {}", self.unit, self.default)
    }
    fn sample(&self) -> String {
        self.default.to_string()
    }
}

/// A number of seconds, with or without a fraction.
pub(super) struct Seconds {
    pub(super) range: RangeInclusive<f64>,
    pub(super) default: f64,
}

impl Kind for Seconds {
    fn limits(&self) -> String {
        let (from, to) = (self.range.start(), self.range.end());
        format!("seconds, {from} to {to}; default {}", self.default)
    }
    fn sample(&self) -> String {
        self.default.to_string()
    }
}

/// One word of several.
pub(super) struct Choice<T> {
    pub(super) default: T,
}

impl<T: Words> Choice<T> {
    /// The words in quotes: `"a", "b" or "c"`.
    pub(super) fn words(&self) -> String {
        let quoted: Vec<String> = T::WORDS.iter().map(|(word, _)| format!("{word:?}")).collect();
        match quoted.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => quoted.concat(),
        }
    }
}

impl<T: Words + Sync> Kind for Choice<T> {
    fn limits(&self) -> String {
        format!("{}; default {:?}", self.words(), self.default.word())
    }
    fn sample(&self) -> String {
        format!("{:?}", self.default.word())
    }
}

/// Text of a certain form; there is no default but absence.
pub(super) struct Text {
    pub(super) form: &'static str,
    pub(super) absent: &'static str,
    pub(super) example: &'static str,
}

impl Kind for Text {
    fn limits(&self) -> String {
        format!("{}; {}", self.form, self.absent)
    }
    fn sample(&self) -> String {
        format!("{:?}", self.example)
    }
}

/// A list of texts; there is no default but absence.
pub(super) struct Texts {
    pub(super) form: &'static str,
    pub(super) count: RangeInclusive<usize>,
    pub(super) absent: &'static str,
    pub(super) example: &'static [&'static str],
}

impl Kind for Texts {
    fn limits(&self) -> String {
        list_limits(&self.count, self.form, self.absent)
    }
    fn sample(&self) -> String {
        format!("{:?}", self.example)
    }
}

/// A list of whole numbers; there is no default but absence.
pub(super) struct Wholes {
    pub(super) form: &'static str,
    pub(super) count: RangeInclusive<usize>,
    pub(super) absent: &'static str,
    pub(super) example: &'static [i64],
}

impl Kind for Wholes {
    fn limits(&self) -> String {
        list_limits(&self.count, self.form, self.absent)
    }
    fn sample(&self) -> String {
        format!("{:?}", self.example)
    }
}

fn list_limits(count: &RangeInclusive<usize>, form: &str, absent: &str) -> String {
    format!("{} to {} {form}; {absent}", count.start(), count.end())
}
