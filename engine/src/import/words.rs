//! From a line to its words, as ntpd and as chronyd split it.
//!
//! Must never: lose a character that is not a blank or in a comment.

use super::dialect::Dialect;

/// A word of a line, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words(pub(super) Vec<String>);

impl Words {
    /// The words of `line`; none if it is blank or a comment.
    ///
    /// # Errors
    ///
    /// A quote that is not closed.
    pub(super) fn of(line: &str, dialect: Dialect) -> Result<Self, &'static str> {
        match dialect {
            Dialect::Ntp => ntp(line),
            Dialect::Chrony => Ok(chrony(line)),
        }
    }
}

/// A # where a word could begin starts a comment; quotes keep blanks together; =, ( and ) stand alone.
fn ntp(line: &str) -> Result<Words, &'static str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next().filter(|first| *first != '#') {
        let end = match first {
            '"' => {
                let (quoted, after) =
                    rest[1..].split_once('"').ok_or("opens a quote that is not closed")?;
                words.push(quoted.to_owned());
                rest = after.trim_start();
                continue;
            }
            '=' | '(' | ')' => 1,
            _ => {
                rest.find(|c: char| c.is_whitespace() || "=()\"".contains(c)).unwrap_or(rest.len())
            }
        };
        words.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    Ok(Words(words))
}

/// Only a line that begins with one of four marks is a comment; a word may have quotes around it.
fn chrony(line: &str) -> Words {
    let line = line.trim();
    if line.starts_with(['!', ';', '#', '%']) {
        return Words(Vec::new());
    }
    let unquoted = |word: &str| {
        let inner = word.strip_prefix('"').and_then(|word| word.strip_suffix('"'));
        inner.unwrap_or(word).to_owned()
    };
    Words(line.split_whitespace().map(unquoted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_their_daemon_splits_them() {
        for (dialect, line, expected) in [
            (Dialect::Ntp, "server  a\tiburst # why\r", &["server", "a", "iburst"][..]),
            (Dialect::Ntp, "  # only this", &[]),
            (Dialect::Ntp, "", &[]),
            (Dialect::Ntp, "logfile \"/var/my log\"", &["logfile", "/var/my log"]),
            (Dialect::Ntp, "setvar a=b", &["setvar", "a", "=", "b"]),
            (
                Dialect::Ntp,
                "trustedkey (1 ... 9) 12",
                &["trustedkey", "(", "1", "...", "9", ")", "12"],
            ),
            (
                Dialect::Ntp,
                "logconfig =syncstatus +sysevents",
                &["logconfig", "=", "syncstatus", "+sysevents"],
            ),
            (Dialect::Chrony, "server a # b", &["server", "a", "#", "b"]),
            (Dialect::Chrony, "! server a", &[]),
            (Dialect::Chrony, "% x", &[]),
            (Dialect::Chrony, "sched_priority \"1\"\r", &["sched_priority", "1"]),
        ] {
            assert_eq!(Words::of(line, dialect).unwrap().0, expected, "{line}");
        }
        assert!(Words::of("keys \"/etc", Dialect::Ntp).is_err());
    }
}
