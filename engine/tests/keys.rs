//! Symmetric keys as an operator meets them: in key files of both kinds, in the configuration, and in
//! what is said about damaged ones.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use timeball::config::{KeyFile, KeyFormat, KeySettings, Machine, Plan};
use timeball_wire::{Algorithm, Key, KeyId};

fn parse(text: &str, format: KeyFormat) -> Result<KeyFile, String> {
    let settings = KeySettings::all_of("/k".into(), format);
    KeyFile::parse(Path::new("k"), text, &settings).map_err(|problems| problems.to_string())
}

/// Asserts that the key is of this kind and signs as this secret does.
fn assert_is(file: &KeyFile, id: u32, algorithm: Algorithm, secret: &[u8]) {
    let found = file.keys.by_id(KeyId(id)).unwrap_or_else(|| panic!("key {id}"));
    let same = Key::new(KeyId(id), algorithm, secret).unwrap();
    let mut packet = [7; 48 + 24];
    let end = 48 + same.code_len();
    same.sign(&mut packet[..end], same.code_len());
    assert_eq!(found.algorithm(), algorithm, "key {id}");
    assert!(found.verifies(4, &packet[..48], &packet[48..end]), "key {id}: {found:?}");
}

#[test]
fn a_key_file_of_ntpd_is_read_as_ntpd_reads_it() {
    let file = parse(
        "# ntpkey_MD5key_host.3798\n\n\
         1 M tulip          # the oldest form\n\
         \t2  MD5 0123456789abcdef0123  # twenty characters are text\n\
         3 sha1 0123456789abcdef0123456789abcdef01234567\n\
         4 AES128CMAC 0F0E0D0C0B0A09080706050403020100\n\
         5 AES-128 shortkey\n\
         6 SHA-256 HEX:00ff\n\
         65535 SHA512 0123456789012345678901 192.0.2.0/24,2001:db8::1\n",
        KeyFormat::Ntpd,
    )
    .unwrap();
    assert_eq!(file.keys.iter().len(), 7);
    assert_is(&file, 1, Algorithm::Md5, b"tulip");
    assert_is(&file, 2, Algorithm::Md5, b"0123456789abcdef0123");
    let octets = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdefu128.to_be_bytes();
    assert_is(&file, 3, Algorithm::Sha1, &[&octets[..], &octets[..4]].concat());
    let descending: Vec<u8> = (0..16).rev().collect();
    assert_is(&file, 4, Algorithm::Aes128Cmac, &descending);
    // ntpd fills a short AES key up with zeros.
    assert_is(&file, 5, Algorithm::Aes128Cmac, b"shortkey\0\0\0\0\0\0\0\0");
    assert_is(&file, 6, Algorithm::Sha256, &[0, 0xff]);
    let bound = |peer: &str| file.keys.get(KeyId(65535), peer.parse().unwrap()).is_some();
    assert!(bound("192.0.2.9") && bound("2001:db8::1") && !bound("192.0.3.9"));
    let warned = |words: &str| file.warnings.iter().any(|w| w.to_string().contains(words));
    assert!(warned("3:1: key 1 is of the weak kind MD5"), "{:?}", file.warnings);
    assert!(warned("this key of 8 octets is filled to 16, as ntpd does"), "{:?}", file.warnings);
}

#[test]
fn a_key_file_of_chronyd_is_read_as_chronyd_reads_it() {
    let file = parse(
        "! comment\n# comment\n% comment\n; comment\n\
         1 tulip\n2 MD5 ASCII:crocus\n3 SHA1 933F62BE1D604E68A81B557F18CFA200483F5B70\n\
         10 AES128 HEX:1C3F62BE1D604E68A81B557F18CFA200\n\
         20 AES256 ASCII:0123456789abcdef0123456789abcdef\n4294967295 SHA384 a#b\n",
        KeyFormat::Chrony,
    )
    .unwrap();
    assert_is(&file, 1, Algorithm::Md5, b"tulip");
    assert_is(&file, 2, Algorithm::Md5, b"crocus");
    assert_is(&file, 3, Algorithm::Sha1, b"933F62BE1D604E68A81B557F18CFA200483F5B70");
    let octets = 0x1C3F_62BE_1D60_4E68_A81B_557F_18CF_A200u128.to_be_bytes();
    assert_is(&file, 10, Algorithm::Aes128Cmac, &octets);
    assert_is(&file, 20, Algorithm::Aes256Cmac, b"0123456789abcdef0123456789abcdef");
    assert_is(&file, u32::MAX, Algorithm::Sha384, b"a#b");
}

#[test]
fn everything_wrong_is_said_at_once_and_no_secret_with_it() {
    let refusal = parse(
        "1 MD5 secret-1\n\
         0 MD5 secret-2\n\
         x MD5 secret-3\n\
         2 secret-4 secret-4\n\
         3 MD5\n\
         4 MD5 secret-5-which-is-not-hexadecimal\n\
         1 SHA1 secret-6\n\
         5 SHA1 secret-7 192.0.2.999\n\
         6 AES128 HEX:00\n\
         7 MD5 one two three\n\
         70000 MD5 secret-8\n",
        KeyFormat::Ntpd,
    )
    .unwrap_err();
    let causes: Vec<_> =
        refusal.lines().map(|line| line.split_once("; ").expect("a remedy").0).collect();
    assert_eq!(
        causes,
        [
            "k:2:1: this is no key number",
            "k:3:1: this is no key number",
            "k:4:3: this is no kind of key",
            "k:5:3: 2 words where a key was expected",
            "k:6:7: this key is not hexadecimal",
            "k:7:1: key 1 again, after line 1",
            "k:8:17: this is no list of addresses",
            "k:9:10: AES128 needs a key of 16 octets, not 1",
            "k:10:15: 5 words where a key was expected",
            "k:11:1: this is no key number",
        ]
    );
    assert!(!refusal.contains("secret"), "{refusal}");
    assert!(parse("1 MD5 \u{FFFD}x\n", KeyFormat::Chrony).unwrap_err().contains("is not text"));
    assert!(parse("1 AES256 short\n", KeyFormat::Chrony).unwrap_err().contains("32 octets"));
}

/// A key file of its own with this mode.
fn on_disk(name: &str, mode: u32, text: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("timeball-keys-{}-{name}", std::process::id()));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_file_that_all_may_read_is_a_warning_and_one_that_all_may_write_is_refused() {
    let load = |mode| {
        let path = on_disk("mode", mode, "1 AES128 HEX:000102030405060708090a0b0c0d0e0f\n");
        let loaded = KeyFile::load(&KeySettings::all_of(path.clone(), KeyFormat::Ntpd));
        fs::remove_file(path).unwrap();
        loaded.map_err(|error| error.to_string())
    };
    assert_eq!(load(0o640).unwrap().warnings, []);
    let warnings = load(0o644).unwrap().warnings;
    assert!(warnings[0].cause.contains("may read these secrets"), "{warnings:?}");
    let refusal = load(0o646).unwrap_err();
    assert!(refusal.contains(":1:1: everybody may write this key file; "), "{refusal}");
    let gone = KeyFile::load(&KeySettings::all_of("/nonexistent/keys".into(), KeyFormat::Ntpd));
    assert_eq!(gone.unwrap_err().to_string(), "/nonexistent/keys: no such file; check the path");
}

fn plan(text: &str) -> Result<Plan, String> {
    let machine = Machine::with_cores(vec![0]);
    Plan::parse(Path::new("t.toml"), text, &machine).map_err(|problems| problems.to_string())
}

#[test]
fn only_trusted_keys_count() {
    let path = on_disk("trust", 0o600, "1 SHA1 aaaaaaaaaa\n4 SHA1 b\n11 SHA1 c\n19 SHA1 d\n");
    let section = format!("[keys]\nfile = {path:?}\ntrusted = [\"4\", \"10-19\"]\n");
    let keys = plan(&section).unwrap().load_keys(Path::new("t.toml")).unwrap();
    let numbers: Vec<_> = keys.keys.iter().map(|one| one.key.id().0).collect();
    assert_eq!((numbers, keys.untrusted), (vec![4, 11, 19], vec![KeyId(1)]));
    let missing = format!("{section}[[source]]\naddress = \"192.0.2.1\"\nkey = 12\n");
    let refusal = plan(&missing).unwrap().load_keys(Path::new("t.toml")).unwrap_err().to_string();
    let expected = format!("t.toml:6:7: there is no key 12 in {}; add it there", path.display());
    assert!(refusal.starts_with(&expected), "{refusal}");
    fs::remove_file(path).unwrap();
}

#[test]
fn a_key_that_cannot_be_had_is_refused_with_the_place_that_wants_it() {
    let source = "[[source]]\naddress = \"192.0.2.1\"\nkey = 7\n";
    for (text, message) in [
        (
            source.to_owned(),
            "t.toml:3:7: key 7 is wanted, and there is no [keys]; add [keys] with `file = \
             \"/etc/timeball/keys\"`",
        ),
        (
            format!("[keys]\nfile = \"/k\"\ntrusted = [\"1-6\"]\n{source}"),
            "t.toml:6:7: key 7 is not among `trusted`; add it there, or use another",
        ),
        (
            "[keys]\n".to_owned(),
            "t.toml:1:2: [keys] without `file`; add `file = \"/etc/timeball/keys\"`",
        ),
        (
            "[keys]\nfile = \"/k\"\ntrusted = [\"0\", \"9-2\", \"all\", \"3\"]\n".to_owned(),
            "t.toml:3:12: \"0\" is neither a key number nor a range; write \"8\", or \"10-19\"\n\
             t.toml:3:17: \"9-2\" is neither a key number nor a range; write \"8\", or \"10-19\"\n\
             t.toml:3:24: \"all\" is neither a key number nor a range; write \"8\", or \"10-19\"",
        ),
    ] {
        assert_eq!(plan(&text).unwrap_err(), message, "\n{text}");
    }
}
