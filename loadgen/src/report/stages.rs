//! The stages of a workload, and their plain mean.

use super::columns;
use crate::figures::{RunReport, StageFigures, StageMeans};
use warmpath_sheet::{Column, Form, Format, Sheet, Value};

/// A stage of a run, or the mean of its stages.
struct Line<'a> {
    run: &'a RunReport,
    what: What<'a>,
}

enum What<'a> {
    Stage(&'a StageFigures),
    Mean(StageMeans),
}

/// A row for each stage of each run and one for their mean; none where there are no stages.
pub fn sheet(runs: &[RunReport]) -> Sheet {
    let form = form();
    let mut sheet = form.sheet("Stages of the workload").labels(3);
    let mut left_out = false;
    for run in runs {
        let Some(stages) = &run.stages else { continue };
        for stage in &stages.each {
            left_out |= !stage.counted;
            sheet.push(form.row(&Line { run, what: What::Stage(stage) }));
        }
        if let Some(mean) = stages.mean {
            sheet.push(form.row(&Line { run, what: What::Mean(mean) }));
        }
    }
    if left_out {
        let why = "Stages with * are not in the mean, nor in the figures of the run.";
        sheet.note(why.to_owned());
    }
    sheet
}

/// The sheet without rows, with every column that it can have.
pub fn blank() -> Sheet {
    form().sheet("Stages of the workload")
}

impl Line<'_> {
    fn either<T>(&self, of: fn(&StageFigures) -> T, mean: fn(&StageMeans) -> T) -> T {
        match &self.what {
            What::Stage(stage) => of(stage),
            What::Mean(all) => mean(all),
        }
    }

    fn of_stage(&self, of: fn(&StageFigures) -> f64) -> Value {
        match &self.what {
            What::Stage(stage) => of(stage).into(),
            What::Mean(_) => Value::Blank,
        }
    }

    fn name(&self) -> String {
        match &self.what {
            What::Stage(stage) if stage.counted => stage.name.clone(),
            What::Stage(stage) => format!("{} *", stage.name),
            What::Mean(all) => format!("mean of {}", all.stages),
        }
    }
}

fn form<'a>() -> Form<'static, Line<'a>> {
    let asked = "Requests or sessions a second that the stage asks for.";
    let output = "Answer tokens a second, from the stage's first send to its last end.";
    let within = "Share of the stage's requests that kept the SLO.";
    let stage = "The stage's name in the workload file, or the mean of the counted stages.";
    Form::new([
        Column::text("stage", "stage", stage).of(|line: &Line<'_>| line.name()),
        columns::label().of(|line: &Line<'_>| line.run.label()),
        columns::mode().of(|line: &Line<'_>| line.run.mode.name()),
        Column::number("stage_rate", "rate/s", "1/s", asked)
            .format(Format::digits(2))
            .of(|line: &Line<'_>| line.of_stage(|stage| stage.rate_per_s)),
        columns::requests()
            .of(|line: &Line<'_>| line.of_stage(|stage| stage.figures.requests as f64)),
        columns::hit_rate().of(|line: &Line<'_>| {
            line.either(|stage| stage.figures.hit_rate, |mean| mean.hit_rate)
        }),
        columns::ttft_mean().of(|line: &Line<'_>| {
            line.either(|stage| stage.figures.ttft_s.map(|ttft| ttft.mean), |mean| mean.ttft_mean_s)
        }),
        columns::ttft_p90().of(|line: &Line<'_>| {
            line.either(|stage| stage.figures.ttft_s.map(|ttft| ttft.p90), |mean| mean.ttft_p90_s)
        }),
        columns::tpot_mean().of(|line: &Line<'_>| {
            line.either(|stage| stage.figures.tpot_s.map(|tpot| tpot.mean), |mean| mean.tpot_mean_s)
        }),
        Column::number("output_tokens_per_s", "out tok/s", "tokens/s", output)
            .format(Format::digits(0))
            .of(|line: &Line<'_>| {
                let of = |stage: &StageFigures| stage.figures.throughput.output_tokens_per_s;
                line.either(of, |mean| mean.output_tokens_per_s)
            }),
        columns::percent("within_slo", "in SLO %", within).of(|line: &Line<'_>| {
            line.either(|stage| stage.figures.within_slo, |mean| mean.within_slo)
        }),
    ])
}
