//! Small files that must be whole whenever somebody looks: written beside, then renamed over.
//!
//! A kill or a full disk at any instant leaves the old contents or the new, never half.
//!
//! Must never: be called on a worker's core for the sake of a packet; it waits for the disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces the contents of `path`.
///
/// # Errors
/// As the system says; the old contents are then still there.
pub(super) fn replace(path: &Path, contents: &str) -> io::Result<()> {
    let temporary = beside(path);
    let written = write(&temporary, contents).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Best effort: the next write truncates it anyway.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write(path: &Path, contents: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(contents.as_bytes())?;
    file.sync_all()
}

/// In the same directory, so that the rename stays on one file system.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn contents_are_replaced_and_nothing_is_left_beside() {
        let directory = std::env::temp_dir().join(format!("timeball-state-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("drift");
        replace(&path, "1.5\n").unwrap();
        replace(&path, "2.5\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2.5\n");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }

    /// Lines of one number each, as many as the number says.
    fn contents(number: usize) -> String {
        format!("{number}\n").repeat(number)
    }

    /// Run by the test below in processes of their own, which it kills.
    #[test]
    #[ignore = "goes on until it is killed"]
    fn somebody_who_writes_until_killed() {
        let path = PathBuf::from(std::env::var_os(KILLED_WRITES_TO).unwrap());
        for number in (1..=300).cycle() {
            replace(&path, &contents(number)).unwrap();
        }
    }

    #[test]
    fn a_thousand_kills_leave_no_file_that_is_not_whole() {
        let directory = std::env::temp_dir().join(format!("timeball-kill-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let kills = |hand: u64| {
            let path = directory.join(format!("drift-{hand}"));
            for kill in 0..KILLS / HANDS {
                let _ = fs::remove_file(&path);
                let victim = "serve::state_file::tests::somebody_who_writes_until_killed";
                let mut writer = Command::new(std::env::current_exe().unwrap())
                    .args(["--ignored", "--exact", victim])
                    .env(KILLED_WRITES_TO, &path)
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap();
                while !path.exists() {
                    assert_eq!(writer.try_wait().unwrap(), None, "it writes");
                    thread::sleep(Duration::from_micros(200));
                }
                // A write takes some tens of microseconds to some milliseconds.
                thread::sleep(Duration::from_micros((kill * 7919 + hand * 104_729) % 3000));
                writer.kill().unwrap();
                writer.wait().unwrap();
                let text = fs::read_to_string(&path).unwrap();
                let number = text.lines().next().and_then(|line| line.parse().ok()).unwrap_or(0);
                assert!(number > 0 && text == contents(number), "kill {kill}: {text:?}");
            }
        };
        thread::scope(|scope| (0..HANDS).for_each(|hand| drop(scope.spawn(move || kills(hand)))));
        fs::remove_dir_all(&directory).unwrap();
    }

    const KILLED_WRITES_TO: &str = "TIMEBALL_KILLED_WRITES_TO";
    const KILLS: u64 = 1000;
    const HANDS: u64 = 4;

    #[test]
    fn a_failed_write_keeps_the_old_contents() {
        let directory = std::env::temp_dir().join(format!("timeball-full-{}", std::process::id()));
        let path = directory.join("drift");
        fs::create_dir_all(path.with_file_name("drift.new")).unwrap();
        fs::write(&path, "1.5\n").unwrap();
        // The temporary name is taken by a directory, as a full disk would refuse it.
        assert!(replace(&path, "2.5\n").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "1.5\n");
        fs::remove_dir_all(&directory).unwrap();
    }
}
