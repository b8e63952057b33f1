//! Exit codes, as the help of each command tells them, taken out of it for a section of their own.
//!
//! Help says them in one paragraph (`Exit codes: 0 done; 1 something failed.`) or as a list, a line for each.

/// A code and what it means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExitCode {
    /// As it is written.
    pub(crate) code: String,
    /// Without a full stop.
    pub(crate) meaning: String,
}

/// The paragraphs of `help` without the one that tells the exit codes, and those.
pub(crate) fn split(help: &str) -> (Vec<String>, Vec<ExitCode>) {
    let (mut paragraphs, mut codes) = (Vec::new(), Vec::new());
    for paragraph in help.split("\n\n") {
        match paragraph.trim().strip_prefix(HEADING) {
            Some(list) => codes.extend(parse(list)),
            None => paragraphs.push(paragraph.trim().to_owned()),
        }
    }
    (paragraphs, codes)
}

fn parse(list: &str) -> Vec<ExitCode> {
    let is_table = list.starts_with('\n');
    let items: Vec<String> = if is_table {
        list.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    } else {
        sentence(&list.split_whitespace().collect::<Vec<_>>())
    };
    let pair = |item: &String| {
        let (code, meaning) = item.split_once(' ').unwrap_or((item, ""));
        let meaning = meaning.trim().trim_end_matches(['.', ';', ',']).to_owned();
        ExitCode { code: code.to_owned(), meaning }
    };
    items.iter().map(pair).collect()
}

/// Cuts before each number that follows a comma or semicolon.
fn sentence(words: &[&str]) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut is_start = true;
    for word in words {
        let is_number = word.bytes().all(|octet| octet.is_ascii_digit());
        match items.last_mut() {
            Some(item) if !(is_start && is_number) => {
                item.push(' ');
                item.push_str(word);
            }
            _ => items.push((*word).to_owned()),
        }
        is_start = word.ends_with([';', ',']);
    }
    items
}

const HEADING: &str = "Exit codes:";

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(help: &str) -> Vec<(String, String)> {
        split(help).1.into_iter().map(|code| (code.code, code.meaning)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(code, meaning)| ((*code).into(), (*meaning).into())).collect()
    }

    #[test]
    fn a_sentence_of_codes_is_taken_apart_and_the_rest_stays() {
        let help = "Serve.\n\nExit codes: 0 done, of 3 kinds; 1 it failed: 30 s\nwere not enough; \
                    70 lost.\n\nMore.";
        let expected = pairs(&[
            ("0", "done, of 3 kinds"),
            ("1", "it failed: 30 s were not enough"),
            ("70", "lost"),
        ]);
        assert_eq!(codes(help), expected);
        assert_eq!(split(help).0, ["Serve.", "More."]);
    }

    #[test]
    fn a_table_of_codes_is_read_by_the_line() {
        let help = "Exit codes:\n    0  measured\n  130  interrupted; what was counted is reported";
        let expected =
            pairs(&[("0", "measured"), ("130", "interrupted; what was counted is reported")]);
        assert_eq!(codes(help), expected);
        assert!(split(help).0.is_empty());
    }
}
