//! The book is kept true by a machine: its pages hang together, its commands are run and say what it says
//! they do, its reference is what the programs print, and each promise is kept by a test that there is.
//!
//! A fenced block begins with what it is. `sh` is run, in the order of the page, on a host of the page's own
//! ([`host`]); `sh,exit-1` must end with that code; `sh,stays` starts something that goes on until the next
//! such block, or the end of the page; `sh,host` changes a machine (packages, services) and `sh,long` takes
//! minutes, a second machine or a quiet one: those two are not run, but what is given to programs of ours
//! must be what they take. `text,said` is what the block before it said, line by line, but for figures.
//! `toml` is a configuration that is accepted; a `toml` or `conf` block after a sentence that ends in "into
//! `/a/path`:" becomes that file.
//!
//! Must never: reach a network, or write anywhere but in directories of its own.

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod host;
mod page;
mod promises;
mod reference;
mod structure;
