//! A search for the parameters of a rule. It changes one parameter at a time, in steps that get smaller.

use crate::figures::goal::Goal;
use crate::figures::{RunReport, Tried, Tuning, covers};
use crate::play::{Cell, Progress, RunOptions, grid, scope};
use crate::setup::{Prepared, Setup};
use anyhow::Result;
use warmpath_core::routing::policy::{NamedPolicy, PolicyConfig};

/// Factors of 16, 4, 2, 1.4 and 1.2.
const ROUNDS: u32 = 5;
/// A better value must be better by this, in percent. Less is chance.
const LEAST_GAIN: f64 = 0.1;

/// What the search looks at.
#[derive(Clone, Copy)]
pub struct Question {
    pub goal: Goal,
    pub goal_name: &'static str,
    /// The most settings that are played, at every rate and with every seed.
    pub budget: usize,
}

impl Question {
    /// Lower is better.
    fn cost(&self, run: &RunReport) -> Option<f64> {
        let Goal { figure, lower, .. } = self.goal;
        let value = figure(&run.figures).filter(|_| covers(&run.figures))?;
        Some(if lower { value } else { 1.0 / value })
    }
}

/// Searches with the requests of `setup`.
pub fn tune(
    question: Question,
    policy: &NamedPolicy,
    setup: &Setup,
    options: &RunOptions,
    progress: &Progress,
) -> Result<(PolicyConfig, Vec<Tried>, bool)> {
    let prepared = setup.source.prepare(&scope(setup));
    let options =
        RunOptions { bounds: false, rows: false, sketch: false, interval: None, ..options.clone() };
    let mut search = Search {
        question,
        setup,
        prepared,
        options,
        progress,
        costs: Vec::new(),
        tried: Vec::new(),
    };
    search.play(&[policy.policy])?;
    let mut best = policy.policy;
    let mut round = 0;
    // Parameters that change nothing with these requests and this fleet. They are tried once.
    let mut idle = vec![false; best.near(0).len()];
    while round < ROUNDS && !search.is_over() {
        let before = best;
        for (parameter, idle) in idle.iter_mut().enumerate().filter(|(_, idle)| !**idle) {
            let near = best.near(round).swap_remove(parameter);
            search.play(&near)?;
            *idle =
                !near.is_empty() && near.iter().all(|of| search.change(*of) == search.change(best));
            for candidate in near {
                if search.change(candidate) < search.change(best) - LEAST_GAIN {
                    best = candidate;
                }
            }
        }
        // The same step again while it helps.
        round += u32::from(best == before);
    }
    let spent = search.is_over();
    Ok((best, search.tried, spent))
}

struct Search<'a> {
    question: Question,
    setup: &'a Setup,
    prepared: Prepared<'a>,
    options: RunOptions,
    progress: &'a Progress,
    /// The goal of the rule as it was given, of each rate and seed.
    costs: Vec<f64>,
    tried: Vec<Tried>,
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.tried.len() >= self.question.budget
    }

    /// Plays those that were not played yet, as far as the budget goes.
    fn play(&mut self, candidates: &[PolicyConfig]) -> Result<()> {
        let mut new: Vec<NamedPolicy> = Vec::new();
        for candidate in candidates {
            let label = candidate.to_string();
            let known = self.tried.iter().any(|tried| tried.policy == label)
                || new.iter().any(|other| other.label == label);
            if !known && self.tried.len() + new.len() < self.question.budget {
                new.push((*candidate).into());
            }
        }
        let setup = Setup { policies: new, ..self.setup.clone() };
        let cells: Vec<Cell<'_>> = grid::cells(&setup, &self.options);
        let runs = grid::play(&setup, &self.prepared, &cells, self.progress)?;
        for policy in &setup.policies {
            let of_policy = runs.iter().filter(|run| run.policy.as_ref() == Some(policy));
            let costs: Option<Vec<f64>> = of_policy.map(|run| self.question.cost(run)).collect();
            if self.costs.is_empty() {
                self.costs = costs.clone().unwrap_or_default();
            }
            let change = costs.filter(|costs| costs.len() == self.costs.len()).map(|costs| {
                let ratios = costs.iter().zip(&self.costs).map(|(own, first)| own / first);
                (ratios.sum::<f64>() / costs.len() as f64 - 1.0) * 100.0
            });
            let change_percent = change.filter(|change| change.is_finite());
            self.tried.push(Tried { policy: policy.label.clone(), change_percent });
        }
        Ok(())
    }

    fn change(&self, policy: PolicyConfig) -> f64 {
        let label = policy.to_string();
        let tried = self.tried.iter().find(|tried| tried.policy == label);
        tried.and_then(|tried| tried.change_percent).unwrap_or(f64::INFINITY)
    }
}

/// The report's data of a search.
pub fn tuning(
    question: Question,
    policy: &NamedPolicy,
    tuned: PolicyConfig,
    (tried, budget_spent): (Vec<Tried>, bool),
    (trained_on, reported_on): (String, String),
) -> Tuning {
    Tuning {
        policy: policy.policy.to_string(),
        tuned: tuned.to_string(),
        trained_on,
        reported_on,
        goal: question.goal_name,
        budget_spent,
        tried,
        held_out_change_percent: None,
    }
}

/// The goal of a tuned rule against that of the rule as it was given, in percent: the mean over all rates and seeds that
/// both have played. None: too many requests had no answer.
pub fn held_out_change(question: Question, tuning: &Tuning, runs: &[RunReport]) -> Option<f64> {
    let of = |name: &str| {
        let is_of = |run: &&RunReport| {
            run.policy.as_ref().is_some_and(|named| named.policy.to_string() == name)
        };
        let cost = |run: &RunReport| Some((run.rate_scale, run.seed, question.cost(run)?));
        let costs: Option<Vec<_>> = runs.iter().filter(is_of).map(cost).collect();
        costs
    };
    let (given, tuned) = (of(&tuning.policy)?, of(&tuning.tuned)?);
    let ratio = |(rate, seed, cost): &(f64, u64, f64)| {
        let twin = given.iter().find(|other| other.0 == *rate && other.1 == *seed)?;
        Some(cost / twin.2)
    };
    let ratios: Option<Vec<f64>> = tuned.iter().map(ratio).collect();
    let ratios = ratios.filter(|ratios| !ratios.is_empty())?;
    Some((ratios.iter().sum::<f64>() / ratios.len() as f64 - 1.0) * 100.0)
}
