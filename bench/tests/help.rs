//! The program explains itself: what each command is for, and what its exit codes mean.

use std::process::Command;

#[test]
fn every_command_and_every_exit_code_is_explained() {
    let help = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_timeball-bench");
        let output = Command::new(program).args(arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = help(&[]);
    assert!(whole.contains("Exit codes: 0 ") && whole.contains("130 "), "{whole}");
    let commands = whole.split_once("\nCommands:\n").unwrap().1.lines();
    let commands: Vec<_> = commands.map_while(|line| line.strip_prefix("  ")).collect();
    assert!(commands.len() >= 6, "{commands:?}");
    for line in commands {
        let (name, about) = line.split_once(' ').unwrap();
        assert!(about.trim().len() > 20, "{line}");
        if name != "help" {
            assert!(help(&[name]).contains(&format!("Usage: timeball-bench {name}")), "{name}");
        }
    }
}
