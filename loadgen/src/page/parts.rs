//! What every page is made of: the whole around it, cards, tables, facts and commands.
//!
//! Must never: let a name break out of its place, or fetch anything.

use super::chart::{escaped, put};

/// A whole page around `body`, which is HTML already.
pub fn whole(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style>\
         </head><body><main>{body}</main></body></html>\n",
        escaped(title)
    )
}

/// Adds a card of a title, why one should look at it, and `content`, which is HTML already.
pub fn card(body: &mut String, title: &str, why: &str, content: &str) {
    put(
        body,
        format_args!(
            "<section class=\"card\"><h2>{}</h2><p class=\"why\">{}</p>{content}</section>",
            escaped(title),
            escaped(why)
        ),
    );
}

/// Adds a line that a reader must see.
pub fn note(body: &mut String, text: &str) {
    put(body, format_args!("<p class=\"note\">{}</p>", escaped(text)));
}

/// Names and facts, two columns.
pub fn facts<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut html = String::from("<table class=\"facts\">");
    for (name, fact) in rows {
        put(
            &mut html,
            format_args!("<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(&fact)),
        );
    }
    html.push_str("</table>");
    html
}

/// Lines to be copied.
pub fn lines(text: &str) -> String {
    format!("<pre>{}</pre>", escaped(text))
}

/// A command line that a shell takes as it is.
pub fn shell_words(words: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "-_./:=,@%+[]".contains(letter))
    };
    let quoted = words.iter().map(|word| {
        if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// A table whose first column is aligned left, the others right.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let row = |cells: Vec<String>, tag: &str| {
        let cells: String =
            cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>")
    };
    let header = row(header.iter().map(|&cell| cell.to_owned()).collect(), "th");
    let rows: String = rows.into_iter().map(|cells| row(cells, "td")).collect();
    format!("<div class=\"scroll\"><table>{header}{rows}</table></div>")
}

const STYLE: &str = include_str!("style.css");
