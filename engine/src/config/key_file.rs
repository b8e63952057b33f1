//! Key files of ntpd and chronyd: a key per line, by number.
//!
//! ```text
//! ntpd     ID TYPE KEY [ADDRESS[/BITS],…]    a key of more than 20 characters is hexadecimal
//! chronyd  ID [TYPE] KEY                     hexadecimal after HEX:, text after ASCII: or by itself
//! ```
//!
//! The two differ in what a long key without prefix means, so a file is read in the format it is said
//! to have; the prefixes are understood in both. Both programs skip a line they do not understand. Here
//! it is an error: a key that is missing shows much later, and elsewhere, as a peer that is not believed.
//!
//! Everybody being able to read the file is a warning, because a server that worked yesterday must not
//! stay down for it. Everybody being able to write it is an error: whoever can put a key in is trusted.
//!
//! Must never: put a secret, or a piece of one, into a message.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use timeball_wire::{Algorithm, Key, KeyId, Keys, Network, Trusted};

use super::plan::{KeyFormat, KeySettings, KeyUse, Plan};
use super::problem::{ConfigError, Position, Problem, Problems};

/// The keys of one file.
#[derive(Clone, Debug, Default)]
pub struct KeyFile {
    /// Those that are trusted.
    pub keys: Keys,
    /// Numbers of those that are not.
    pub untrusted: Vec<KeyId>,
    /// What an operator should mend though it works.
    pub warnings: Vec<Problem>,
    /// Which file that was, and in which state.
    read: Option<(PathBuf, Mark)>,
}

/// By which it is seen that a file is still the same: its number, length, and when it was last changed.
type Mark = (u64, u64, i64, i64);

impl KeyFile {
    /// Reads the file of `settings`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreadable`] if it cannot be had; [`ConfigError::Wrong`] with everything wrong in
    /// it otherwise.
    pub fn load(settings: &KeySettings) -> Result<Self, ConfigError> {
        let path = &settings.file;
        let unreadable = |error| ConfigError::unreadable(path, &error);
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let mode = metadata.permissions().mode();
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let wrong = |problem| ConfigError::Wrong(Problems::new(path, vec![problem]));
        if mode & WRITABLE_BY_ALL != 0 {
            let remedy = "take that right away (chmod o-w), and check what is in it";
            return Err(wrong(at(Position::START, "everybody may write this key file", remedy)));
        }
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(wrong(at(Position::START, "larger than 1 MiB", "name a key file")));
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut keys = Self::parse(path, &text, settings)?;
        keys.read = Some((path.clone(), mark(&metadata)));
        if mode & READABLE_BY_ALL != 0 {
            let remedy = "take that right away (chmod o-r)";
            keys.warnings.insert(
                0,
                at(Position::START, "everybody on this machine may read these secrets", remedy),
            );
        }
        Ok(keys)
    }

    /// Whether the file is as it was when it was read, by what can be seen of it from outside.
    pub(crate) fn is_as_read(&self) -> bool {
        self.read.as_ref().is_some_and(|(path, known)| {
            std::fs::metadata(path).is_ok_and(|found| mark(&found) == *known)
        })
    }

    /// The keys in `text`; `path` only names it in messages.
    ///
    /// # Errors
    ///
    /// Everything wrong in the text.
    pub fn parse(path: &Path, text: &str, settings: &KeySettings) -> Result<Self, Problems> {
        let (mut found, mut problems) = (Self::default(), Vec::new());
        let mut keys: Vec<(Trusted, Position)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let mut reader = Line { number: index + 1, text: line, warnings: &mut found.warnings };
            match reader.read(settings.format) {
                Ok(None) => {}
                Ok(Some((trusted, position))) => {
                    let id = trusted.key.id();
                    match keys.iter().find(|(other, _)| other.key.id() == id) {
                        Some((_, first)) => problems.push(at(
                            position,
                            format!("key {id} again, after line {}", first.line),
                            "keep one of them",
                        )),
                        None => keys.push((trusted, position)),
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(Problems::new(path, problems));
        }
        let is_trusted = |id: KeyId| match &settings.trusted {
            None => true,
            Some(ranges) => ranges.iter().any(|range| range.contains(&id.0)),
        };
        let (trusted, others): (Vec<_>, Vec<_>) =
            keys.into_iter().map(|(key, _)| key).partition(|key| is_trusted(key.key.id()));
        found.untrusted = others.iter().map(|key| key.key.id()).collect();
        found.keys = Keys::new(trusted);
        Ok(found)
    }
}

fn mark(file: &Metadata) -> Mark {
    (file.ino(), file.len(), file.ctime(), file.ctime_nsec())
}

impl Plan {
    /// The keys this plan needs, of which `config` is the file that says so.
    ///
    /// # Errors
    ///
    /// As [`KeyFile::load`]; and everything in `config` that uses a key which is not in the key file.
    pub fn load_keys(&self, config: &Path) -> Result<KeyFile, ConfigError> {
        let Some(settings) = &self.keys else { return Ok(KeyFile::default()) };
        self.with_keys(KeyFile::load(settings)?, config)
    }

    /// The keys `found` if they are all that this plan needs.
    ///
    /// # Errors
    ///
    /// Everything in `config` that uses a key which is not among them.
    pub fn with_keys(&self, found: KeyFile, config: &Path) -> Result<KeyFile, ConfigError> {
        let Some(settings) = &self.keys else { return Ok(found) };
        let missing = self.key_uses().filter(|used| found.keys.by_id(used.id).is_none());
        let problem = |used: KeyUse| {
            let cause = format!("there is no key {} in {}", used.id, settings.file.display());
            at(used.position, cause, "add it there, or use another")
        };
        let problems: Vec<_> = missing.map(problem).collect();
        if problems.is_empty() { Ok(found) } else { Err(Problems::new(config, problems).into()) }
    }

    /// Every use of a key.
    pub(super) fn key_uses(&self) -> impl Iterator<Item = KeyUse> {
        self.sources.iter().filter_map(|source| source.key).chain(self.lan.key_uses())
    }
}

/// One line of a key file.
struct Line<'a> {
    number: usize,
    text: &'a str,
    warnings: &'a mut Vec<Problem>,
}

/// A piece of a line, and where it begins.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    position: Position,
}

impl<'a> Line<'a> {
    fn words(&self, format: KeyFormat) -> Vec<Word<'a>> {
        let text = match format {
            // In chronyd's files these are for whole lines: a key may contain them.
            KeyFormat::Chrony if self.text.trim_start().starts_with(['#', '!', ';', '%']) => "",
            KeyFormat::Chrony => self.text,
            KeyFormat::Ntpd => self.text.split('#').next().unwrap_or_default(),
        };
        let place = |word: &'a str| {
            let before = &self.text[..word.as_ptr() as usize - self.text.as_ptr() as usize];
            Position { line: self.number, column: before.chars().count() + 1 }
        };
        text.split_ascii_whitespace().map(|text| Word { text, position: place(text) }).collect()
    }

    /// The key of this line and where it begins; nothing if the line is empty.
    fn read(&mut self, format: KeyFormat) -> Result<Option<(Trusted, Position)>, Problem> {
        if self.text.contains(char::REPLACEMENT_CHARACTER) {
            let position = Position { line: self.number, column: 1 };
            return Err(at(position, "this line is not text", "write the key again, as HEX:"));
        }
        let words = self.words(format);
        let (id, kind, secret, peers) = match (words.as_slice(), format) {
            ([], _) => return Ok(None),
            (&[id, secret], KeyFormat::Chrony) => (id, None, secret, None),
            (&[id, kind, secret], _) => (id, Some(kind), secret, None),
            (&[id, kind, secret, peers], KeyFormat::Ntpd) => (id, Some(kind), secret, Some(peers)),
            (words, _) => {
                let last = words[words.len() - 1].position;
                let cause = format!("{} words where a key was expected", words.len());
                return Err(at(last, cause, form(format)));
            }
        };
        let position = id.position;
        let id = read_id(id, format)?;
        let algorithm = kind.map_or(Ok(Algorithm::Md5), read_algorithm)?;
        let octets = self.read_secret(secret, algorithm, format)?;
        if matches!(algorithm, Algorithm::Md5 | Algorithm::Sha1) {
            let cause = format!("key {id} is of the weak kind {}", algorithm.name());
            self.warnings.push(at(position, cause, "use AES128 where the peers have it"));
        }
        if octets.len() < SECRET_LEN_SOUND {
            let cause = format!("key {id} is shorter than {SECRET_LEN_SOUND} octets");
            self.warnings.push(at(position, cause, "a longer one is harder to guess"));
        }
        let key = Key::new(id, algorithm, &octets).ok_or_else(|| {
            let (len, needed) = (octets.len(), algorithm.secret_len().unwrap_or(0));
            let cause = format!("{} needs a key of {needed} octets, not {len}", algorithm.name());
            at(secret.position, cause, "write it as HEX: and twice as many digits")
        })?;
        let peers = peers.map_or(Ok(Vec::new()), read_peers)?;
        Ok(Some((Trusted { key, peers }, position)))
    }

    fn read_secret(
        &mut self,
        word: Word<'_>,
        algorithm: Algorithm,
        format: KeyFormat,
    ) -> Result<Vec<u8>, Problem> {
        let text = word.text;
        if let Some(digits) = text.strip_prefix("HEX:") {
            return read_hex(digits, word.position);
        }
        if let Some(plain) = text.strip_prefix("ASCII:") {
            return Ok(plain.as_bytes().to_vec());
        }
        if format == KeyFormat::Chrony {
            return Ok(text.as_bytes().to_vec());
        }
        let mut octets = if text.len() > NTPD_TEXT_CHARS_MAX {
            read_hex(text, word.position)?
        } else {
            text.as_bytes().to_vec()
        };
        // ntpd keeps 32 octets of any key and brings AES keys to their length, and so must whoever
        // wants to be understood by one.
        let len = algorithm.secret_len().unwrap_or(octets.len().min(NTPD_SECRET_LEN_MAX));
        if octets.len() != len {
            let (has, verb) = (octets.len(), if octets.len() < len { "filled" } else { "cut" });
            let cause = format!("this key of {has} octets is {verb} to {len}, as ntpd does");
            self.warnings.push(at(word.position, cause, format!("make it {len} octets long")));
            octets.resize(len, 0);
        }
        Ok(octets)
    }
}

fn read_id(word: Word<'_>, format: KeyFormat) -> Result<KeyId, Problem> {
    let most = match format {
        KeyFormat::Ntpd => NTPD_ID_MAX,
        KeyFormat::Chrony => u32::MAX,
    };
    let digits = word.text.bytes().all(|byte| byte.is_ascii_digit());
    let id = word.text.parse().ok().filter(|id| digits && (1..=most).contains(id));
    id.map(KeyId).ok_or_else(|| {
        let remedy = format!("begin the line with a number from 1 to {most}");
        at(word.position, "this is no key number", remedy)
    })
}

fn read_algorithm(word: Word<'_>) -> Result<Algorithm, Problem> {
    let name: String = word.text.to_ascii_uppercase().replace(['-', '_'], "");
    let name = match name.as_str() {
        "M" => "MD5",
        "AES" | "AES128CMAC" => "AES128",
        "AES256CMAC" => "AES256",
        "SHA2224" => "SHA224",
        "SHA2256" => "SHA256",
        "SHA2384" => "SHA384",
        "SHA2512" => "SHA512",
        other => other,
    };
    let known = Algorithm::NAMES.iter().find(|(known, _)| *known == name);
    known.map(|(_, algorithm)| *algorithm).ok_or_else(|| {
        let names: Vec<_> = Algorithm::NAMES.iter().map(|(name, _)| *name).collect();
        let remedy = format!("make a new key of one of {}", names.join(", "));
        // Not quoted: on a damaged line it could be the secret.
        at(word.position, "this is no kind of key", remedy)
    })
}

fn read_hex(digits: &str, position: Position) -> Result<Vec<u8>, Problem> {
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    };
    let octets: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(pair).collect();
    octets.filter(|octets| !octets.is_empty()).ok_or_else(|| {
        let remedy = "write pairs of hexadecimal digits, or at most 20 characters of text";
        at(position, "this key is not hexadecimal", remedy)
    })
}

fn read_peers(word: Word<'_>) -> Result<Vec<Network>, Problem> {
    let network = |text: &str| {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: std::net::IpAddr = address.parse().ok()?;
        match bits {
            Some(bits) => Network::new(address, bits.parse().ok()?),
            None => Some(Network::host(address)),
        }
    };
    word.text.split(',').map(network).collect::<Option<_>>().ok_or_else(|| {
        let remedy = "list addresses as in 192.0.2.1,2001:db8::/32";
        at(word.position, "this is no list of addresses", remedy)
    })
}

fn at(position: Position, cause: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem { position, cause: cause.into(), remedy: remedy.into() }
}

const fn form(format: KeyFormat) -> &'static str {
    match format {
        KeyFormat::Ntpd => {
            "write ID TYPE KEY, and addresses if it is for some peers only; a file of chronyd's is \
             read with `format = \"chrony\"`"
        }
        KeyFormat::Chrony => "write ID TYPE KEY, with HEX: before a hexadecimal key",
    }
}

/// Thousands of keys take a hundredth of it.
const FILE_BYTES_MAX: u64 = 1 << 20;
const READABLE_BY_ALL: u32 = 0o004;
const WRITABLE_BY_ALL: u32 = 0o002;
/// ntpd: a longer key is hexadecimal.
const NTPD_TEXT_CHARS_MAX: usize = 20;
/// ntpd: what is beyond is not looked at.
const NTPD_SECRET_LEN_MAX: usize = 32;
/// ntpd: higher numbers were Autokey's.
const NTPD_ID_MAX: u32 = 65_535;
/// 80 bits, of which chronyd complains too.
const SECRET_LEN_SOUND: usize = 10;
