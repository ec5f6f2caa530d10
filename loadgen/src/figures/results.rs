//! The results of all runs of a command.

use super::capacity::Capacity;
use super::comparison::Comparison;
use super::run::RunReport;
use super::tuning::Tuning;
use serde::Serialize;

/// The results of a command.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    pub runs: Vec<RunReport>,
    /// Each policy against the baseline, if there are several seeds or rates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
    /// With `--capacity`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capacities: Vec<Capacity>,
    /// With `tune`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tunings: Vec<Tuning>,
    /// Notes for the reader of the table.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Whether the table says whose earlier work the hits reuse.
    #[serde(skip)]
    pub by_owner: bool,
}

impl Results {
    /// Appends the results of another variant.
    pub fn extend(&mut self, other: Self) {
        self.runs.extend(other.runs);
        self.comparisons.extend(other.comparisons);
        self.capacities.extend(other.capacities);
        self.tunings.extend(other.tunings);
        self.by_owner |= other.by_owner;
        let new = other.notes.into_iter().filter(|note| !self.notes.contains(note));
        let new: Vec<String> = new.collect();
        self.notes.extend(new);
    }

    /// Puts live runs before the grid.
    pub fn with_live(mut self, mut live: Vec<RunReport>) -> Self {
        live.append(&mut self.runs);
        Self { runs: live, ..self }
    }
}
