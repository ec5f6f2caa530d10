//! Figures per class of a mixed workload.

use serde::Serialize;
use warmpath_core::report::{Answered, Recorder, Slo, Spread};
use warmpath_core::workload::mixed::class_of;

/// One class, over devices and workers.
#[derive(Clone, Debug, Serialize)]
pub struct ClassFigures {
    pub name: String,
    /// Answered requests.
    pub requests: u64,
    /// Those of them that users' own devices answered.
    pub on_devices: u64,
    /// Share of the answered requests. A request that failed has no class. This and what follows is
    /// None if no request of the class was answered.
    pub within_slo: Option<f64>,
    pub hit_rate: Option<f64>,
    pub ttft_s: Option<Spread>,
    pub tpot_mean_s: Option<f64>,
}

/// In the order of the workload's file. Empty if the workload is not mixed.
pub fn class_figures(
    names: Vec<&str>,
    slo: &Slo,
    workers: &Recorder,
    devices: Option<&Recorder>,
) -> Vec<ClassFigures> {
    let count = names.len() as u32;
    let of = |(class, name): (u32, &str)| {
        let here = |all: &Recorder| -> Vec<Answered> {
            let of_class = |request: &&Answered| class_of(request.id, count) == class;
            all.answered().iter().filter(of_class).cloned().collect()
        };
        let own = devices.map(here).unwrap_or_default();
        let on_devices = own.len() as u64;
        let mut all = here(workers);
        all.extend(own);
        let n = all.len() as f64;
        let within = all.iter().filter(|request| request.meets(slo)).count();
        let sum = |of: fn(&Answered) -> u32| all.iter().map(|r| f64::from(of(r))).sum::<f64>();
        let prompt = sum(|r| r.prompt_tokens);
        let tpots = Spread::of(all.iter().filter_map(Answered::tpot_s).collect());
        ClassFigures {
            name: name.to_owned(),
            requests: all.len() as u64,
            on_devices,
            within_slo: (n > 0.0).then(|| within as f64 / n),
            hit_rate: (prompt > 0.0).then(|| sum(|r| r.cached_tokens) / prompt),
            ttft_s: Spread::of(all.iter().map(|r| r.ttft().as_secs_f64()).collect()),
            tpot_mean_s: tpots.map(|tpot| tpot.mean),
        }
    };
    (0..).zip(names).map(of).collect()
}
