//! What a search for parameters tried.

use serde::Serialize;

/// The search for the parameters of one rule.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Tuning {
    /// The rule as it was given.
    pub policy: String,
    /// The best that was found. The same: nothing was better.
    pub tuned: String,
    /// The requests that it was found with.
    pub trained_on: String,
    /// The requests that the report shows.
    pub reported_on: String,
    /// The figure of [`Tried::change_percent`].
    pub goal: &'static str,
    /// Whether the budget ended the search, and not the lack of better values.
    pub budget_spent: bool,
    pub tried: Vec<Tried>,
    /// [`Tried::change_percent`] of the best on the requests that the report shows. None: too many had no answer.
    pub held_out_change_percent: Option<f64>,
}

/// One setting of the parameters.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Tried {
    pub policy: String,
    /// The goal against that of the rule as it was given, in percent, mean over all rates and seeds of the training part.
    /// None: too many requests had no answer.
    pub change_percent: Option<f64>,
}

impl Tuning {
    /// How much better the best was on the training part.
    pub fn best_change_percent(&self) -> f64 {
        let best = self.tried.iter().find(|tried| tried.policy == self.tuned);
        best.and_then(|tried| tried.change_percent).unwrap_or(0.0)
    }
}
