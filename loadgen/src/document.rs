//! A result as it is stored, sent to other machines and read back: one JSON object.
//!
//! It holds everything every view is made of, histograms whole, so that text, page, time series and logs
//! can be made from the file later and elsewhere, and files of many generators can be added up.
//!
//! Must never: change the meaning of a field without a new [`SCHEMA`].

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Capacity, Comparison, DamagedHistogram, Device, Machine, Trial};

/// Name and version of the format. A reader refuses another.
pub const SCHEMA: &str = "timeball-load/1";

/// A stored result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: String,
    /// Which command made it.
    pub kind: Experiment,
    /// The program and its version.
    pub program: String,
    /// Where the load came from.
    pub generators: Vec<Generator>,
    /// The loads offered, in order.
    pub trials: Vec<Trial>,
    /// What a search for the highest rate found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// What a comparison says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// What a reader must know to believe it.
    pub remarks: Vec<String>,
}

/// Which command made a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Experiment {
    /// One load.
    Run,
    /// Loads of several rates, one after the other.
    Sweep,
    /// The highest rate that meets a service level.
    Find,
    /// Two servers in turns.
    Compare,
}

/// A machine that offered load, and the command that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generator {
    /// The machine.
    pub machine: Machine,
    /// Its way to the server.
    pub device: Device,
    /// The command line.
    pub command: Vec<String>,
}

impl Document {
    /// What this machine measured just now; `machine` as it was before.
    pub fn new(kind: Experiment, machine: Machine, trials: Vec<Trial>) -> Self {
        let generator = trials.first().map(|trial| Generator {
            machine,
            device: Device::towards(trial.target.ip()),
            command: std::env::args().collect(),
        });
        let mut document = Self {
            schema: SCHEMA.to_owned(),
            kind,
            program: concat!("timeball-load ", env!("CARGO_PKG_VERSION")).to_owned(),
            generators: generator.into_iter().collect(),
            trials,
            capacity: None,
            comparison: None,
            remarks: Vec::new(),
        };
        document.remark();
        document
    }

    /// Reads a stored result.
    pub fn load(path: &Path) -> Result<Self, DocumentError> {
        let at = |cause| DocumentError::Read { path: path.to_owned(), cause };
        let text = std::fs::read_to_string(path).map_err(at)?;
        let unreadable = |cause: serde_json::Error| DocumentError::Unreadable {
            path: path.to_owned(),
            line: cause.line(),
            cause,
        };
        // The version is looked at first: of another one nothing else can be expected.
        let named: Named = serde_json::from_str(&text).map_err(unreadable)?;
        if named.schema != SCHEMA {
            return Err(DocumentError::Schema { path: path.to_owned(), found: named.schema });
        }
        serde_json::from_str(&text).map_err(unreadable)
    }

    /// As it is stored, with a newline at the end.
    pub fn json(&self) -> String {
        // Plain numbers and strings under string keys: that cannot fail.
        serde_json::to_string(self).map_or_else(|error| error.to_string(), |text| text + "\n")
    }

    /// Adds up what several generators measured at the same time.
    pub fn merge(documents: Vec<Self>) -> Result<Self, DocumentError> {
        let mut documents = documents.into_iter();
        let mut sum = documents.next().ok_or(DocumentError::Nothing)?;
        for document in documents {
            let fits = document.kind == sum.kind && document.trials.len() == sum.trials.len();
            if !fits || matches!(sum.kind, Experiment::Find | Experiment::Compare) {
                return Err(DocumentError::Unlike);
            }
            for (mine, theirs) in sum.trials.iter_mut().zip(&document.trials) {
                if mine.target.port() != theirs.target.port() {
                    return Err(DocumentError::Unlike);
                }
                sum.remarks.extend(overlap_remark(mine, theirs));
                mine.merge(theirs)?;
            }
            sum.generators.extend(document.generators);
            sum.remarks.extend(document.remarks);
        }
        sum.remarks.sort();
        sum.remarks.dedup();
        Ok(sum)
    }

    /// Whether any trial was ended from outside.
    pub fn was_interrupted(&self) -> bool {
        let search = self.capacity.as_ref().is_some_and(|capacity| capacity.found.interrupted);
        search || self.trials.iter().any(|trial| trial.report.interrupted)
    }

    /// Valid replies in all trials.
    pub fn answered(&self) -> u64 {
        self.trials.iter().map(|trial| trial.report.answered).sum()
    }

    fn remark(&mut self) {
        for generator in self.generators.iter().filter(|it| it.machine.was_busy()) {
            let Machine { name, load_average, .. } = &generator.machine;
            self.remarks.push(format!(
                "{name} was busy when the load began (load average {load_average}): other programs \
                 shared its cores, and figures are worse and less certain than they could be"
            ));
        }
    }
}

/// Says so if two generators did not run together.
fn overlap_remark(one: &Trial, other: &Trial) -> Option<String> {
    let from = one.started_unix_ns.max(other.started_unix_ns);
    let to = one.ended_unix_ns().min(other.ended_unix_ns());
    let together_s = (to - from).max(0) as f64 / 1e9;
    let longest_s = one.report.elapsed_s.max(other.report.elapsed_s);
    (together_s < TOGETHER_SHARE * longest_s).then(|| {
        format!(
            "two generators ran together for {together_s:.1} of {longest_s:.1} s only: their rates were \
             not offered at once; start them with the same --start-at"
        )
    })
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Named {
    schema: String,
}

/// Why a stored result cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It cannot be read.
    #[error("{path}: cannot be read: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It is no result.
    #[error("{path}:{line}: not a result of timeball-load: {cause}; store one with --save FILE")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense, from 1.
        line: usize,
        /// How.
        cause: serde_json::Error,
    },
    /// It is of another version.
    #[error(
        "{path}: it is of format {found:?}, this program reads {SCHEMA:?}; use the same version"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
    },
    /// A histogram in it is damaged.
    #[error(transparent)]
    Histogram(#[from] DamagedHistogram),
    /// There are none to merge.
    #[error("nothing to merge; name result files stored with --save")]
    Nothing,
    /// They are no parts of one load.
    #[error(
        "these results cannot be added up: they must be runs, or sweeps over equally many rates, to one \
         port; what `find` and `compare` say depends on one generator alone"
    )]
    Unlike,
}

/// Generators that ran together for less than this share did not make one load.
const TOGETHER_SHARE: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::tests::trial;

    fn document(trials: Vec<Trial>) -> Document {
        Document::new(Experiment::Run, Machine::look(), trials)
    }

    #[test]
    fn a_stored_result_is_the_same_again() {
        let directory = std::env::temp_dir().join(format!("timeball-load-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("result.json");
        let stored = document(vec![trial(2_000, 500), trial(4_000, 700)]);
        std::fs::write(&path, stored.json()).unwrap();
        assert_eq!(Document::load(&path).unwrap(), stored);
        std::fs::write(&path, stored.json().replace(SCHEMA, "timeball-load/99")).unwrap();
        assert!(matches!(Document::load(&path), Err(DocumentError::Schema { .. })));
        std::fs::write(&path, "{\n\n\"schema\": 5").unwrap();
        let error = Document::load(&path).unwrap_err();
        assert!(error.to_string().contains("result.json:3:"), "{error}");
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn merging_equals_one_result_of_all() {
        let parts = [(1_000, 100), (2_000, 5_000), (3_000, 80)];
        let merged = parts.map(|(rate, base)| document(vec![trial(rate, base)]));
        let merged = Document::merge(merged.into()).unwrap();
        let mut whole = crate::Report::default();
        parts.iter().for_each(|&(rate, base)| whole.merge(&trial(rate, base).report));
        assert_eq!(merged.trials[0].report, whole);
        assert_eq!(merged.generators.len(), 3);
    }

    #[test]
    fn generators_that_did_not_run_together_are_named() {
        let mut late = trial(1_000, 100);
        late.started_unix_ns += 1_500_000_000;
        let merged = Document::merge(vec![document(vec![trial(1_000, 100)]), document(vec![late])]);
        let remarks = merged.unwrap().remarks;
        assert!(remarks.iter().any(|it| it.contains("together for 0.5 of 2.0 s")), "{remarks:?}");
    }

    #[test]
    fn what_is_no_part_of_one_load_is_not_added_up() {
        let pairs = [
            (document(vec![trial(1, 1)]), document(vec![trial(1, 1), trial(2, 1)])),
            (
                document(vec![trial(1, 1)]),
                Document { kind: Experiment::Find, ..document(vec![trial(1, 1)]) },
            ),
        ];
        for (one, other) in pairs {
            assert!(matches!(Document::merge(vec![one, other]), Err(DocumentError::Unlike)));
        }
        assert!(matches!(Document::merge(Vec::new()), Err(DocumentError::Nothing)));
    }
}
