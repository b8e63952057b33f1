//! The commented example, printed from the settings themselves.
//!
//! The shipped `timeball.example.toml` is this text, and a test compares them: that file is the
//! reference of all settings, and cannot fall behind the program.

use super::kind::{Described, Presence, Section};
use super::settings::SECTIONS;

/// Every setting with its meaning, unit, range and default, all commented out: a valid
/// configuration.
pub fn example() -> String {
    let mut text = comment(INTRODUCTION);
    for section in SECTIONS {
        text += &section_text(section);
    }
    text
}

fn section_text(section: &Section) -> String {
    // A section whose presence means something stays out until the user asks for it.
    let mark = if section.presence == Presence::Always { "" } else { "#" };
    let mut text = format!("\n{}{mark}{}\n", comment(section.about), section.header());
    for setting in section.settings {
        text += &setting_text(*setting);
    }
    text
}

fn setting_text(setting: &dyn Described) -> String {
    let about = comment(setting.about());
    let limits = comment(&format!("({})", setting.limits()));
    format!("\n{about}{limits}#{} = {}\n", setting.key(), setting.sample())
}

/// `text` as comment lines of at most [`COLUMNS_MAX`] characters.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS_MAX {
            lines += &line;
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line += word;
    }
    lines + &line + "\n"
}

const INTRODUCTION: &str = "Configuration of timeball: every setting there is, with its unit, \
    range and default. Lines that begin with # and a space explain; lines that begin with # alone \
    are settings, at their default where they have one: take the # away to change one. \
    `timeball check FILE` says whether a file is right and what it would do.";

const COLUMNS_MAX: usize = 100;
