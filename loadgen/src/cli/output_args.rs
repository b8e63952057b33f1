//! The options that say where a result goes; the same for every command that has one.
//!
//! Must never: lose a result: it is shown on standard output even if a file cannot be written.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::CommandError;
use crate::{Document, export, page, text};

/// Where the result goes. People read it on standard output unless told otherwise.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
    /// Store the whole result, for `report`, `merge` and `compare`.
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,
    /// Write one self-contained HTML page.
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
    /// Write one self-contained picture of the charts, for other documents.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// Write the time series.
    #[arg(long, value_name = "FILE.csv")]
    csv: Option<PathBuf>,
    /// Write an HdrHistogram log, one histogram an interval.
    #[arg(long, value_name = "FILE.hlog")]
    hlog: Option<PathBuf>,
    /// Write the percentile distribution of latency as HdrHistogram prints it.
    #[arg(long, value_name = "FILE.hgrm")]
    hgrm: Option<PathBuf>,
}

impl OutputArgs {
    /// Shows `document` and writes every file asked for.
    pub(super) fn put(&self, document: &Document) -> Result<(), CommandError> {
        let shown = if self.json { document.json() } else { text(document) };
        let mut output = io::stdout().lock();
        // Nobody need read on (`timeball-load … | head`).
        let _ = output.write_all(shown.as_bytes()).and_then(|()| output.flush());
        let log = self.hlog.as_ref().map(|_| export::hlog(document)).transpose()?;
        let files: [(&Option<PathBuf>, &dyn Fn() -> String); 6] = [
            (&self.save, &|| document.json()),
            (&self.html, &|| page::html(document)),
            (&self.svg, &|| page::svg(document)),
            (&self.csv, &|| export::csv(document)),
            (&self.hlog, &|| log.clone().unwrap_or_default()),
            (&self.hgrm, &|| export::hgrm(document)),
        ];
        for (path, contents) in files {
            if let Some(path) = path {
                write(path, &contents())?;
            }
        }
        Ok(())
    }

    /// Fails before load is offered if a file cannot be written after it.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        let files = [&self.save, &self.html, &self.svg, &self.csv, &self.hlog, &self.hgrm];
        let mut paths: Vec<_> = files.into_iter().flatten().collect();
        for path in &paths {
            let opened = fs::OpenOptions::new().append(true).create(true).open(path);
            opened.map_err(|cause| CommandError::Write { path: path.to_path_buf(), cause })?;
        }
        paths.sort();
        if let Some(pair) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
            let path = pair[0].display();
            return Err(CommandError::Usage(format!("{path} is named twice; give each its own")));
        }
        Ok(())
    }
}

fn write(path: &Path, contents: &str) -> Result<(), CommandError> {
    fs::write(path, contents).map_err(|cause| CommandError::Write { path: path.to_owned(), cause })
}
