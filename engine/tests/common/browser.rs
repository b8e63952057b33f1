//! A browser without a window, to look at pages: what becomes of them when somebody opens them.
//!
//! Must never: be let near the network: pages are files, and fetch nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A Chromium, if there is one here; `tests/peers` installs it.
pub(crate) struct Browser(PathBuf);

impl Browser {
    /// Looks for it; says so if there is none.
    pub(crate) fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let names = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
        let programs = std::env::split_paths(&path)
            .flat_map(|directory| names.map(|name| directory.join(name)));
        let found = programs.into_iter().find(|program| program.is_file());
        if found.is_none() {
            eprintln!("skipped: no Chromium here; tests/peers installs it");
        }
        found.map(Self)
    }

    /// What it made of `page`: parsed whole, nothing of it fallen out of place. Fails unless it drew
    /// something.
    pub(crate) fn look_at(&self, page: &Path, directory: &Path) -> String {
        let dom = self.browse(page, directory, "--dump-dom");
        assert_eq!(dom.matches("<svg").count(), dom.matches("</svg>").count());
        let picture = directory.join("page.png");
        self.browse(page, directory, &format!("--screenshot={}", picture.display()));
        let picture = std::fs::read(&picture).unwrap();
        assert!(picture.starts_with(b"\x89PNG"), "no picture");
        // An empty page of this size takes less than ten thousand octets.
        assert!(picture.len() > 40_000, "{} octets: hardly anything was drawn", picture.len());
        dom
    }

    fn browse(&self, page: &Path, directory: &Path, task: &str) -> String {
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1200,1600",
        ];
        let output = Command::new(&self.0)
            .args(flags)
            .arg(format!("--user-data-dir={}", directory.join("profile").display()))
            .arg(task)
            .arg(format!("file://{}", page.display()))
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
