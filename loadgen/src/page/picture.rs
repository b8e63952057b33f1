//! A result as one picture (SVG) of its charts, for documents that are not the page.
//!
//! It stands by itself: colours and fonts are in it, light and dark follow the reader. What made it is its
//! last line.
//!
//! Must never: refer to anything outside itself.

use super::chart::{CELL, escaped, put};
use super::charts;
use super::parts::shell_words;
use super::title;
use crate::Document;

/// The charts of `document`, two in a row.
pub fn svg(document: &Document) -> String {
    let drawings = match document.trials.as_slice() {
        [trial] => charts::of_run(trial),
        _ => charts::of_steps(document),
    };
    let columns = drawings.len().min(COLUMNS);
    let rows = drawings.len().div_ceil(COLUMNS);
    let place = |index: usize| {
        let (column, row) = ((index % COLUMNS) as f64, (index / COLUMNS) as f64);
        (MARGIN + column * (CELL.0 + MARGIN), HEAD + row * (CELL.1 + MARGIN))
    };
    let width = MARGIN + columns as f64 * (CELL.0 + MARGIN);
    let height = HEAD + rows as f64 * (CELL.1 + MARGIN) + FOOT;
    let name = escaped(&title(document));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{name}\"><style>{STYLE}</style>\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\
         <text class=\"head\" x=\"{MARGIN}\" y=\"30\">{name}</text>"
    );
    for (index, drawing) in drawings.iter().enumerate() {
        drawing.chart.put_into(&mut svg, drawing.title, place(index));
    }
    let command = document.generators.first().map(|made_by| shell_words(&made_by.command));
    let command = escaped(&command.unwrap_or_default());
    put(&mut svg, format_args!("<text x=\"{MARGIN}\" y=\"{}\">{command}</text>", height - 12.0));
    svg.push_str("</svg>\n");
    svg
}

const COLUMNS: usize = 2;
const MARGIN: f64 = 24.0;
/// Room for the title above, and for the command below.
const HEAD: f64 = 52.0;
const FOOT: f64 = 16.0;
const STYLE: &str = include_str!("picture.css");
