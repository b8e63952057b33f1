//! The discipline: from what servers answer to the time that is served.
//!
//! Layer 2 of timeball, without I/O: [`Discipline`] takes events (a datagram, a timer, somebody set
//! the clock) with the time at which they happened, and gives back [`Action`]s. [`Exchange`] is one
//! NTP question and answer, of use to any client.
//!
//! | file | is |
//! |---|---|
//! | `exchange`, `request`, `rejection` | one question and its answer, and why one is not believed |
//! | `broadcast`, `manycast` | servers that announce themselves, and finding them |
//! | `source`, `pace` | one association: whom to ask, and how often |
//! | `filter`, `kalman`, `estimate` | offset and frequency from a history of answers |
//! | `distance` | how far off an estimate may be, whatever the filter believes |
//! | `selection`, `combine`, `election` | whom to believe, and what they say together |
//! | `servo`, `publish` | the served clock, its error bound, the snapshot |
//! | `books`, `kernel` | what was done to the kernel clock, and what shall be |
//!
//! Must never: read a clock, draw a random number, make a system call.
#![forbid(unsafe_code)]

mod action;
mod books;
mod broadcast;
mod change;
mod combine;
mod config;
mod discipline;
mod distance;
pub mod drift;
mod election;
mod estimate;
mod exchange;
mod filter;
mod kalman;
mod kernel;
mod leap;
mod leap_table;
pub mod limits;
mod majority;
mod manycast;
mod pace;
mod pool;
mod publish;
mod reference_id;
mod rejection;
mod report;
mod request;
mod returning;
mod selection;
mod servo;
mod source;
pub mod state;
mod status;
mod succession;

pub use action::{Action, Actions, Event, SourceId, Steer, Steered};
pub use books::{Books, Observed};
pub use broadcast::{Announced, Broadcast, open_broadcast};
pub use config::{Config, LocalConfig, SourceConfig, Steering, Target};
pub use discipline::Discipline;
pub use estimate::{Covariance, Estimate};
pub use exchange::{Exchange, FREQUENCY_TOLERANCE, Sample, TRANSMIT_WAIT_MAX};
pub use filter::{Filter, FrequencyPrior, HISTORY_MAX, JUMP_SAMPLES, Point, Verdict};
pub use leap_table::{Flaw, LeapTable, LeapTableError};
pub use manycast::Search;
pub use reference_id::reference_id_of;
pub use rejection::{Kiss, Rejection};
pub use request::Request;
pub use selection::Tally;
pub use source::State;
pub use status::{
    Basis, HISTORY_SHOWN, LastAnswer, LocalStatus, PastAnswer, SourceStatus, Status,
    SteeringStatus, Waiting,
};
pub use succession::Legacy;
