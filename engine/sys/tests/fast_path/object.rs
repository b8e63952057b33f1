//! The objects that are shipped are those that the sources make.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The compiler that made the objects; others make others.
const PINNED: &str = "Debian clang version 14.0.6";

#[test]
fn the_objects_that_are_shipped_are_what_the_pinned_compiler_makes_of_the_sources() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf");
    let version = Command::new("clang-14").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let first = version.as_deref().ok().and_then(|text| text.lines().next()).unwrap_or("none");
    if first != PINNED {
        eprintln!(
            "skipped: the objects are compared where clang-14 is \"{PINNED}\", here it is \"{first}\""
        );
        return;
    }
    let flags = fs::read_to_string(sources.join("flags")).expect("the flags");
    for name in ["fast_path", "generator"] {
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("o");
        let mut command = Command::new("clang-14");
        command.current_dir(&sources).args(flags.lines());
        command.args(["-c", &format!("{name}.c"), "-o"]).arg(&built);
        assert!(command.status().expect("clang-14 runs").success());
        let shipped = sources.join(name).with_extension("o");
        let same = fs::read(&built).expect("built") == fs::read(&shipped).expect("shipped");
        assert!(same, "the sources have changed: cp {} {}", built.display(), shipped.display());
    }
}
