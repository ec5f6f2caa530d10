//! The contents of a workload file: the shape of its sessions, and the texts that sessions share.

use super::arrivals::Arrivals;
use super::prompts::PromptSet;
use super::stage::Stage;
use crate::rng::{Rng, hash_words};
use crate::sharing::Tenants;
use crate::tokens::Segment;
use core::fmt;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// What a workload file says. A prompt has a system prompt, then the team prefix and the document, then the
/// session's own text.
#[derive(Clone, PartialEq, Debug)]
pub struct WorkloadSpec {
    /// The sessions without their shared texts.
    pub sessions: SessionsSpec,
    /// Texts of teams, such as tools and instructions, each shared by the team's sessions. None: no
    /// such part.
    pub team_prefixes: Option<SharedTexts>,
    /// Documents, of which each session is about one. None: no such part.
    pub documents: Option<SharedTexts>,
    /// The number of tenants. Each session belongs to one, at random.
    pub tenants: u32,
    /// The exponent of Zipf's law for the tenants' shares of the sessions. With 0 all are equal.
    pub tenant_zipf: f64,
    /// Stages, in place of the arrivals and the number of requests of `sessions`. Empty: none.
    pub stages: Vec<Stage>,
    /// A fixed set of prompts. Each session is one of them. None: sessions are drawn.
    pub prompts: Option<PromptSet>,
}

/// A kind of session. Lengths are in tokens, times in seconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsSpec {
    /// The name in reports.
    pub name: String,
    /// The number of requests of a run. The last session is cut to fit.
    pub requests: u64,
    /// The arrivals of sessions.
    pub arrivals: Arrivals,
    /// The number of different system prompts. Each session has one of them.
    pub system_prompts: u64,
    /// The length of a system prompt.
    pub system_tokens: u32,
    /// Turns of a session; in a branching session, levels.
    pub turns: Amount,
    /// How the session branches. None: each turn continues the one before it.
    pub branching: Option<Branching>,
    /// Tokens that the user or a tool adds in a turn.
    pub user_tokens: Amount,
    /// Tokens of an answer.
    pub output_tokens: Amount,
    /// Seconds before the next message, counted from `think_from`.
    pub think_s: Amount,
    /// The start of the think time.
    pub think_from: ThinkFrom,
    /// The longest prompt and answer together. A session ends before a turn that would pass it.
    pub max_context_tokens: u32,
}

/// The start of a think time. In both cases a message waits for the answer to the one before it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinkFrom {
    /// At the end of the answer. Users of a slow fleet send less.
    #[default]
    Answer,
    /// At the message before. If answers come before the think time ends, the send times do not
    /// depend on the fleet.
    Message,
}

/// The branches of a session, as in a tree search or with agents that work in parallel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branching {
    /// Branches that continue each context of a level, all at once.
    pub branches: u32,
    /// Contexts, chosen at random, that the next level continues.
    pub keep: u32,
    /// Turns of a branch in a level.
    pub turns: u32,
}

impl Branching {
    /// The largest value of each field.
    const MOST: u32 = 1_024;

    fn check(self) -> Result<(), String> {
        let Self { branches, keep, turns } = self;
        for (name, number) in [("branches", branches), ("keep", keep), ("turns", turns)] {
            if !(1..=Self::MOST).contains(&number) {
                return Err(format!("{name}: {number}, expected 1 to {}", Self::MOST));
            }
        }
        Ok(())
    }
}

/// Texts that sessions share. Each session has one of them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedTexts {
    /// The number of different texts.
    pub count: u32,
    /// The length of a text. It is cut to half of the remaining context, so that turns have room.
    pub tokens: Amount,
    /// The exponent of Zipf's law: text n, from 1, is in n^-zipf times as many sessions as the first.
    /// With 0 all texts are equally popular.
    pub zipf: f64,
    /// Whether each tenant has `count` texts, or all tenants share the same ones.
    #[serde(default)]
    pub of: TextsOf,
}

/// The owner of shared texts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextsOf {
    /// Each tenant has separate texts.
    #[default]
    Tenant,
    /// All tenants share the same texts.
    #[serde(alias = "everybody")]
    AllTenants,
}

/// A log-normal amount. A file may have a number in its place, which is a constant amount.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Amount {
    /// The mean.
    pub mean: f64,
    /// Standard deviation divided by mean. With 0 the amount is constant.
    pub cv: f64,
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Drawn {
            mean: f64,
            cv: f64,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a distribution such as { mean = 5.0, cv = 0.5 }")
            }

            fn visit_f64<E>(self, mean: f64) -> Result<Amount, E> {
                Ok(Amount { mean, cv: 0.0 })
            }

            fn visit_i64<E>(self, mean: i64) -> Result<Amount, E> {
                Ok(Amount { mean: mean as f64, cv: 0.0 })
            }

            fn visit_u64<E>(self, mean: u64) -> Result<Amount, E> {
                Ok(Amount { mean: mean as f64, cv: 0.0 })
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Amount, M::Error> {
                let Drawn { mean, cv } = Drawn::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Amount { mean, cv })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Amount {
    /// Draws an amount.
    pub fn draw(&self, rng: &mut Rng) -> f64 {
        if self.cv == 0.0 { self.mean } else { rng.lognormal(self.mean, self.cv) }
    }

    /// Draws a whole number, at least 1.
    pub fn draw_count(&self, rng: &mut Rng) -> u32 {
        // `max_context_tokens` cuts lengths far below 2^31.
        libm::round(self.draw(rng)).clamp(1.0, f64::from(i32::MAX)) as u32
    }

    fn check(&self, least: f64) -> Result<(), String> {
        if (least..=1e9).contains(&self.mean) && (0.0..=100.0).contains(&self.cv) {
            return Ok(());
        }
        let Self { mean, cv } = self;
        Err(format!(
            "mean {mean} and cv {cv}, expected a mean from {least} to 1e9 and a cv from 0 to 100"
        ))
    }
}

/// A value that a workload file must not have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct SpecError {
    /// The key in the file.
    pub field: &'static str,
    /// The value and what was expected.
    pub why: String,
}

impl WorkloadSpec {
    /// Checks all fields. The error is the first bad one.
    pub fn check(&self) -> Result<(), SpecError> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every field that has a bad value.
    pub fn problems(&self) -> Vec<SpecError> {
        let mut problems = self.sessions.problems();
        let mut err = |field, why| problems.push(SpecError { field, why });
        for (field, texts) in [("team_prefixes", self.team_prefixes), ("documents", self.documents)]
        {
            if let Some(Err(why)) = texts.map(|texts| texts.check()) {
                err(field, why);
            }
        }
        if !(1..=Tenants::MOST).contains(&self.tenants) {
            err("tenants", format!("{}, expected 1 to {}", self.tenants, Tenants::MOST));
        }
        if !(0.0..=10.0).contains(&self.tenant_zipf) {
            err("tenant_zipf", format!("{}, expected 0 to 10", self.tenant_zipf));
        }
        let in_stages =
            self.stages.iter().fold(0, |all: u64, stage| all.saturating_add(stage.count(1.0)));
        if in_stages > Stage::MOST {
            let why = format!("{in_stages} in all stages, expected at most {}", Stage::MOST);
            err("duration_s", why);
        }
        if !self.stages.is_empty() && !self.stages.iter().any(|stage| stage.counted) {
            err("counted", "no stage is, expected at least one".into());
        }
        if self.prompts.is_some_and(|set| set.count() > PromptSet::MOST) {
            err("per_group", format!("expected at most {} prompts", PromptSet::MOST));
        }
        problems
    }

    /// The tenants and their shares of the sessions.
    pub fn tenants(&self) -> Tenants {
        Tenants::new(self.tenants, self.tenant_zipf)
    }

    /// The shared texts, in their order in a prompt.
    pub fn shared(&self) -> Vec<SharedTexts> {
        [self.team_prefixes, self.documents].into_iter().flatten().collect()
    }
}

impl SharedTexts {
    fn check(&self) -> Result<(), String> {
        if !(1..=1_000_000).contains(&self.count) {
            return Err(format!("count: {}, expected 1 to 1000000", self.count));
        }
        if !(0.0..=10.0).contains(&self.zipf) {
            return Err(format!("zipf: {}, expected 0 to 10", self.zipf));
        }
        self.tokens.check(1.0).map_err(|why| format!("tokens: {why}"))
    }
}

impl SessionsSpec {
    /// The text of a system prompt, which belongs to the operator. `number` is below
    /// `system_prompts`.
    pub fn system_prompt(&self, seed: u64, number: u64) -> Segment {
        let seed = hash_words(&[seed, 1, number, 0]);
        Segment::Text { seed, tokens: self.system_tokens }
    }

    /// Every field that has a bad value.
    fn problems(&self) -> Vec<SpecError> {
        let mut problems = Vec::new();
        let mut err = |field, why: String| problems.push(SpecError { field, why });
        if self.name.is_empty() {
            err("name", "empty, expected a name".into());
        }
        if !(1..=100_000_000).contains(&self.requests) {
            err("requests", format!("{}, expected 1 to 100000000", self.requests));
        }
        if let Err(why) = self.arrivals.check() {
            err("arrivals", why);
        }
        if self.system_prompts == 0 {
            err("system_prompts", "0, expected at least 1".into());
        }
        let amounts = [
            ("turns", self.turns, 1.0),
            ("user_tokens", self.user_tokens, 1.0),
            ("output_tokens", self.output_tokens, 1.0),
            ("think_s", self.think_s, 0.0),
        ];
        for (field, amount, least) in amounts {
            if let Err(why) = amount.check(least) {
                err(field, why);
            }
        }
        if let Some(Err(why)) = self.branching.map(Branching::check) {
            err("branching", why);
        }
        let least = self.system_tokens.saturating_add(2);
        if self.max_context_tokens < least || self.max_context_tokens > 1 << 30 {
            let why = format!(
                "{}, expected {least} (system_tokens + 2) to {}",
                self.max_context_tokens,
                1 << 30
            );
            err("max_context_tokens", why);
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> WorkloadSpec {
        let amount = Amount { mean: 10.0, cv: 1.0 };
        let sessions = SessionsSpec {
            name: "test".into(),
            requests: 50,
            arrivals: Arrivals::Closed { sessions: 1 },
            system_prompts: 1,
            system_tokens: 100,
            turns: amount,
            branching: None,
            user_tokens: amount,
            output_tokens: amount,
            think_s: amount,
            think_from: ThinkFrom::Answer,
            max_context_tokens: 2_000,
        };
        let texts = Some(SharedTexts { count: 3, tokens: amount, zipf: 1.0, of: TextsOf::Tenant });
        WorkloadSpec {
            sessions,
            team_prefixes: texts,
            documents: texts,
            tenants: 4,
            tenant_zipf: 0.5,
            stages: Vec::new(),
            prompts: None,
        }
    }

    #[test]
    fn invalid_specs_are_rejected_by_field() {
        assert_eq!(good().check(), Ok(()));
        type Spoil = fn(&mut SessionsSpec);
        let bad: [(&str, Spoil); 10] = [
            ("name", |spec| spec.name.clear()),
            ("requests", |spec| spec.requests = 0),
            ("arrivals", |spec| spec.arrivals = Arrivals::Closed { sessions: 0 }),
            ("arrivals", |spec| spec.arrivals = Arrivals::Poisson { sessions_per_s: f64::NAN }),
            ("system_prompts", |spec| spec.system_prompts = 0),
            ("turns", |spec| spec.turns.mean = 0.0),
            ("branching", |spec| {
                spec.branching = Some(Branching { branches: 0, keep: 1, turns: 1 });
            }),
            ("branching", |spec| {
                spec.branching = Some(Branching { branches: 1, keep: 1, turns: 2_000 });
            }),
            ("think_s", |spec| spec.think_s.mean = -1.0),
            ("max_context_tokens", |spec| spec.max_context_tokens = 101),
        ];
        for (field, spoil) in bad {
            let mut spec = good();
            spoil(&mut spec.sessions);
            assert_eq!(spec.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn invalid_shared_texts_are_rejected_by_field() {
        let texts = good().documents.unwrap();
        let bad = [
            SharedTexts { count: 0, ..texts },
            SharedTexts { zipf: -1.0, ..texts },
            SharedTexts { zipf: f64::NAN, ..texts },
            SharedTexts { tokens: Amount { mean: 0.0, cv: 0.0 }, ..texts },
        ];
        for texts in bad {
            let spec = WorkloadSpec { documents: Some(texts), ..good() };
            assert_eq!(spec.check().unwrap_err().field, "documents");
            let spec = WorkloadSpec { team_prefixes: Some(texts), ..good() };
            assert_eq!(spec.check().unwrap_err().field, "team_prefixes");
        }
    }

    #[test]
    fn invalid_tenants_are_rejected_by_field() {
        for tenants in [0, Tenants::MOST + 1] {
            assert_eq!(WorkloadSpec { tenants, ..good() }.check().unwrap_err().field, "tenants");
        }
        for tenant_zipf in [-1.0, f64::NAN] {
            let spec = WorkloadSpec { tenant_zipf, ..good() };
            assert_eq!(spec.check().unwrap_err().field, "tenant_zipf");
        }
    }
}
