//! Regret as tables.

use super::{By, Examined, Question, Regret};
use crate::report::columns;
use warmpath_sheet::{Column, Form, Format, Page, Sheet, Style};

/// A decision, with the rule that made it.
type Row<'a> = (&'a str, &'a Examined);

/// What a person reads: a line for each rule, and the decisions that another worker would have made better.
pub fn page(title: &str, asked: Question, all: &[Regret]) -> Page {
    let mut page = Page::default();
    let form = of_rules(asked.by);
    let mut sheet = form.sheet(title);
    all.iter().for_each(|regret| sheet.push(form.row(regret)));
    sheet.note(format!(
        "A decision is played again with each other worker, all other requests where they were. Regret: what the best worker \
         wins in {}, of this request and of those sent within {} s after it. Means are over decisions that were picked evenly.",
        asked.by.words(),
        asked.horizon_s
    ));
    page.sheet(sheet);
    page.sheet(wrong(asked.by, all));
    page
}

/// What programs read: a row for each decision.
pub fn data(by: By, all: &[Regret]) -> Sheet {
    let form = of_decisions(by);
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
        of_rules(By::Ttft).sheet("Regret: a row for each policy"),
        of_decisions(By::Ttft).sheet("Regret: a row for each decision"),
    ]
}

fn wrong(by: By, all: &[Regret]) -> Sheet {
    const MOST: usize = 10;
    let form = of_decisions(by);
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
        "expected: the time to first token that the rule expected when it decided. others: what the best worker changes in \
         the times of other requests; above 0 they take longer.",
    );
    sheet
}

fn seconds(key: &'static str, heading: &'static str, meaning: &'static str) -> Column {
    Column::number(key, heading, "s", meaning).format(Format::of(Style::Seconds))
}

fn of_rules(by: By) -> Form<'static, Regret> {
    let best = "Evenly picked decisions that no other worker would have made better.";
    let share = format!("Mean regret in percent of the mean {}.", by.words());
    let mean = format!("Mean {}.", by.words());
    Form::new([
        columns::label().of(|regret: &Regret| regret.policy.clone()),
        columns::requests().of(|regret: &Regret| regret.requests),
        Column::number("examined", "examined", "decisions", "Decisions that were played again.")
            .of(|regret: &Regret| regret.examined.len()),
        Column::text("right", "right", best).of(|regret: &Regret| {
            let (right, of) = regret.right();
            format!("{right} of {of}")
        }),
        Column::number("time_mean_s", format!("{} mean", by.heading()), "s", mean)
            .format(Format::of(Style::Seconds))
            .of(|regret: &Regret| regret.time_mean_s),
        seconds("regret_mean_s", "mean regret", "Mean over evenly picked decisions.")
            .of(|regret: &Regret| regret.mean_s()),
        Column::number("regret_percent", format!("% of {}", by.heading()), "%", share)
            .format(Format::digits(1))
            .of(|regret: &Regret| regret.mean_s() / regret.time_mean_s * 100.0),
        seconds("regret_most_s", "worst", "The largest regret of a decision.").of(
            |regret: &Regret| {
                let regrets = regret.examined.iter().map(|one| one.regret_s);
                regrets.fold(0.0, f64::max)
            },
        ),
    ])
}

fn of_decisions<'a>(by: By) -> Form<'static, Row<'a>> {
    let picked = "slow: among the slowest requests; even: picked evenly.";
    let better = "The worker that would have been the best.";
    let others = "What the best worker changes in the times of other requests within the horizon.";
    let expected = "The time to first token that the rule expected there.";
    let time = |key: &'static str, meaning: &'static str| {
        let meaning = format!("{meaning} {}.", by.words());
        Column::number(key, by.heading(), "s", meaning).format(Format::of(Style::Seconds))
    };
    Form::new([
        columns::label().of(|(policy, _): &Row<'a>| (*policy).to_owned()),
        Column::number("request", "request", "id", "Number of the request.")
            .of(|(_, one): &Row<'a>| one.request),
        seconds("sent_s", "sent", "When it was sent.").of(|(_, one): &Row<'a>| one.sent_s),
        Column::number("prompt_tokens", "prompt", "tokens", "Length of the prompt.")
            .of(|(_, one): &Row<'a>| one.prompt_tokens),
        Column::text("picked", "picked", picked)
            .of(|(_, one): &Row<'a>| if one.slowest { "slow" } else { "even" }),
        Column::number("worker", "worker", "id", "The worker that it was sent to.")
            .under("as it was")
            .of(|(_, one): &Row<'a>| one.worker),
        time("time_s", "Its").under("as it was").of(|(_, one): &Row<'a>| one.time_s),
        seconds("expected_s", "expected", expected)
            .under("as it was")
            .of(|(_, one): &Row<'a>| one.expected_s),
        Column::number("best_worker", "worker", "id", better)
            .under("best")
            .of(|(_, one): &Row<'a>| one.best_worker),
        time("best_time_s", "There, its").under("best").of(|(_, one): &Row<'a>| one.best_time_s),
        seconds("best_expected_s", "expected", expected)
            .under("best")
            .of(|(_, one): &Row<'a>| one.best_expected_s),
        Column::number("others_s", "others", "s", others)
            .format(Format::of(Style::Signed(3)))
            .of(|(_, one): &Row<'a>| one.others_s),
        seconds("regret_s", "regret", "What the best worker wins in all.")
            .of(|(_, one): &Row<'a>| one.regret_s),
    ])
}
