//! Settings of what the server tells whoever runs it.
//!
//! Must never: leave a setting without a unit (where it is a number), a range and a default.

use crate::config::kind::{Choice, Presence, Section, Setting, Text};
use crate::config::plan::LogLevel;

/// What is logged.
pub(in crate::config) static LOG: Section = Section {
    name: "log",
    about: "What is logged.",
    presence: Presence::Always,
    settings: &[&LEVEL],
};

pub(in crate::config) static LEVEL: Setting<Choice<LogLevel>> = Setting {
    key: "level",
    about: "The least important message that is still logged. Packets are counted, never logged.",
    kind: Choice { default: LogLevel::Info },
};

/// Who may ask the server about itself.
pub(in crate::config) static CONTROL: Section = Section {
    name: "control",
    about: "Who may ask the server about itself.",
    presence: Presence::Always,
    settings: &[&CONTROL_SOCKET],
};

pub(in crate::config) static CONTROL_SOCKET: Setting<Text> = Setting {
    key: "control_socket",
    about: "Unix socket at which `timeball status` and `timeball why` ask. Its owner is the user the \
            server runs as, its mode 0660.",
    kind: Text {
        form: "an absolute path",
        absent: "default: control.sock in the service manager's RUNTIME_DIRECTORY, in /run/timeball, \
                 or in $XDG_RUNTIME_DIR/timeball, wherever the first can be made",
        example: "/run/timeball/control.sock",
    },
};
