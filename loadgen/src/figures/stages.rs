//! Figures by stage of a workload.

use serde::Serialize;
use warmpath_core::id::RequestId;
use warmpath_core::report::{Figures, Recorder, Slo};
use warmpath_core::workload::stage::Stage;
use warmpath_core::workload::staged::StagePlan;

/// The stages of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Stages {
    /// In the order of the file, without those that sent nothing.
    pub each: Vec<StageFigures>,
    /// The plain mean of the stages that count: each has the same weight.
    pub mean: Option<StageMeans>,
    #[serde(skip)]
    plan: StagePlan,
}

/// One stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageFigures {
    pub name: String,
    /// Requests or sessions a second that the stage asked for.
    pub rate_per_s: f64,
    /// Whether the figures of the run contain it.
    pub counted: bool,
    /// From its first send to its last end.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Means over stages. None: a stage has no such figure.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct StageMeans {
    /// Of how many stages.
    pub stages: u64,
    pub hit_rate: Option<f64>,
    pub ttft_mean_s: Option<f64>,
    pub ttft_p90_s: Option<f64>,
    pub tpot_mean_s: Option<f64>,
    pub output_tokens_per_s: f64,
    pub within_slo: f64,
}

impl Stages {
    /// The figures of each stage, and the requests of the stages that count.
    pub fn of(
        plan: StagePlan,
        recorder: &Recorder,
        block_size: u32,
        workers: Option<u32>,
        slo: &Slo,
    ) -> (Self, Recorder) {
        let stages: Vec<Stage> = plan.stages().cloned().collect();
        let figures = |(number, stage): (usize, &Stage)| StageFigures {
            name: stage.label(),
            rate_per_s: stage.rate,
            counted: stage.counted,
            figures: recorder
                .part(|id| plan.stage_of(id) == number)
                .figures(block_size, workers, slo),
        };
        let each: Vec<StageFigures> = stages.iter().enumerate().map(figures).collect();
        let each: Vec<StageFigures> =
            each.into_iter().filter(|stage| stage.figures.offered > 0).collect();
        let counted = recorder.part(|id| stages[plan.stage_of(id)].counted);
        (Self { mean: StageMeans::of(&each), each, plan }, counted)
    }

    /// Whether the figures of the run contain a request.
    pub fn counts(&self, id: RequestId) -> bool {
        self.plan.stages().nth(self.plan.stage_of(id)).is_none_or(|stage| stage.counted)
    }

    /// The name of a request's stage.
    pub fn name_of(&self, id: RequestId) -> Option<String> {
        self.plan.stages().nth(self.plan.stage_of(id)).map(Stage::label)
    }
}

impl StageMeans {
    fn of(all: &[StageFigures]) -> Option<Self> {
        let counted: Vec<&Figures> =
            all.iter().filter(|stage| stage.counted).map(|stage| &stage.figures).collect();
        let mean = |of: fn(&Figures) -> f64| {
            counted.iter().map(|figures| of(figures)).sum::<f64>() / counted.len() as f64
        };
        let known = |of: fn(&Figures) -> Option<f64>| {
            let values: Option<Vec<f64>> = counted.iter().map(|figures| of(figures)).collect();
            values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
        };
        (!counted.is_empty()).then(|| Self {
            stages: counted.len() as u64,
            hit_rate: known(|figures| figures.hit_rate),
            ttft_mean_s: known(|figures| Some(figures.ttft_s?.mean)),
            ttft_p90_s: known(|figures| Some(figures.ttft_s?.p90)),
            tpot_mean_s: known(|figures| Some(figures.tpot_s?.mean)),
            output_tokens_per_s: mean(|figures| figures.throughput.output_tokens_per_s),
            within_slo: mean(|figures| figures.within_slo),
        })
    }
}
