//! What the TOML parser objects to, in words for someone who has never heard of TOML.
//!
//! One slip makes the parser object many times: only the first objection on each line is kept, and
//! none after a list that is not closed, for the rest of the file was read as its entries.
//!
//! Must never: keep nothing of what the parser objected to.

use std::ops::Range;

use toml::de::Error;

use super::problem::Position;
use super::section::{Document, Noted};
use super::settings::SOURCE;

/// Notes `errors`, of which there is at least one.
pub(super) fn note_syntax(document: &Document<'_>, mut errors: Vec<Error>) -> Noted {
    let start = |error: &Error| error.span().map_or(0, |span| span.start);
    errors.sort_by_key(start);
    let mut last = None;
    for error in errors {
        let span = error.span().unwrap_or_default();
        let position = document.position(&span);
        if last.is_some_and(|(line, _)| line == position.line) {
            continue;
        }
        let (position, cause, remedy) = explain(document, error.message(), &span, position);
        last = Some((position.line, document.note(position, cause, remedy)));
        if error.message().contains("array") {
            break;
        }
    }
    last.expect("called with at least one error").1
}

fn explain(
    document: &Document<'_>,
    message: &str,
    span: &Range<usize>,
    position: Position,
) -> (Position, String, &'static str) {
    if message.starts_with("duplicate key") {
        let name = document.excerpt(span);
        let remedy = if name == SOURCE.name { SOURCE_BRACKETS } else { "keep one of them" };
        return (position, format!("`{name}` is there twice"), remedy);
    }
    if message.contains("array") {
        return (position, "a list goes wrong here".into(), LIST_FORM);
    }
    let Some(value) = value_on_line(document.text(), span.start) else {
        return (position, format!("not TOML: {}", message.replace('\n', " ")), LINE_FORM);
    };
    let start = document.position(&value);
    match document.text()[value.clone()].chars().next() {
        None => (start, "a value is missing".into(), "write one after the equals sign"),
        Some('[') => (position, "a list goes wrong here".into(), LIST_FORM),
        Some('"' | '\'') => (position, "text goes wrong here".into(), TEXT_FORM),
        Some(_) => (start, format!("`{}` is no value", document.excerpt(&value)), VALUE_FORM),
    }
}

/// Where the value stands, without a comment, if the line around `offset` is `key = value`.
fn value_on_line(text: &str, offset: usize) -> Option<Range<usize>> {
    let line_start = text.get(..offset)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let (key, rest) = line.split_once('=')?;
    if !key.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return None;
    }
    let value = rest.split('#').next().unwrap_or_default();
    let start = line_start + key.len() + 1 + (value.len() - value.trim_start().len());
    Some(start..start + value.trim().len())
}

const SOURCE_BRACKETS: &str = "write [[source]], in double brackets, for each source";
const LIST_FORM: &str =
    "write entries with commas between them, text in \"quotes\", and close with ]";
const TEXT_FORM: &str =
    "open and close it with the same kind of quote, on one line; a \\ is written \\\\";
const VALUE_FORM: &str =
    "write text in \"quotes\", numbers with a decimal point and no unit, or true or false";
const LINE_FORM: &str = "write [section] or `key = value` on a line of its own";
