//! `policies`: the routing rules with their parameters.

use crate::report::Screen;
use anyhow::Result;
use std::process::ExitCode;
use warmpath_core::routing::policy::{Hold, ParameterInfo, PolicyConfig, RuleInfo};
use warmpath_sheet::{Column, Form, Page, Sheet};

/// Lists the routing policies: what each decides by, and its parameters
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {}

const EXAMPLE: &str = "A parameter is set where the policy is named. +hold after a policy is late binding:\n  \
    loadgen sim --policies 'warmpath,session-affinity(bound=1.5),lpwl+hold(backlog_s=1)'";

/// A parameter beside the name of the rule that it belongs to, or of late binding.
type OfRule<'a> = (String, &'a ParameterInfo);

pub fn run(_: &Args, screen: Screen) -> Result<ExitCode> {
    let rules = PolicyConfig::catalogue();
    let mut page = Page::default();
    page.sheet(filled(
        "Policies",
        &Form::new([
            Column::text("policy", "policy", "The name of the rule.")
                .of(|rule: &RuleInfo| rule.name),
            Column::text(
                "group",
                "group",
                "Where it is from; in --policies it stands for all of them.",
            )
            .of(|rule: &RuleInfo| rule.group.name()),
            Column::text("rule", "decides by", "What the rule decides by.")
                .of(|rule: &RuleInfo| rule.rule),
        ]),
        rules.iter(),
    ));
    let of_hold = Hold::catalogue();
    let of_rules = rules.iter().flat_map(|rule| of(rule.name.to_owned(), &rule.parameters));
    let parameters: Vec<OfRule<'_>> =
        of_rules.chain(of(format!("+{}", Hold::NAME), &of_hold)).collect();
    page.sheet(filled(
        "Parameters",
        &Form::new([
            Column::text("policy", "policy", "The name of the rule; +hold is late binding.")
                .of(|(name, _): &OfRule<'_>| name.clone()),
            Column::text("parameter", "parameter", "The name of the parameter.")
                .of(|(_, of): &OfRule<'_>| of.name),
            Column::text("default", "default", "Its value where nothing is written.")
                .of(|(_, of): &OfRule<'_>| of.default.clone()),
            Column::text("unit", "unit", "The unit of its value.")
                .of(|(_, of): &OfRule<'_>| of.unit),
            Column::text("expected", "expected", "The values that it can have.")
                .of(|(_, of): &OfRule<'_>| of.expected.clone()),
            Column::text("what", "what it does", "What it does.")
                .of(|(_, of): &OfRule<'_>| of.what),
        ]),
        parameters.iter(),
    ));
    screen.show(&page)?;
    Ok(ExitCode::SUCCESS)
}

fn of(name: String, all: &[ParameterInfo]) -> impl Iterator<Item = OfRule<'_>> {
    all.iter().map(move |parameter| (name.clone(), parameter))
}

fn filled<'a, T: 'a>(title: &str, form: &Form<'_, T>, rows: impl Iterator<Item = &'a T>) -> Sheet {
    let mut sheet = form.sheet(title);
    rows.for_each(|row| sheet.push(form.row(row)));
    sheet
}
