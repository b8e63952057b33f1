//! Makes the BPF objects: from their C sources where there is a clang that can, else those that are shipped.
//!
//! A machine that builds a server needs no compiler for another processor; a machine that has one gets what
//! it reads. That both are the same is tested (`tests/fast_path/object.rs`).
//!
//! Must never: fail because there is no clang.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=TIMEBALL_CLANG");
    let sources = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo")).join("bpf");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let named = env::var("TIMEBALL_CLANG").ok();
    let compilers = named.as_deref().map_or(COMPILERS, |_| &[]);
    for name in OBJECTS {
        let mut candidates = named.as_deref().into_iter().chain(compilers.iter().copied());
        let out = out.join(name).with_extension("o");
        if !candidates.any(|clang| compile(clang, &sources, name, &out)) {
            let shipped = sources.join(name).with_extension("o");
            fs::copy(shipped, &out).expect("the object that is shipped");
        }
    }
}

/// Whether `clang` is there and makes the object of `name`.
fn compile(clang: &str, sources: &Path, name: &str, out: &Path) -> bool {
    let flags = fs::read_to_string(sources.join("flags")).expect("the flags beside the sources");
    let mut command = Command::new(clang);
    command
        .current_dir(sources)
        .args(flags.lines())
        .args(["-c", &format!("{name}.c"), "-o"])
        .arg(out);
    // Not there is no fault; there and unable is worth a line.
    let Ok(output) = command.output() else { return false };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let first = text.lines().next().unwrap_or("no reason given");
        println!("cargo::warning={clang} does not make {name}.o, the shipped one is used: {first}");
    }
    output.status.success()
}

/// What answers requests, what makes them, what only sends them back, and what answering is made of.
const OBJECTS: [&str; 4] = ["fast_path", "generator", "echo", "parts"];
/// In the order in which they are asked; the first is the one that made the object that is shipped.
const COMPILERS: &[&str] = &["clang-14", "clang"];
