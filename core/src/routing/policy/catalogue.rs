//! What a person is told about the rules: for `list`, for help and for the documentation.

use super::parameter::{Parameter, Parameters};
use super::rule::Policy;

/// Where a rule comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Rules that know nothing of what workers hold.
    Naive,
    /// Rules of routers that people deploy, and of published research.
    Field,
    /// This project's own.
    Own,
}

impl Group {
    /// As a person writes it; in a list of policies it stands for all rules of the group.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::Field => "field",
            Self::Own => "own",
        }
    }
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleInfo {
    /// As a person writes it.
    pub name: &'static str,
    /// Where it comes from.
    pub group: Group,
    /// What it decides by, in a sentence.
    pub rule: &'static str,
    /// In the order of their declaration; empty if the rule has none.
    pub parameters: Vec<ParameterInfo>,
}

/// A parameter of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParameterInfo {
    /// As a person writes it.
    pub name: &'static str,
    /// Of its value; empty for a plain number.
    pub unit: &'static str,
    /// The value that it has where nothing is written.
    pub default: String,
    /// What a value may be, in words.
    pub expected: String,
    /// What it does.
    pub what: &'static str,
}

impl RuleInfo {
    pub(super) fn of<R: Policy>(group: Group) -> Self {
        Self { name: R::NAME, group, rule: R::RULE, parameters: ParameterInfo::all::<R>() }
    }
}

impl ParameterInfo {
    /// The parameters of a rule or of a part that rules take.
    pub(super) fn all<R: Parameters>() -> Vec<Self> {
        let info = |parameter: &Parameter<R>| Self {
            name: parameter.name,
            unit: parameter.unit,
            default: (parameter.get)(&R::default()),
            expected: (parameter.expected)(),
            what: parameter.what.trim_ascii(),
        };
        R::LIST.iter().map(info).collect()
    }
}
