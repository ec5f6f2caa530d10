//! Regret as tables.

use super::{Examined, Question, Regret};
use crate::report::columns;
use warmpath_sheet::{Column, Form, Format, Page, Sheet, Style};

/// A decision, with the rule that made it.
type Row<'a> = (&'a str, &'a Examined);

/// What a person reads: a line for each rule, and the decisions that another worker would have made better.
pub fn page(title: &str, asked: Question, all: &[Regret]) -> Page {
    let mut page = Page::default();
    let form = of_rules();
    let mut sheet = form.sheet(title);
    all.iter().for_each(|regret| sheet.push(form.row(regret)));
    sheet.note(format!(
        "A decision is played again with each other worker, all other requests where they were. Regret: what the best worker \
         wins in time to first token, of this request and of those sent within {} s after it. Means are over decisions that \
         were picked evenly.",
        asked.horizon_s
    ));
    page.sheet(sheet);
    page.sheet(wrong(all));
    page
}

/// What programs read: a row for each decision.
pub fn data(all: &[Regret]) -> Sheet {
    let form = of_decisions();
    let mut sheet = form.sheet("");
    for regret in all {
        let rows = regret.examined.iter().map(|one| (regret.policy.as_str(), one));
        rows.for_each(|row| sheet.push(form.row(&row)));
    }
    sheet
}

/// Every table without rows, with all the columns that it can have.
pub fn blanks() -> Vec<Sheet> {
    vec![
        of_rules().sheet("Regret: a row for each policy"),
        of_decisions().sheet("Regret: a row for each decision"),
    ]
}

fn wrong(all: &[Regret]) -> Sheet {
    const MOST: usize = 10;
    let form = of_decisions();
    let mut sheet =
        form.sheet(format!("Of the examined decisions, the {MOST} of each policy that cost most:"));
    for regret in all {
        let mut examined: Vec<&Examined> =
            regret.examined.iter().filter(|one| one.regret_s > 0.0).collect();
        examined.sort_by(|a, b| b.regret_s.total_cmp(&a.regret_s));
        sheet.begin_group();
        for one in examined.into_iter().take(MOST) {
            sheet.push(form.row(&(regret.policy.as_str(), one)));
        }
    }
    sheet.note(
        "expected: what the rule expected when it decided. others: what the best worker changes in the times of other \
         requests; above 0 they wait longer.",
    );
    sheet
}

fn seconds(key: &'static str, heading: &'static str, meaning: &'static str) -> Column {
    Column::number(key, heading, "s", meaning).format(Format::of(Style::Seconds))
}

fn of_rules() -> Form<'static, Regret> {
    let number = Column::number;
    let best = "Evenly picked decisions that no other worker would have made better.";
    let share = "Mean regret in percent of the mean time to first token.";
    Form::new([
        columns::label().of(|regret: &Regret| regret.policy.clone()),
        columns::requests().of(|regret: &Regret| regret.requests),
        number("examined", "examined", "decisions", "Decisions that were played again.")
            .of(|regret: &Regret| regret.examined.len()),
        Column::text("right", "right", best).of(|regret: &Regret| {
            let (right, of) = regret.right();
            format!("{right} of {of}")
        }),
        columns::ttft_mean().of(|regret: &Regret| regret.ttft_mean_s),
        seconds("regret_mean_s", "mean regret", "Mean over evenly picked decisions.")
            .of(|regret: &Regret| regret.mean_s()),
        number("regret_percent", "% of TTFT", "%", share)
            .format(Format::digits(1))
            .of(|regret: &Regret| regret.mean_s() / regret.ttft_mean_s * 100.0),
        seconds("regret_most_s", "worst", "The largest regret of a decision.").of(
            |regret: &Regret| {
                let regrets = regret.examined.iter().map(|one| one.regret_s);
                regrets.fold(0.0, f64::max)
            },
        ),
    ])
}

fn of_decisions<'a>() -> Form<'static, Row<'a>> {
    let number = Column::number;
    let picked = "slow: among the slowest requests; even: picked evenly.";
    let better = "The worker that would have been the best.";
    let others = "What the best worker changes in the times to first token of other requests within the horizon.";
    Form::new([
        columns::label().of(|(policy, _): &Row<'a>| (*policy).to_owned()),
        number("request", "request", "id", "Number of the request.")
            .of(|(_, one): &Row<'a>| one.request),
        seconds("sent_s", "sent", "When it was sent.").of(|(_, one): &Row<'a>| one.sent_s),
        number("prompt_tokens", "prompt", "tokens", "Length of the prompt.")
            .of(|(_, one): &Row<'a>| one.prompt_tokens),
        Column::text("picked", "picked", picked)
            .of(|(_, one): &Row<'a>| if one.slowest { "slow" } else { "even" }),
        number("worker", "worker", "id", "The worker that it was sent to.")
            .under("as it was")
            .of(|(_, one): &Row<'a>| one.worker),
        seconds("ttft_s", "TTFT", "Its time to first token.")
            .under("as it was")
            .of(|(_, one): &Row<'a>| one.ttft_s),
        seconds("expected_s", "expected", "What the rule expected there.")
            .under("as it was")
            .of(|(_, one): &Row<'a>| one.expected_s),
        number("best_worker", "worker", "id", better)
            .under("best")
            .of(|(_, one): &Row<'a>| one.best_worker),
        seconds("best_ttft_s", "TTFT", "Its time to first token there.")
            .under("best")
            .of(|(_, one): &Row<'a>| one.best_ttft_s),
        seconds("best_expected_s", "expected", "What the rule expected there.")
            .under("best")
            .of(|(_, one): &Row<'a>| one.best_expected_s),
        number("others_s", "others", "s", others)
            .format(Format::of(Style::Signed(3)))
            .of(|(_, one): &Row<'a>| one.others_s),
        seconds("regret_s", "regret", "What the best worker wins in all.")
            .of(|(_, one): &Row<'a>| one.regret_s),
    ])
}
