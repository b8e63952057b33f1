//! Offers a bounded NTP load to a server of one's own and checks every reply.
//!
//! * [`Load`] and [`Schedule`]: when each request is meant to be sent;
//! * [`Population`]: from whom;
//! * [`Expectation`] and [`Fault`]: what makes a reply valid, and what each invalid one is counted
//!   as;
//! * [`run`]: the generator, one thread on one core, that both sends and drains;
//! * [`Report`]: what came of it, whole enough to be added up;
//! * [`cli`]: the program `timeball-load`.
//!
//! Latency counts from the *intended* moment of sending: a generator that waits for a slow server
//! before it sends the next request would otherwise leave out exactly the bad moments (coordinated
//! omission).
//!
//! Must never: send to a host that is not this machine, run without a bound, or adjust a clock.
#![forbid(unsafe_code)]

#[cfg(test)]
mod accuracy;
mod behaviour;
mod capacity;
mod carrier;
mod check;
pub mod cli;
mod comparison;
mod document;
mod error;
pub mod export;
mod find;
mod flight;
mod histogram;
mod in_kernel;
mod judge;
mod knee;
mod level;
mod limits;
mod live;
mod machine;
mod mix;
mod options;
pub mod page;
mod population;
mod probe;
mod random;
mod recorder;
mod report;
mod run;
mod schedule;
mod scope;
mod sender;
mod series;
mod steps;
pub mod table;
mod text;
mod trial;

pub use behaviour::{Behaviour, BehaviourError, Chatty, Cohort, Treatment, Treatments};
pub use capacity::Capacity;
pub use check::{Asked, Expectation, Fault, FaultTally, Reply};
pub use comparison::{Comparison, FigureRatio, Method, Ratio};
pub use document::{Document, DocumentError, Experiment, Generator, SCHEMA};
pub use error::LoadError;
pub use find::{Ask, FindOptions, Found, Step, find};
pub use histogram::{DamagedHistogram, Distribution, PackedHistogram, SignedHistogram};
pub use level::{Level, Verdict};
pub use limits::Limit;
pub use live::Live;
pub use machine::{Device, Machine};
pub use mix::{Kind, Mix, MixError, Provocation, Provocations};
pub use options::{Options, Path, Senders};
pub use population::{Population, PopulationError};
pub use random::SplitMix64;
pub use recorder::Slice;
pub use report::Report;
pub use run::{run, run_watched};
pub use schedule::{Load, Part, Pattern, Schedule};
pub use scope::{OutOfScope, refuse_foreign};
pub use series::{Point, SenderPoint};
pub use steps::{Steps, StepsError};
pub use text::{text, utc};
pub use timeball_sys::traffic::driver::{Companion, Company, Flaw};
pub use trial::{KNEE_SHARE, Sender, Trial, knee};
