//! A rule as the configuration of another project: its flags, or the file that it reads. A project is one file here:
//! which rules it can deploy, and how each parameter is called there. What it has no setting for is refused.

mod deployment;
mod dynamo;
mod llm_d;
mod parameters;
mod production_stack;
mod smg;
mod text;
mod vllm_router;

use crate::files::bad;
use anyhow::Result;
use clap::ValueEnum;
use deployment::{About, Deployment};
use parameters::Parameters;
use warmpath_core::routing::policy::{PolicyConfig, RuleInfo};
use warmpath_sheet::{Column, Form, Sheet};

/// A project that rules can be exported to.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum Project {
    Dynamo,
    LlmD,
    Smg,
    VllmRouter,
    ProductionStack,
}

impl Project {
    const fn about(self) -> &'static About {
        match self {
            Self::Dynamo => &dynamo::ABOUT,
            Self::LlmD => &llm_d::ABOUT,
            Self::Smg => &smg::ABOUT,
            Self::VllmRouter => &vllm_router::ABOUT,
            Self::ProductionStack => &production_stack::ABOUT,
        }
    }

    /// As a person writes it.
    fn name(self) -> String {
        let value = self.to_possible_value().expect("no project is hidden");
        value.get_name().to_owned()
    }
}

/// What deploys a rule in a project, for people and for machines.
#[derive(Debug)]
pub struct Exported {
    policy: PolicyConfig,
    project: Project,
    deployment: Deployment,
}

impl Exported {
    pub fn text(&self) -> String {
        text::of(&self.policy.to_string(), self.project.about(), &self.deployment)
    }

    pub fn json(&self) -> String {
        let Self { policy, project, deployment } = self;
        text::json(&policy.to_string(), &project.name(), project.about(), deployment)
    }
}

/// What deploys the rule in the project. An error is one line about `--rule`.
pub fn export(policy: PolicyConfig, project: Project) -> Result<Exported> {
    let about = project.about();
    let rule = policy.name();
    if about.setting(rule).is_none() {
        return Err(cannot(rule, about));
    }
    let hold = policy.hold();
    if hold.is_some() && project != Project::Dynamo {
        let title = about.title;
        let why = format!("{title} has no queue that works like late binding, expected no +hold");
        return Err(bad(format!("--rule: policy {policy}: {why}")));
    }
    let mut parameters = Parameters::of(policy, about.title);
    let deployment = match project {
        Project::Dynamo => dynamo::deployment(&mut parameters, hold),
        Project::LlmD => llm_d::deployment(&mut parameters),
        Project::Smg => smg::deployment(&mut parameters),
        Project::VllmRouter => vllm_router::deployment(&mut parameters),
        Project::ProductionStack => production_stack::deployment(&mut parameters),
    }?;
    parameters.finish();
    Ok(Exported { policy, project, deployment })
}

/// The project cannot deploy the rule.
fn cannot(rule: &str, about: &About) -> anyhow::Error {
    let can: Vec<&str> = about.deploys.iter().map(|(name, _)| *name).collect();
    let nearest = about.nearest.iter().find(|(name, _)| *name == rule);
    let nearest = nearest.map_or_else(String::new, |(_, text)| {
        format!("; nearest to it, and not the same, is {text}")
    });
    let (title, can) = (about.title, can.join(", "));
    bad(format!("--rule: {title} cannot deploy {rule}, expected one of: {can}{nearest}"))
}

/// What can be exported where: of one rule or of all, to one project or to all.
pub fn list(rule: Option<PolicyConfig>, to: Option<Project>) -> Sheet {
    let projects: Vec<Project> = match to {
        Some(project) => vec![project],
        None => Project::value_variants().to_vec(),
    };
    let setting = |rule: &str, project: Project| project.about().setting(rule).unwrap_or("");
    let rules = PolicyConfig::catalogue().into_iter().filter(|info| match rule {
        Some(rule) => rule.name() == info.name,
        None => projects.iter().any(|project| !setting(info.name, *project).is_empty()),
    });
    let mut fields = vec![
        Column::text("policy", "policy", "The name of the rule.").of(|info: &RuleInfo| info.name),
    ];
    for &project in &projects {
        let meaning =
            format!("What deploys the rule in {}; empty: nothing does.", project.about().title);
        let column = Column::text(project.name(), project.name(), meaning);
        fields.push(column.of(move |info: &RuleInfo| setting(info.name, project)));
    }
    let form = Form::new(fields);
    let mut sheet = form.sheet("Rules that can be exported");
    rules.for_each(|info| sheet.push(form.row(&info)));
    for project in projects {
        let About { title, version, .. } = project.about();
        sheet.note(format!("{}: names of {title} {version}", project.name()));
    }
    sheet
}

#[cfg(test)]
mod tests;
