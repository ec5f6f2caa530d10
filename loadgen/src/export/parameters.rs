//! The parameters of the rule that is exported. Each is translated, or must have the value that the project has built
//! in.

use crate::files::bad;
use anyhow::Result;
use std::ops::RangeInclusive;
use warmpath_core::routing::policy::{ParameterInfo, PolicyConfig};

/// The parameters of a rule that are not translated yet.
#[derive(Debug)]
pub struct Parameters {
    /// The rule.
    rule: &'static str,
    /// The project, in errors.
    project: &'static str,
    left: Vec<(&'static str, String)>,
}

impl Parameters {
    pub fn of(policy: PolicyConfig, project: &'static str) -> Self {
        let rule = policy.name();
        let infos = PolicyConfig::catalogue().into_iter().find(|info| info.name == rule);
        let infos = infos.expect("each rule is in the catalogue").parameters;
        let changed = policy.changed();
        let value = |info: ParameterInfo| {
            let own = changed.iter().find(|(name, _)| *name == info.name);
            (info.name, own.map_or(info.default, |(_, value)| value.clone()))
        };
        Self { rule, project, left: infos.into_iter().map(value).collect() }
    }

    /// The rule.
    pub const fn rule(&self) -> &'static str {
        self.rule
    }

    /// The value of a parameter, as a person writes it.
    pub fn take(&mut self, name: &str) -> String {
        let at = self.left.iter().position(|(other, _)| *other == name);
        let at =
            at.unwrap_or_else(|| panic!("{} has no parameter {name}, or it was taken", self.rule));
        self.left.remove(at).1
    }

    /// Whether a switch is on, or a parameter has this value.
    pub fn is(&mut self, name: &str, value: &str) -> bool {
        self.take(name) == value
    }

    /// A number, where the project allows fewer than the rule.
    pub fn within(&mut self, name: &'static str, allowed: RangeInclusive<f64>) -> Result<String> {
        let value = self.take(name);
        let number: f64 = value.parse().expect("the parameter is a number");
        if allowed.contains(&number) {
            return Ok(value);
        }
        let expected = match *allowed.end() {
            end if end.is_finite() => format!("a number from {} to {end}", allowed.start()),
            _ => format!("at least {}", allowed.start()),
        };
        Err(self.refused(name, &value, &expected, "has no other values"))
    }

    /// A number that must be whole.
    pub fn whole(&mut self, name: &'static str) -> Result<String> {
        let value = self.take(name);
        match value.parse::<u32>() {
            Ok(1..) => Ok(value),
            _ => Err(self.refused(name, &value, "a whole number from 1", "takes no other")),
        }
    }

    /// A parameter that the project has no setting for. `why` it has the value that it has.
    pub fn fixed(&mut self, name: &'static str, built_in: &str, why: &str) -> Result<()> {
        let value = self.take(name);
        match value == built_in {
            true => Ok(()),
            false => {
                Err(self.refused(name, &value, built_in, &format!("has no setting for it ({why})")))
            }
        }
    }

    /// Parameters that have no effect beside the values of others.
    pub fn without_effect(&mut self, names: &[&str]) {
        for name in names {
            self.take(name);
        }
    }

    fn refused(&self, name: &str, value: &str, expected: &str, why: &str) -> anyhow::Error {
        let Self { rule, project, .. } = self;
        bad(format!(
            "--rule: policy {rule}: {name} is '{value}', expected {expected}: {project} {why}"
        ))
    }

    /// Checks that no parameter was forgotten.
    pub fn finish(self) {
        assert!(
            self.left.is_empty(),
            "{} for {}: not translated: {:?}",
            self.rule,
            self.project,
            self.left
        );
    }
}
