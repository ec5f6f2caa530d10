//! What a command's runs came to, all together.

use super::capacity::Capacity;
use super::comparison::Comparison;
use super::run::RunReport;
use serde::Serialize;

/// What came out.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    pub runs: Vec<RunReport>,
    /// With several seeds or rates: each policy against the baseline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
    /// With `--capacity`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capacities: Vec<Capacity>,
    /// What a reader of the table must know besides.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Whether the table says whose work the hits were.
    #[serde(skip)]
    pub by_owner: bool,
}

impl Results {
    /// Those of another variant come behind.
    pub fn extend(&mut self, other: Self) {
        self.runs.extend(other.runs);
        self.comparisons.extend(other.comparisons);
        self.capacities.extend(other.capacities);
        self.by_owner |= other.by_owner;
        let new = other.notes.into_iter().filter(|note| !self.notes.contains(note));
        let new: Vec<String> = new.collect();
        self.notes.extend(new);
    }

    /// Live legs stand before the grid.
    pub fn with_live(mut self, mut live: Vec<RunReport>) -> Self {
        live.append(&mut self.runs);
        Self { runs: live, ..self }
    }
}
