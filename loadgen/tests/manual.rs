//! The manual's commands are commands: each one in `docs/src/load.md` is taken by the program as it stands.

use clap::Parser;
use timeball_load::cli::Cli;

#[test]
fn every_command_of_the_manual_is_understood() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/src/load.md");
    let manual = std::fs::read_to_string(path).unwrap().replace("\\\n", " ");
    let commands: Vec<&str> = manual
        .split("```")
        .filter_map(|block| block.strip_prefix("sh,long\n"))
        .flat_map(str::lines)
        .filter(|line| line.starts_with("timeball-load "))
        .collect();
    assert!(commands.len() >= 9, "{commands:?}");
    for command in commands {
        let words = command.split('#').next().unwrap_or_default().split_whitespace();
        if let Err(error) = Cli::try_parse_from(words) {
            panic!("{command}: {error}");
        }
    }
}
