//! Whether several runs say the same: by ratios, because the machine's pace is its own affair.
//!
//! Must never: call runs alike by figures that are no ratios.

use serde::Serialize;
use timeball_load::table::{Table, percent};

use super::Run;
use crate::place::On;
use crate::rounds::Spread;

/// Every ratio in every run.
#[derive(Debug, Serialize)]
pub(super) struct Agreement {
    /// Whether all of them deviate by at most [`TOLERANCE`].
    pub(super) agrees: bool,
    pub(super) ratios: Vec<Ratios>,
}

/// One contender's ratio to the reference, by what an answer costs.
#[derive(Debug, Serialize)]
pub(super) struct Ratios {
    pub(super) on: On,
    pub(super) server: String,
    /// Run by run.
    pub(super) runs: Vec<f64>,
    /// The largest distance of a run from the one in the middle, as a share of that.
    pub(super) deviation: f64,
}

impl Agreement {
    /// Of contenders that are in every run; `None` of one run.
    pub(super) fn of(runs: &[Run]) -> Option<Self> {
        let (first, others) = runs.split_first().filter(|(_, others)| !others.is_empty())?;
        let ratio_in = |run: &Run, on: On, server: &str| {
            let row = run.rows.iter().find(|row| row.on == on && row.server == server)?;
            Some(row.times_reference?.ratio)
        };
        let ratios = first.rows.iter().filter_map(|row| {
            let mut runs = vec![row.times_reference?.ratio];
            for run in others {
                runs.push(ratio_in(run, row.on, &row.server)?);
            }
            Ratios::of(row.on, &row.server, runs)
        });
        let ratios: Vec<Ratios> = ratios.collect();
        Some(Self { agrees: ratios.iter().all(Ratios::agree), ratios })
    }

    /// One line that says it.
    pub(super) fn verdict(&self) -> String {
        let apart = self.ratios.iter().filter(|ratios| !ratios.agree()).count();
        if self.agrees {
            format!("All {} ratios agree within 5 %.", self.ratios.len())
        } else {
            format!("{apart} of {} ratios differ by more than 5 %.", self.ratios.len())
        }
    }

    /// The verdict and a table.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new(&HEADER);
        self.ratios.iter().for_each(|ratios| table.row(ratios.cells()));
        format!("Runs compared by × recvmmsg\n\n{}\n{}\n", table.text(), self.verdict())
    }
}

impl Ratios {
    fn of(on: On, server: &str, runs: Vec<f64>) -> Option<Self> {
        let middle = Spread::of(runs.iter().copied())?.median;
        let distances = runs.iter().map(|ratio| (ratio / middle - 1.0).abs());
        let deviation = distances.fold(0.0, f64::max);
        Some(Self { on, server: server.to_owned(), runs, deviation })
    }

    fn agree(&self) -> bool {
        self.deviation <= TOLERANCE
    }

    /// The cells of its row under [`HEADER`].
    pub(super) fn cells(&self) -> Vec<String> {
        let runs: Vec<String> = self.runs.iter().map(|ratio| format!("{ratio:.3}")).collect();
        let verdict = if self.agree() { "agree" } else { "differ" };
        vec![
            format!("{} on {}", self.server, self.on.name()),
            runs.join(" / "),
            percent(self.deviation),
            verdict.to_owned(),
        ]
    }
}

/// Columns of the table.
pub(super) const HEADER: [&str; 4] = ["server", "run by run", "from the middle", "verdict"];
/// Runs on a quiet machine are to agree within this.
const TOLERANCE: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_agree_if_none_is_farther_from_the_middle_than_a_twentieth() {
        let of = |runs: &[f64]| Ratios::of(On::Veth, "it", runs.to_vec()).unwrap();
        assert!(of(&[1.0, 1.049, 0.951]).agree() && of(&[2.0]).agree());
        assert!(!of(&[1.0, 1.06, 1.0]).agree() && !of(&[0.90, 1.0, 1.0]).agree());
        assert_eq!(
            of(&[1.0, 0.5, 1.0]).cells(),
            ["it on veth", "1.000 / 0.500 / 1.000", "50.0 %", "differ"]
        );
    }

    #[test]
    fn one_run_agrees_with_nobody() {
        assert!(Agreement::of(&[]).is_none());
    }
}
