//! The objects that are shipped are those that the sources make.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::bench::Bench;

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
    for name in ["fast_path", "generator", "echo", "parts"] {
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

/// Calls of the kernel by their numbers (uapi/linux/bpf.h): the look-up in a map, a random number, the
/// processor's number, and CLOCK_BOOTTIME. All are older than Linux 6.1 and open to programs that are not
/// under the GPL.
const CALLS: [u32; 4] = [1, 7, 8, 125];

#[test]
fn the_program_makes_no_call_that_linux_6_1_does_not_have() {
    let object = fs::read(object_path()).expect("shipped");
    // The program, and the functions that it calls.
    let sections = ["xdp", ".text"].map(|name| section(&object, name));
    // An instruction is eight octets; 0x85 is a call, and the source register says whether it is of the
    // kernel's (0) or of a function of the program's own (1).
    let instructions = sections.into_iter().flat_map(|section| section.chunks(8));
    let calls = instructions.filter(|instruction| instruction[0] == 0x85);
    assert!(
        calls.clone().all(|call| call[1] >> 4 <= 1),
        "a call of a kind that is not looked at here"
    );
    let mut seen: Vec<u32> = calls
        .filter(|call| call[1] >> 4 == 0)
        .map(|call| u32::from_le_bytes(call[4..].try_into().expect("four octets")))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, CALLS);
}

#[test]
fn the_verifier_is_done_with_the_program_after_a_tenth_of_what_it_would_look_at() {
    // Where it cannot be loaded, that says so.
    if Bench::fresh().is_none() {
        return;
    }
    let mut object = aya::Ebpf::load_file(object_path()).expect("shipped");
    let program = object.program_mut("fast_path").expect("in the object");
    let program: &mut aya::programs::Xdp = program.try_into().expect("for XDP");
    program.load().expect("accepted");
    let looked_at = program.info().expect("loaded").verified_instruction_count();
    let looked_at = looked_at.expect("told since Linux 5.16");
    println!("{looked_at} of {VERIFIED_MAX}");
    assert!((1..VERIFIED_MAX / 10).contains(&looked_at), "{looked_at} instructions looked at");
}

fn object_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf/fast_path.o")
}

/// Instructions after which a verifier gives up, on all ways through a program together:
/// BPF_COMPLEXITY_LIMIT_INSNS, the same since Linux 5.2.
const VERIFIED_MAX: u32 = 1_000_000;

/// The contents of a section of a 64-bit little-endian ELF file.
fn section<'a>(object: &'a [u8], name: &str) -> &'a [u8] {
    let number = |at: usize, len: usize| {
        let octets = object[at..at + len].iter().rev();
        octets.fold(0usize, |value, octet| value << 8 | usize::from(*octet))
    };
    let (table, entry, count, names) =
        (number(0x28, 8), number(0x3A, 2), number(0x3C, 2), number(0x3E, 2));
    let header = |index: usize| table + index * entry;
    let contents = |at: usize| &object[number(at + 0x18, 8)..][..number(at + 0x20, 8)];
    let named = |at: usize| {
        let text = &contents(header(names))[number(at, 4)..];
        text.starts_with(name.as_bytes()) && text[name.len()] == 0
    };
    contents((0..count).map(header).find(|at| named(*at)).expect("the section"))
}
