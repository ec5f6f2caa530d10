//! What every project must do with every rule.

use super::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Rules with other parameters than their defaults, beside the project that they are exported to. The script that asks
/// the projects' own parsers reads this file too.
const CASES: &str = include_str!("../../../deploy/clients/exports.txt");

fn cases() -> impl Iterator<Item = (Project, PolicyConfig)> {
    let lines = CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let (project, rule) = line.split_once(' ').expect("a project and a rule");
        let project = Project::from_str(project, false).expect("a project");
        (project, rule.parse().unwrap_or_else(|error| panic!("{line}: {error}")))
    })
}

fn projects() -> impl Iterator<Item = Project> {
    Project::value_variants().iter().copied()
}

fn defaults(project: Project) -> impl Iterator<Item = PolicyConfig> {
    let about = project.about();
    PolicyConfig::ALL.iter().copied().filter(move |rule| about.setting(rule.name()).is_some())
}

fn exported(policy: PolicyConfig, project: Project) -> Exported {
    export(policy, project).unwrap_or_else(|error| panic!("{policy} to {project:?}: {error}"))
}

#[test]
fn each_rule_is_exported_at_its_defaults_or_refused_with_those_that_are() {
    for project in projects() {
        let about = project.about();
        assert_eq!(defaults(project).count(), about.deploys.len(), "{project:?}");
        for &policy in PolicyConfig::ALL {
            match (about.setting(policy.name()), export(policy, project)) {
                (Some(_), exported) => assert!(exported.is_ok(), "{policy}: {exported:?}"),
                (None, Ok(_)) => panic!("{policy} is exported to {project:?}"),
                (None, Err(error)) => {
                    let said = error.to_string();
                    let (first, last) = (about.deploys[0].0, about.deploys.last().unwrap().0);
                    assert!(said.starts_with("--rule: ") && said.lines().count() == 1, "{said}");
                    assert!(said.contains(policy.name()) && said.contains(about.title), "{said}");
                    assert!(said.contains(first) && said.contains(last), "{said}");
                }
            }
        }
    }
}

/// For this project's own rules, and for the naive ones, a reader is told what comes nearest.
#[test]
fn each_rule_without_a_counterpart_has_a_nearest_one() {
    for project in projects() {
        let about = project.about();
        for policy in PolicyConfig::ALL.iter().filter(|policy| policy.group().name() != "field") {
            let is_deployed = about.setting(policy.name()).is_some();
            let nearest = about.nearest.iter().find(|(name, _)| *name == policy.name());
            assert_ne!(is_deployed, nearest.is_some(), "{policy} in {project:?}");
            let Some((_, nearest)) = nearest else { continue };
            assert!(
                export(*policy, project).unwrap_err().to_string().ends_with(nearest),
                "{policy}"
            );
            // A rule of ours that is named there can be exported.
            let named = nearest.split(' ').next().unwrap().parse::<PolicyConfig>();
            assert!(
                nearest.starts_with("its ") || export(named.unwrap(), project).is_ok(),
                "{nearest}"
            );
        }
    }
}

/// Nothing is dropped silently: each changed parameter changes what is exported, or is refused by its name.
#[test]
fn each_changed_parameter_shows_or_is_refused_by_name() {
    for project in projects() {
        for default in defaults(project) {
            let before = format!("{:?}", exported(default, project).deployment);
            for changed in (0..4).flat_map(|round| default.near(round)).flatten() {
                match export(changed, project) {
                    Ok(exported) => {
                        let after = format!("{:?}", exported.deployment);
                        assert_ne!(before, after, "{changed} to {project:?}");
                    }
                    Err(error) => {
                        let (name, value) = &changed.changed()[0];
                        let said = error.to_string();
                        assert!(
                            said.contains(&format!(": {name} is '{value}', expected ")),
                            "{said}"
                        );
                        assert!(
                            said.starts_with("--rule: ") && said.lines().count() == 1,
                            "{said}"
                        );
                    }
                }
            }
        }
    }
}

/// The texts of each project are in a file. `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn the_texts_are_those_of_the_files() {
    for project in projects() {
        let mut text = String::new();
        let others = cases().filter(|(other, _)| *other == project).map(|(_, policy)| policy);
        for policy in defaults(project).chain(others) {
            let exported = exported(policy, project);
            write!(text, "==== {policy}\n{}", exported.text()).unwrap();
            let json: serde_json::Value = serde_json::from_str(&exported.json()).expect("JSON");
            assert_eq!(json["rule"], policy.to_string());
            assert_eq!(json["project"], project.name());
        }
        let path: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "src/export/golden", &format!("{}.txt", project.name())]
                .iter()
                .collect();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).expect("the file can be written");
        }
        let golden = std::fs::read_to_string(&path).expect("the file is there");
        assert!(golden == text, "{} differs from:\n{text}", path.display());
    }
}

#[test]
fn the_cases_reach_each_rule_with_parameters_that_are_carried_over() {
    let reached: BTreeSet<String> =
        cases().map(|(project, policy)| format!("{} {}", project.name(), policy.name())).collect();
    for project in projects() {
        let can_change = |policy: &PolicyConfig| {
            policy.near(1).into_iter().flatten().any(|policy| export(policy, project).is_ok())
        };
        for policy in defaults(project).filter(can_change) {
            let case = format!("{} {}", project.name(), policy.name());
            assert!(reached.contains(&case), "no case for {case}");
        }
    }
}

#[test]
fn the_page_on_exports_names_each_rule_and_version() {
    let page = include_str!("../../../docs/export.md");
    for project in projects() {
        let about = project.about();
        for (rule, _) in about.deploys {
            assert!(page.contains(&format!("`{rule}`")), "{rule}");
        }
        let version = about.version.split([' ', '-']).find(|part| part.contains('.')).unwrap();
        assert!(page.contains(&format!("| `{}` |", project.name())), "{project:?}");
        assert!(page.contains(version) || page.contains("ebab6879"), "{version}");
    }
}

#[test]
fn what_cannot_be_exported_is_said_in_one_line() {
    for (rule, project, part) in [
        ("warmpath", Project::Smg, "nearest to it, and not the same, is smg-cache-aware"),
        (
            "dynamo",
            Project::LlmD,
            "llm-d cannot deploy dynamo, expected one of: random, least-loaded, llm-d-weighted",
        ),
        ("random+hold", Project::Smg, "SMG has no queue that works like late binding"),
        ("random+hold", Project::Dynamo, "--router-mode kv only"),
        ("dynamo+hold", Project::Dynamo, "hold: open is 'chosen', expected any"),
        ("dynamo+hold(open=any)", Project::Dynamo, "hold: batches is '0', expected more than 0"),
        (
            "dynamo+hold(open=any,batches=1)",
            Project::Dynamo,
            "hold: order is 'aged', expected one of: fcfs",
        ),
        (
            "dynamo+hold(open=any,batches=1,order=fcfs,slo_s=3)",
            Project::Dynamo,
            "hold: slo_s is '3', expected 0, the default: Dynamo has no setting for it",
        ),
        ("dynamo(host=1.5)", Project::Dynamo, "host is '1.5', expected a number from 0 to 1"),
        (
            "smg-cache-aware(poll_s=0.5)",
            Project::Smg,
            "poll_s is '0.5', expected a whole number from 1",
        ),
        ("smg-cache-aware(rel=0.5)", Project::Smg, "rel is '0.5', expected at least 1"),
        (
            "sglang-classic(index=exact)",
            Project::VllmRouter,
            "index is 'exact', expected predicted",
        ),
        (
            "production-stack-kvaware(chunk=16)",
            Project::ProductionStack,
            "chunk is '16', expected 256",
        ),
        ("llm-d-precise(other=0.5)", Project::LlmD, "other is '0.5', expected 1"),
        ("llm-d-weighted(poll_s=0.01)", Project::LlmD, "poll_s is '0.01', expected at least 0.05"),
    ] {
        let said = export(rule.parse().expect("a rule"), project).unwrap_err().to_string();
        assert!(said.contains(part) && said.lines().count() == 1, "{rule}: {said}");
    }
}

#[test]
fn the_list_has_a_row_for_each_rule_and_a_column_for_each_project() {
    let all = list(None, None);
    assert_eq!(all.columns().len(), 1 + projects().count());
    let count = |rule, to| -> usize { list(rule, to).rows().count() };
    let anywhere: BTreeSet<&str> =
        projects().flat_map(|project| defaults(project).map(PolicyConfig::name)).collect();
    assert_eq!(count(None, None), anywhere.len());
    assert_eq!(count(None, Some(Project::Smg)), smg::ABOUT.deploys.len());
    assert_eq!(count(Some(PolicyConfig::Warmpath), None), 1);
}
