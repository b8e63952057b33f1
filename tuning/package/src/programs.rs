//! The programs that are installed: their command lines, and what those cannot tell.

use clap::{Command, CommandFactory};

/// One of them.
pub(crate) struct Program {
    /// Its command line, with all names complete.
    pub(crate) command: Command,
    /// Files it reads or writes, and what they are.
    pub(crate) files: &'static [Entry],
    /// Variables that it looks at.
    pub(crate) environment: &'static [Entry],
    /// Manual pages besides those of its own commands.
    pub(crate) see_also: &'static [&'static str],
}

/// A name and what it is.
pub(crate) type Entry = (&'static str, &'static str);

/// All programs.
pub(crate) fn programs() -> [Program; 4] {
    let complete = |command: Command| {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        command
    };
    [
        Program {
            command: complete(timeball::cli::Cli::command()),
            files: SERVER_FILES,
            environment: SERVER_ENVIRONMENT,
            see_also: &["timeball.toml(5)", "timeball-load(1)", "timeball-tune(1)"],
        },
        Program {
            command: complete(timeball_load::cli::Cli::command()),
            files: &[],
            environment: &[],
            see_also: &["timeball(1)", "timeball-bench(1)"],
        },
        Program {
            command: complete(timeball_tune::cli::Cli::command()),
            files: &[(
                "/run/timeball-tune.journal",
                "What apply has changed, and what it was before: undo goes by it.",
            )],
            environment: &[],
            see_also: &["timeball(1)", "ethtool(8)", "sysctl.d(5)"],
        },
        Program {
            command: complete(timeball_bench::Cli::command()),
            files: &[],
            environment: &[(
                "TIMEBALL_BENCH_VERBOSE",
                "If set, what the measured servers write to standard error is shown.",
            )],
            see_also: &["timeball(1)", "timeball-load(1)"],
        },
    ]
}

const SERVER_FILES: &[Entry] = &[
    ("/etc/timeball/timeball.toml", "The configuration that the service is started with."),
    (
        "/run/timeball/control.sock",
        "Where status, why, reload and serve --take-over ask the server.",
    ),
    ("/var/lib/timeball/drift", "The clock's frequency error, if drift_file says so."),
    (
        "/var/lib/timeball/state",
        "What is known of the clock, for the next start, if state_file says so.",
    ),
    ("/var/log/timeball/", "Where the service may write statistics files."),
];

const SERVER_ENVIRONMENT: &[Entry] = &[
    ("NOTIFY_SOCKET", "Where the service manager is told of readiness, state and life."),
    ("WATCHDOG_USEC", "How soon it wants to hear of the server; four times as often it does."),
    ("LISTEN_FDS", "Sockets that it has opened or kept; the server serves from them."),
    ("FDSTORE", "How many sockets it keeps over a restart."),
    (
        "RUNTIME_DIRECTORY",
        "Where the control socket is made, unless the configuration says otherwise.",
    ),
    ("XDG_RUNTIME_DIR", "The same, for a server that a user has started."),
    (
        "JOURNAL_STREAM",
        "If standard error is the journal, log lines carry their priority and no time.",
    ),
];
