//! The TOML text of a draft, every setting with the line it comes from.
//!
//! Must never: write a line without knowing where it comes from, but for headings.

use timeball_responder::Restrictions;

use super::draft::{Access, Source, quoted};
use super::finding::Place;
use crate::config::{Family, Words as _, words_of};

/// A configuration being written.
#[derive(Default)]
pub(super) struct Text {
    text: String,
    origins: Vec<Option<Place>>,
}

impl Text {
    fn line(&mut self, line: &str, place: Option<&Place>) {
        self.text += line;
        self.text.push('\n');
        self.origins.push(place.cloned());
    }

    /// A heading such as `[server]`.
    pub(super) fn section(&mut self, header: &str) {
        self.line("", None);
        self.line(header, None);
    }

    /// A setting, and where it comes from.
    pub(super) fn setting(&mut self, key: &str, value: &str, place: Option<&Place>) {
        self.line(&format!("{key} = {value}"), place);
    }

    /// A heading such as `[[source]]`, and where it comes from.
    pub(super) fn repeated(&mut self, header: &str, place: &Place) {
        self.line("", None);
        self.line(&format!("# {place}"), None);
        self.line(header, Some(place));
    }

    /// An `[[access]]`.
    pub(super) fn access(&mut self, rule: &Access) {
        let place = Some(&rule.place);
        self.repeated("[[access]]", &rule.place);
        self.setting("network", &quoted(&rule.whom.to_string()), place);
        let list = |words: &[&str]| {
            let quoted: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            format!("[{}]", quoted.join(", "))
        };
        let [allow, require] = words_of(rule.restrictions);
        self.setting("allow", &list(&allow), place);
        if !require.is_empty() && allow.contains(&"time") {
            self.setting("require", &list(&require), place);
        }
        if rule.restrictions.contains(Restrictions::KISSED) {
            self.setting("kiss", "true", place);
        }
        if rule.from_ntp_port {
            self.setting("from_port_123", "true", place);
        }
    }

    /// A `[[source]]`.
    pub(super) fn source(&mut self, source: &Source) {
        let place = Some(&source.place);
        self.repeated("[[source]]", &source.place);
        let address = match source.port {
            Some(port) if source.host.contains(':') => format!("[{}]:{port}", source.host),
            Some(port) => format!("{}:{port}", source.host),
            None => source.host.clone(),
        };
        self.setting("address", &quoted(&address), place);
        self.setting("min_poll", &source.min_poll.to_string(), place);
        self.setting("max_poll", &source.max_poll.to_string(), place);
        if source.prefer {
            self.setting("prefer", "true", place);
        }
        if let Some(key) = source.key {
            self.setting("key", &key.to_string(), place);
        }
        if source.max_sources > 1 {
            self.setting("max_sources", &source.max_sources.to_string(), place);
        }
        if source.family != Family::Any {
            self.setting("family", &quoted(source.family.word()), place);
        }
    }

    /// The text, and where each of its lines comes from.
    pub(super) fn finish(self) -> (String, Vec<Option<Place>>) {
        (self.text, self.origins)
    }
}
