//! The keys of a workload file, and which of them go together.

use super::arrivals::Arrivals;
use super::prompts::PromptSet;
use super::spec::{
    Amount, Branching, SessionsSpec, SharedTexts, SpecError, ThinkFrom, WorkloadSpec,
};
use super::stage::Stage;
use serde::{Deserialize, Serialize, Serializer};

/// The one table of a workload file. Which keys are required depends on others;
/// [`WorkloadFile::checked`] says which.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadFile {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrivals: Option<Arrivals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_prompts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team_prefixes: Option<SharedTexts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<SharedTexts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_zipf: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turns: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branching: Option<Branching>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_tokens: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think_s: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think_from: Option<ThinkFrom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_context_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompts: Option<PromptSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Vec<Stage>>,
}

/// Arrivals that nothing asks for, because stages stand in their place.
const NO_ARRIVALS: Arrivals = Arrivals::Constant { sessions_per_s: 1.0 };

impl WorkloadFile {
    /// The workload, if its keys go together and have good values. The errors are all keys that are
    /// missing, that do not go with another one, or that have a bad value.
    pub fn checked(self) -> Result<WorkloadSpec, Vec<SpecError>> {
        let mut problems = Vec::new();
        let spec = self.spec(&mut problems);
        // What is missing has a value that is good.
        problems.extend(spec.problems());
        if problems.is_empty() { Ok(spec) } else { Err(problems) }
    }

    fn spec(self, problems: &mut Vec<SpecError>) -> WorkloadSpec {
        let staged = self.stage.is_some();
        let keys = Keys { problems };
        let sessions = match &self.prompts {
            Some(set) => {
                let other = [
                    ("system_prompts", self.system_prompts.is_some()),
                    ("system_tokens", self.system_tokens.is_some()),
                    ("team_prefixes", self.team_prefixes.is_some()),
                    ("documents", self.documents.is_some()),
                    ("turns", self.turns.is_some()),
                    ("branching", self.branching.is_some()),
                    ("user_tokens", self.user_tokens.is_some()),
                    ("output_tokens", self.output_tokens.is_some()),
                    ("think_s", self.think_s.is_some()),
                    ("think_from", self.think_from.is_some()),
                    ("max_context_tokens", self.max_context_tokens.is_some()),
                ];
                let mut keys = keys;
                for (field, given) in other {
                    keys.absent(field, given, "given, expected none beside [prompts]");
                }
                let (requests, arrivals) = keys.when(staged, self.requests, self.arrivals);
                one_turn(self.name, requests, arrivals, set)
            }
            None => {
                let mut keys = keys;
                let (requests, arrivals) = keys.when(staged, self.requests, self.arrivals);
                let amount = Amount { mean: 1.0, cv: 0.0 };
                let amounts = "a number, or a distribution such as { mean = 5.0, cv = 0.5 }";
                let tokens = "a number of tokens";
                SessionsSpec {
                    name: self.name,
                    requests,
                    arrivals,
                    system_prompts: keys.needed(
                        "system_prompts",
                        self.system_prompts,
                        "a number",
                        1,
                    ),
                    system_tokens: keys.needed("system_tokens", self.system_tokens, tokens, 0),
                    turns: keys.needed("turns", self.turns, amounts, amount),
                    branching: self.branching,
                    user_tokens: keys.needed("user_tokens", self.user_tokens, amounts, amount),
                    output_tokens: keys.needed(
                        "output_tokens",
                        self.output_tokens,
                        amounts,
                        amount,
                    ),
                    think_s: keys.needed("think_s", self.think_s, amounts, amount),
                    think_from: self.think_from.unwrap_or_default(),
                    max_context_tokens: keys.needed(
                        "max_context_tokens",
                        self.max_context_tokens,
                        tokens,
                        1 << 30,
                    ),
                }
            }
        };
        WorkloadSpec {
            sessions,
            team_prefixes: self.team_prefixes,
            documents: self.documents,
            tenants: self.tenants.unwrap_or(1),
            tenant_zipf: self.tenant_zipf.unwrap_or(0.0),
            stages: self.stage.unwrap_or_default(),
            prompts: self.prompts,
        }
    }
}

/// Notes which keys of a file are missing, or given where they must not be.
struct Keys<'a> {
    problems: &'a mut Vec<SpecError>,
}

impl Keys<'_> {
    /// The value of a key, or a good one in its place.
    fn needed<T>(&mut self, field: &'static str, value: Option<T>, expected: &str, good: T) -> T {
        value.unwrap_or_else(|| {
            self.problems.push(SpecError { field, why: format!("missing, expected {expected}") });
            good
        })
    }

    fn absent(&mut self, field: &'static str, given: bool, why: &str) {
        if given {
            self.problems.push(SpecError { field, why: why.into() });
        }
    }

    /// How many requests, and when they arrive. Stages say both.
    fn when(
        &mut self,
        staged: bool,
        requests: Option<u64>,
        arrivals: Option<Arrivals>,
    ) -> (u64, Arrivals) {
        if staged {
            let instead = "given, expected none beside [[stage]]";
            self.absent("requests", requests.is_some(), instead);
            self.absent("arrivals", arrivals.is_some(), instead);
            return (Stage::MOST, NO_ARRIVALS);
        }
        let arrival = "a table such as [arrivals.poisson] with sessions_per_s";
        let requests = self.needed("requests", requests, "a number of requests", 1);
        (requests, self.needed("arrivals", arrivals, arrival, NO_ARRIVALS))
    }
}

/// Sessions of one turn. The group's part is the system prompt, so it is the operator's text.
fn one_turn(name: String, requests: u64, arrivals: Arrivals, set: &PromptSet) -> SessionsSpec {
    let always = |mean: f64| Amount { mean, cv: 0.0 };
    SessionsSpec {
        name,
        requests,
        arrivals,
        system_prompts: u64::from(set.groups),
        system_tokens: set.system_tokens,
        turns: always(1.0),
        branching: None,
        user_tokens: always(f64::from(set.question_tokens)),
        output_tokens: always(f64::from(set.output_tokens)),
        think_s: always(0.0),
        think_from: ThinkFrom::Answer,
        max_context_tokens: set
            .system_tokens
            .saturating_add(set.question_tokens)
            .saturating_add(set.output_tokens),
    }
}

impl Serialize for WorkloadSpec {
    /// The keys of the file that says this.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WorkloadFile::from(self.clone()).serialize(serializer)
    }
}

impl From<WorkloadSpec> for WorkloadFile {
    fn from(spec: WorkloadSpec) -> Self {
        let WorkloadSpec { sessions, tenants, tenant_zipf, stages, prompts, .. } = spec;
        let staged = !stages.is_empty();
        let of_all = Self {
            name: sessions.name,
            requests: Some(sessions.requests).filter(|_| !staged),
            arrivals: Some(sessions.arrivals).filter(|_| !staged),
            tenants: Some(tenants).filter(|&tenants| tenants != 1),
            tenant_zipf: Some(tenant_zipf).filter(|&zipf| zipf != 0.0),
            prompts,
            stage: Some(stages).filter(|_| staged),
            ..Self::default()
        };
        if prompts.is_some() {
            return of_all;
        }
        Self {
            system_prompts: Some(sessions.system_prompts),
            system_tokens: Some(sessions.system_tokens),
            team_prefixes: spec.team_prefixes,
            documents: spec.documents,
            turns: Some(sessions.turns),
            branching: sessions.branching,
            user_tokens: Some(sessions.user_tokens),
            output_tokens: Some(sessions.output_tokens),
            think_s: Some(sessions.think_s),
            think_from: Some(sessions.think_from),
            max_context_tokens: Some(sessions.max_context_tokens),
            ..of_all
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::prompts::Shuffle;
    use super::super::sessions::Sessions;
    use super::super::stage::StageArrivals;
    use super::*;
    use crate::block::ScopePlan;
    use crate::sharing::Scopes;
    use crate::time::{Duration, Instant};

    fn prompts(restart: bool) -> WorkloadSpec {
        let set = PromptSet {
            groups: 3,
            per_group: 2,
            system_tokens: 64,
            question_tokens: 32,
            output_tokens: 8,
            shuffle: Shuffle::Once,
            restart,
        };
        let stage = Stage {
            name: None,
            rate: 2.0,
            duration_s: 4.0,
            arrivals: StageArrivals::Constant,
            drain: true,
            pause_s: 0.0,
            counted: true,
        };
        let file = WorkloadFile {
            name: "set".into(),
            prompts: Some(set),
            stage: Some(vec![stage.clone(), stage]),
            ..WorkloadFile::default()
        };
        file.checked().expect("a good file")
    }

    /// The name of each request's last prompt block, and of its first one, with its time.
    fn play(spec: &WorkloadSpec, limit: Option<u64>) -> Vec<(u128, u128, Instant)> {
        let scopes = Scopes::from(&ScopePlan::new("", "", "", 16));
        let mut sessions = Sessions::with_shared_texts(spec, &scopes, 7, 1.0, limit);
        let (mut seen, total) = (Vec::new(), sessions.total());
        while let Some(at) = sessions.next_send() {
            let work = sessions.send();
            assert_eq!((work.request.prompt.tokens(), work.output_tokens), (96, 8));
            let chain = work.request.prompt.chain();
            seen.push((chain.hash(5).to_wire(), chain.hash(0).to_wire(), at));
            sessions.on_ended(at + Duration::from_millis(100), work.request.id);
        }
        assert_eq!(seen.len() as u64, total);
        seen
    }

    #[test]
    fn prompts_are_sent_in_cycles_and_groups_share_their_system_part() {
        let seen = play(&prompts(false), None);
        let names: Vec<u128> = seen.iter().map(|&(name, ..)| name).collect();
        let different = |names: &[u128]| {
            let mut names = names.to_vec();
            names.sort_unstable();
            names.dedup();
            names.len()
        };
        assert_eq!((names.len(), different(&names[..6]), different(&names)), (16, 6, 6));
        assert_eq!(names[..6], names[6..12]);
        assert_eq!(names[8..12], [names[2], names[3], names[4], names[5]]);
        let systems: Vec<u128> = seen.iter().map(|&(_, system, _)| system).collect();
        assert_eq!(different(&systems), 3);
        let restarted = play(&prompts(true), None);
        let again: Vec<u128> = restarted.iter().map(|&(name, ..)| name).collect();
        assert_eq!((&again[..8], &again[8..]), (&names[..8], &names[..8]));
    }

    #[test]
    fn a_limit_cuts_the_last_stage_that_it_reaches() {
        let spec = prompts(false);
        assert_eq!(play(&spec, Some(9)), play(&spec, None)[..9]);
        // The second stage begins when the last answer of the first is there.
        let at: Vec<f64> = play(&spec, None).iter().map(|&(.., at)| at.as_secs_f64()).collect();
        let ms = |at: f64| (at * 1e3).round();
        assert_eq!((ms(at[7]), ms(at[8])), (4000.0, 4600.0));
    }
}
