//! Reading the TOML tree, section by section and setting by setting.
//!
//! A value that will not do is noted with its place and replaced by [`Noted`], which is nothing but
//! the proof that a message exists: reading goes on, and a plan cannot be built from it.
//!
//! Must never: stop at a problem, or report one twice.

use std::cell::RefCell;
use std::ops::Range;

use timeball_time::Interval;
use toml::de::{DeTable, DeValue};

use super::kind::{Choice, Described, Flag, Seconds, Section, Setting, Text, Texts, Whole, Wholes};
use super::plan::Words;
use super::problem::{Position, Problem, line_starts};
use super::settings::SECTIONS;

/// The file being read, and what was found wrong with it so far.
pub(super) struct Document<'t> {
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Stands for a section that is not there: every setting has its default.
    absent: DeTable<'t>,
    problems: RefCell<Vec<Problem>>,
}

/// A problem was noted where a value should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted(());

/// A value and where it stands; nowhere if it is the default.
#[derive(Clone, Copy)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) position: Option<Position>,
}

/// A value that stands in the file.
#[derive(Clone, Copy)]
pub(super) struct Written<T> {
    pub(super) value: T,
    pub(super) position: Position,
}

impl<T> Found<T> {
    fn or_default(read: Option<Written<T>>, default: T) -> Self {
        match read {
            Some(Written { value, position }) => Self { value, position: Some(position) },
            None => Self { value: default, position: None },
        }
    }
}

impl<'t> Document<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            lines: line_starts(text),
            absent: DeTable::new(),
            problems: RefCell::default(),
        }
    }

    /// Notes a problem.
    pub(super) fn note(
        &self,
        position: Position,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Noted {
        let problem = Problem { position, cause: cause.into(), remedy: remedy.into() };
        self.problems.borrow_mut().push(problem);
        Noted(())
    }

    /// Everything noted.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// The text of the file.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// Where `span` begins.
    pub(super) fn position(&self, span: &Range<usize>) -> Position {
        Position::in_lines(self.text, &self.lines, span.start)
    }

    /// What is written at `span`, fit for one line of a message.
    pub(super) fn excerpt(&self, span: &Range<usize>) -> String {
        let written = self.text.get(span.clone()).unwrap_or_default();
        let line = written.lines().next().unwrap_or_default();
        let mut shown: String = line.chars().take(EXCERPT_CHARS_MAX).collect();
        if shown.len() < written.len() {
            shown.push('…');
        }
        shown.replace(char::is_control, "\u{FFFD}")
    }

    /// Notes every name at the top of the file that is no section.
    pub(super) fn refuse_unknown_sections(&self, root: &DeTable<'t>) {
        for key in root.keys() {
            let name = key.get_ref().as_ref();
            if SECTIONS.iter().any(|section| section.name == name) {
                continue;
            }
            let shown = self.excerpt(&key.span());
            let home = home_of(name).map(|section| format!("write it under {}", section.header()));
            let remedy = home
                .or_else(|| {
                    let meant = nearest(name, SECTIONS.iter().map(|section| section.name))?;
                    let section = SECTIONS.iter().find(|section| section.name == meant)?;
                    Some(format!("did you mean {}?", section.header()))
                })
                .unwrap_or_else(|| {
                    let headers: Vec<_> = SECTIONS.iter().map(|section| section.header()).collect();
                    format!("remove it, or use one of {}", headers.join(", "))
                });
            self.note(self.position(&key.span()), format!("`{shown}` is no section"), remedy);
        }
    }

    /// A section that is written once; one that is not there has every setting at its default.
    pub(super) fn section<'d>(
        &'d self,
        root: &'d DeTable<'t>,
        section: &'static Section,
    ) -> Result<SectionReader<'d, 't>, Noted> {
        let Some((key, value)) = root.get_key_value(section.name) else {
            return Ok(SectionReader::new(self, section, &self.absent, Position::START));
        };
        let position = self.position(&key.span());
        match value.get_ref() {
            DeValue::Table(table) => Ok(SectionReader::new(self, section, table, position)),
            other => Err(self.note(
                position,
                format!("`{}` is {}, not a section", section.name, kind_of(other)),
                format!("write {} once, on a line of its own", section.header()),
            )),
        }
    }

    /// The section written any number of times.
    pub(super) fn repeated<'d>(
        &'d self,
        root: &'d DeTable<'t>,
        section: &'static Section,
    ) -> Result<Vec<SectionReader<'d, 't>>, Noted> {
        let Some((key, value)) = root.get_key_value(section.name) else { return Ok(Vec::new()) };
        let wrong = |position, found: &DeValue<'_>| {
            let cause = match found {
                DeValue::Table(_) => format!("[{}] in single brackets", section.name),
                other => format!("`{}` is {}, not a section", section.name, kind_of(other)),
            };
            let remedy = format!("write {}, in double brackets, for each", section.header());
            self.note(position, cause, remedy)
        };
        let DeValue::Array(entries) = value.get_ref() else {
            return Err(wrong(self.position(&key.span()), value.get_ref()));
        };
        let readers = entries.iter().map(|entry| {
            let position = self.position(&entry.span());
            match entry.get_ref() {
                DeValue::Table(table) => Ok(SectionReader::new(self, section, table, position)),
                other => Err(wrong(position, other)),
            }
        });
        all(readers.collect())
    }
}

/// One section of the file, from which settings are read.
pub(super) struct SectionReader<'d, 't> {
    document: &'d Document<'t>,
    section: &'static Section,
    table: &'d DeTable<'t>,
    /// Where the section begins.
    pub(super) position: Position,
}

impl<'d, 't> SectionReader<'d, 't> {
    fn new(
        document: &'d Document<'t>,
        section: &'static Section,
        table: &'d DeTable<'t>,
        position: Position,
    ) -> Self {
        let reader = Self { document, section, table, position };
        reader.refuse_unknown_settings();
        reader
    }

    /// Notes a problem at `position`.
    pub(super) fn note(
        &self,
        position: Position,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Noted {
        self.document.note(position, cause, remedy)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, setting: &Setting<Flag>) -> Result<Found<bool>, Noted> {
        let read = self.read(setting, "true or false", |value| value.as_bool())?;
        Ok(Found::or_default(read, setting.kind.default))
    }

    /// A whole number in its range.
    pub(super) fn whole(&self, setting: &Setting<Whole>) -> Result<Found<i64>, Noted> {
        let read = self.read(setting, "a whole number", whole)?;
        let in_range = |value: &i64| setting.kind.range.contains(value);
        let (from, to) = (setting.kind.range.start(), setting.kind.range.end());
        self.limited(setting, read, setting.kind.default, in_range, || format!("{from} to {to}"))
    }

    /// Seconds in their range.
    pub(super) fn seconds(&self, setting: &Setting<Seconds>) -> Result<Found<Interval>, Noted> {
        let read = self.read(setting, "a number", number)?;
        let in_range = |value: &f64| setting.kind.range.contains(value);
        let (from, to) = (setting.kind.range.start(), setting.kind.range.end());
        let hint = || format!("{from} to {to} seconds");
        let found = self.limited(setting, read, setting.kind.default, in_range, hint)?;
        Ok(Found { value: Interval::from_secs_f64(found.value), position: found.position })
    }

    /// One of the words of `T`.
    pub(super) fn choice<T: Words + Sync>(
        &self,
        setting: &Setting<Choice<T>>,
    ) -> Result<Found<T>, Noted> {
        let word = self.read(setting, "text", |value| value.as_str())?;
        let Some(word) = word else {
            return Ok(Found { value: setting.kind.default, position: None });
        };
        match T::WORDS.iter().find(|(name, _)| *name == word.value) {
            Some((_, value)) => Ok(Found { value: *value, position: Some(word.position) }),
            None => {
                let remedy = format!("write {}", setting.kind.words());
                let cause = format!("`{}` is not a choice", self.as_written(setting));
                Err(self.note(word.position, cause, remedy))
            }
        }
    }

    /// Text, if it is there.
    pub(super) fn text(&self, setting: &Setting<Text>) -> Result<Option<Written<&'d str>>, Noted> {
        self.read(setting, "text", |value| value.as_str())
    }

    /// A list of texts, if it is there.
    pub(super) fn texts(
        &self,
        setting: &Setting<Texts>,
    ) -> Result<Option<Written<Vec<Written<&'d str>>>>, Noted> {
        let read = self.list(setting, "text", |value| value.as_str())?;
        self.counted(setting, &setting.kind.count, read)
    }

    /// A list of whole numbers, if it is there.
    pub(super) fn wholes(
        &self,
        setting: &Setting<Wholes>,
    ) -> Result<Option<Written<Vec<Written<i64>>>>, Noted> {
        let read = self.list(setting, "a whole number", whole)?;
        self.counted(setting, &setting.kind.count, read)
    }

    /// The setting as the file has it, `key = value`, for a message.
    pub(super) fn as_written(&self, setting: &dyn Described) -> String {
        match self.table.get(setting.key()) {
            Some(value) => {
                format!("{} = {}", setting.key(), self.document.excerpt(&value.span()))
            }
            None => format!("{} = {}", setting.key(), setting.sample()),
        }
    }

    fn read<T>(
        &self,
        setting: &dyn Described,
        expected: &str,
        convert: impl FnOnce(&'d DeValue<'t>) -> Option<T>,
    ) -> Result<Option<Written<T>>, Noted> {
        let listed = self.section.settings.iter().any(|known| known.key() == setting.key());
        debug_assert!(listed, "{} is missing in the list of {}", setting.key(), self.section.name);
        let Some(written) = self.table.get(setting.key()) else { return Ok(None) };
        let position = self.document.position(&written.span());
        match convert(written.get_ref()) {
            Some(value) => Ok(Some(Written { value, position })),
            None => {
                let (key, kind) = (setting.key(), kind_of(written.get_ref()));
                let cause = format!("`{key}` is {kind}, not {expected}");
                let remedy = format!("write it as in `{key} = {}`", setting.sample());
                Err(self.note(position, cause, remedy))
            }
        }
    }

    fn limited<T>(
        &self,
        setting: &dyn Described,
        read: Option<Written<T>>,
        default: T,
        in_range: impl Fn(&T) -> bool,
        hint: impl Fn() -> String,
    ) -> Result<Found<T>, Noted> {
        match read {
            Some(Written { value, position }) if !in_range(&value) => {
                let cause = format!("`{}` is out of range", self.as_written(setting));
                Err(self.note(position, cause, format!("write {}", hint())))
            }
            other => Ok(Found::or_default(other, default)),
        }
    }

    fn list<T>(
        &self,
        setting: &dyn Described,
        expected: &str,
        convert: impl Fn(&'d DeValue<'t>) -> Option<T>,
    ) -> Result<Option<Written<Vec<Written<T>>>>, Noted> {
        let Some(list) = self.read(setting, "a list", |value| value.as_array())? else {
            return Ok(None);
        };
        let entries = list.value.iter().map(|entry| {
            let position = self.document.position(&entry.span());
            let wrong = || {
                let (key, kind) = (setting.key(), kind_of(entry.get_ref()));
                let cause = format!("an entry of `{key}` is {kind}, not {expected}");
                self.note(position, cause, format!("write `{key} = {}`", setting.sample()))
            };
            let value = convert(entry.get_ref()).ok_or_else(wrong)?;
            Ok(Written { value, position })
        });
        Ok(Some(Written { value: all(entries.collect())?, position: list.position }))
    }

    fn counted<T>(
        &self,
        setting: &dyn Described,
        count: &std::ops::RangeInclusive<usize>,
        read: Option<Written<Vec<T>>>,
    ) -> Result<Option<Written<Vec<T>>>, Noted> {
        match read {
            Some(list) if !count.contains(&list.value.len()) => {
                let cause = format!("`{}` has {} entries", setting.key(), list.value.len());
                let (from, to) = (count.start(), count.end());
                let remedy = format!("list {from} to {to}, or leave the setting out");
                Err(self.note(list.position, cause, remedy))
            }
            other => Ok(other),
        }
    }

    fn refuse_unknown_settings(&self) {
        let known = || self.section.settings.iter().map(|setting| setting.key());
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if known().any(|setting| setting == name) {
                continue;
            }
            let shown = self.document.excerpt(&key.span());
            let header = self.section.header();
            let remedy = match (nearest(name, known()), home_of(name)) {
                (_, Some(home)) => format!("it belongs under {}", home.header()),
                (Some(meant), None) => format!("did you mean `{meant}`?"),
                (None, None) => {
                    let names: Vec<_> = known().collect();
                    format!("remove it, or use one of {}", names.join(", "))
                }
            };
            let position = self.document.position(&key.span());
            self.note(position, format!("{header} has no setting `{shown}`"), remedy);
        }
    }
}

/// Every value, or the news that one of them is missing; the caller has noted each of those.
pub(super) fn all<T>(values: Vec<Result<T, Noted>>) -> Result<Vec<T>, Noted> {
    values.into_iter().collect()
}

/// The one section that has a setting of this name.
fn home_of(name: &str) -> Option<&'static Section> {
    let has = |section: &&Section| section.settings.iter().any(|setting| setting.key() == name);
    SECTIONS.iter().copied().find(has)
}

/// The name that `written` is most likely a slip of.
pub(crate) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let distance = |name: &str| strsim::damerau_levenshtein(written, name);
    names
        .map(|name| (distance(name), name))
        .filter(|(distance, name)| *distance <= name.len() / SLIP_EVERY_CHARS + 1)
        .min()
        .map(|(_, name)| name)
}

/// The number, saturated if it is too large for an `i64`: it is then out of every range.
fn whole(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    let beyond = if integer.as_str().starts_with('-') { i64::MIN } else { i64::MAX };
    Some(i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(beyond))
}

/// The number, whole or not; a NaN is in no range.
fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(float) => Some(float.as_str().parse().unwrap_or(f64::NAN)),
        other => whole(other).map(|number| number as f64),
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// Messages are for one line of a terminal.
const EXCERPT_CHARS_MAX: usize = 60;
/// One slip is forgiven, and another for every so many characters.
const SLIP_EVERY_CHARS: usize = 4;
