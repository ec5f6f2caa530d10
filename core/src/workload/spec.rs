//! What a workload file says: the shape of its sessions, and the texts that sessions share.

use super::arrivals::Arrivals;
use crate::rng::{Rng, hash_words};
use crate::sharing::Tenants;
use crate::tokens::Segment;
use serde::{Deserialize, Serialize};

/// A workload file. Every prompt begins with a system prompt, then come the shared texts in the
/// order in which they stand here, then what is the session's own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct WorkloadSpec {
    pub sessions: SessionsSpec,
    /// Tools, system prompt and instructions of a team: all its sessions begin with them.
    pub team_prefixes: Option<SharedTexts>,
    /// The document that a session is about.
    pub documents: Option<SharedTexts>,
    /// How many tenants the sessions belong to.
    pub tenants: u32,
    /// The exponent of Zipf's law by which the sessions are dealt to tenants; 0 deals evenly.
    pub tenant_zipf: f64,
}

/// A kind of session. Lengths are in tokens, times in seconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsSpec {
    pub name: String,
    /// How many requests in all; the last session is cut to fit.
    pub requests: u64,
    pub arrivals: Arrivals,
    /// Different system prompts; each session has one of them.
    pub system_prompts: u64,
    pub system_tokens: u32,
    /// Of a session that branches: levels.
    pub turns: Amount,
    /// None: each turn goes on with the one before it.
    pub branching: Option<Branching>,
    /// What the user, or a tool for it, adds in a turn.
    pub user_tokens: Amount,
    pub output_tokens: Amount,
    /// To the next message, from what `think_from` says.
    pub think_s: Amount,
    pub think_from: ThinkFrom,
    /// A session ends before a prompt and its answer would pass this.
    pub max_context_tokens: u32,
}

/// A workload as its file has it: all in one table, because serde can't flatten a table and still
/// name the line of an unknown field.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    requests: u64,
    arrivals: Arrivals,
    system_prompts: u64,
    system_tokens: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    team_prefixes: Option<SharedTexts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    documents: Option<SharedTexts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenants: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant_zipf: Option<f64>,
    turns: Amount,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    branching: Option<Branching>,
    user_tokens: Amount,
    output_tokens: Amount,
    think_s: Amount,
    #[serde(default)]
    think_from: ThinkFrom,
    max_context_tokens: u32,
}

/// Where a think time begins. Either way a message waits for the answer to the one before.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinkFrom {
    /// At the end of the answer: a slow fleet slows its users down.
    #[default]
    Answer,
    /// At the message before: users keep their own pace while answers come in time, so that two
    /// fleets hear the same messages at the same times.
    Message,
}

impl From<Written> for WorkloadSpec {
    fn from(written: Written) -> Self {
        Self {
            sessions: SessionsSpec {
                name: written.name,
                requests: written.requests,
                arrivals: written.arrivals,
                system_prompts: written.system_prompts,
                system_tokens: written.system_tokens,
                turns: written.turns,
                branching: written.branching,
                user_tokens: written.user_tokens,
                output_tokens: written.output_tokens,
                think_s: written.think_s,
                think_from: written.think_from,
                max_context_tokens: written.max_context_tokens,
            },
            team_prefixes: written.team_prefixes,
            documents: written.documents,
            tenants: written.tenants.unwrap_or(1),
            tenant_zipf: written.tenant_zipf.unwrap_or(0.0),
        }
    }
}

impl From<WorkloadSpec> for Written {
    fn from(spec: WorkloadSpec) -> Self {
        let WorkloadSpec { sessions, team_prefixes, documents, tenants, tenant_zipf } = spec;
        Self {
            name: sessions.name,
            requests: sessions.requests,
            arrivals: sessions.arrivals,
            system_prompts: sessions.system_prompts,
            system_tokens: sessions.system_tokens,
            team_prefixes,
            documents,
            tenants: Some(tenants).filter(|&tenants| tenants != 1),
            tenant_zipf: Some(tenant_zipf).filter(|&zipf| zipf != 0.0),
            turns: sessions.turns,
            branching: sessions.branching,
            user_tokens: sessions.user_tokens,
            output_tokens: sessions.output_tokens,
            think_s: sessions.think_s,
            think_from: sessions.think_from,
            max_context_tokens: sessions.max_context_tokens,
        }
    }
}

/// How a session branches: a search through ideas, or agents that work side by side and hand over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branching {
    /// In how many ways each context is gone on with, all at once.
    pub branches: u32,
    /// How many of a level's contexts, drawn by lot, the next level goes on with.
    pub keep: u32,
    /// Turns of a branch in a level, each with the ones before it in its prompt.
    pub turns: u32,
}

impl Branching {
    /// Of each number.
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

/// Texts of which each session has one, some of them in more sessions than others.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedTexts {
    /// How many different ones.
    pub count: u32,
    /// The length of each; cut to half the context that is left, so that there is room for turns.
    pub tokens: Amount,
    /// The exponent of Zipf's law: the n-th is in n^-zipf times as many sessions as the first; 0
    /// makes all equally popular.
    pub zipf: f64,
    /// Whether each tenant has so many texts of its own, or all draw from the same ones.
    #[serde(default)]
    pub of: TextsOf,
}

/// Whose shared texts are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextsOf {
    #[default]
    Tenant,
    Everybody,
}

/// A log-normal amount.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    pub mean: f64,
    /// Standard deviation over mean; 0 makes it constant.
    pub cv: f64,
}

impl Amount {
    pub fn draw(&self, rng: &mut Rng) -> f64 {
        if self.cv == 0.0 { self.mean } else { rng.lognormal(self.mean, self.cv) }
    }

    pub fn draw_count(&self, rng: &mut Rng) -> u32 {
        // A draw beyond 2^31 is cut by `max_context_tokens` anyway.
        libm::round(self.draw(rng)).clamp(1.0, f64::from(i32::MAX)) as u32
    }

    fn check(&self, least: f64) -> Result<(), String> {
        if (least..=1e9).contains(&self.mean) && (0.0..=100.0).contains(&self.cv) {
            return Ok(());
        }
        let Self { mean, cv } = self;
        Err(format!(
            "mean {mean} and cv {cv}, expected a mean of at least {least} and a cv of 0 to 100"
        ))
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct SpecError {
    pub field: &'static str,
    pub why: String,
}

impl WorkloadSpec {
    pub fn check(&self) -> Result<(), SpecError> {
        self.sessions.check()?;
        for (field, texts) in [("team_prefixes", self.team_prefixes), ("documents", self.documents)]
        {
            texts.map_or(Ok(()), |texts| texts.check()).map_err(|why| SpecError { field, why })?;
        }
        let err = |field, why| Err(SpecError { field, why });
        if !(1..=Tenants::MOST).contains(&self.tenants) {
            let why = format!("{}, expected 1 to {}", self.tenants, Tenants::MOST);
            return err("tenants", why);
        }
        if !(0.0..=10.0).contains(&self.tenant_zipf) {
            return err("tenant_zipf", format!("{}, expected 0 to 10", self.tenant_zipf));
        }
        Ok(())
    }

    pub fn tenants(&self) -> Tenants {
        Tenants::new(self.tenants, self.tenant_zipf)
    }

    /// The shared texts in the order of the prompt.
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
    /// A system prompt by its number, below `system_prompts`: the operator's own text.
    pub fn system_prompt(&self, seed: u64, number: u64) -> Segment {
        let seed = hash_words(&[seed, 1, number, 0]);
        Segment::Text { seed, tokens: self.system_tokens }
    }

    pub fn check(&self) -> Result<(), SpecError> {
        let err = |field, why: String| Err(SpecError { field, why });
        if self.name.is_empty() {
            return err("name", "empty, expected one".into());
        }
        if !(1..=100_000_000).contains(&self.requests) {
            return err("requests", format!("{}, expected 1 to 100000000", self.requests));
        }
        if let Err(why) = self.arrivals.check() {
            return err("arrivals", why);
        }
        if self.system_prompts == 0 {
            return err("system_prompts", "0, expected at least 1".into());
        }
        let amounts = [
            ("turns", self.turns, 1.0),
            ("user_tokens", self.user_tokens, 1.0),
            ("output_tokens", self.output_tokens, 1.0),
            ("think_s", self.think_s, 0.0),
        ];
        for (field, amount, least) in amounts {
            amount.check(least).map_err(|why| SpecError { field, why })?;
        }
        if let Some(Err(why)) = self.branching.map(Branching::check) {
            return err("branching", why);
        }
        let least = self.system_tokens.saturating_add(2);
        if self.max_context_tokens < least || self.max_context_tokens > 1 << 30 {
            let why = format!(
                "{}, expected {least} (system_tokens and one of each) to {}",
                self.max_context_tokens,
                1 << 30
            );
            return err("max_context_tokens", why);
        }
        Ok(())
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
        let (tenants, tenant_zipf) = (4, 0.5);
        WorkloadSpec { sessions, team_prefixes: texts, documents: texts, tenants, tenant_zipf }
    }

    #[test]
    fn specs_that_cannot_be_are_refused_by_field() {
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
    fn shared_texts_that_cannot_be_are_refused_by_field() {
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
    fn tenants_that_cannot_be_are_refused_by_field() {
        for tenants in [0, Tenants::MOST + 1] {
            assert_eq!(WorkloadSpec { tenants, ..good() }.check().unwrap_err().field, "tenants");
        }
        for tenant_zipf in [-1.0, f64::NAN] {
            let spec = WorkloadSpec { tenant_zipf, ..good() };
            assert_eq!(spec.check().unwrap_err().field, "tenant_zipf");
        }
    }
}
