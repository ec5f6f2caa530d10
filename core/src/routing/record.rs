//! A run of a router, written down: one JSON object a line. The first line names the format and the
//! policy; each further one holds an instant, an input, what the look-up returned (if one was made)
//! and the actions taken. A replay applies the inputs to a fresh router and compares the actions. The
//! last line says that it is the last, so that a record that was cut is told from a whole one.

use crate::routing::Router;
use crate::routing::index::Overlap;
use crate::routing::input::{Action, Input};
use crate::routing::policy::PolicyConfig;
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

pub const SCHEMA: &str = "warmpath.record.v1";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub schema: String,
    pub policy: PolicyConfig,
    pub seed: u64,
}

impl Header {
    pub fn new(policy: PolicyConfig, seed: u64) -> Self {
        Self { schema: SCHEMA.to_owned(), policy, seed }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub now: Instant,
    pub input: Input,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
}

/// The last line, where whoever wrote came to an end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// How many entries stand before it.
    pub end: u64,
}

impl Router {
    /// [`Router::apply`], and the entry that lets a replay repeat it.
    pub fn apply_recorded(
        &mut self,
        now: Instant,
        input: Input,
        lookup: crate::routing::view::Lookup<'_>,
        out: &mut Vec<Action>,
    ) -> Entry {
        let seen = RefCell::new(None);
        let first = out.len();
        self.apply(
            now,
            &input,
            &|prompt, overlap| {
                lookup(prompt, overlap);
                *seen.borrow_mut() = Some(overlap.clone());
            },
            out,
        );
        Entry { now, input, overlap: seen.into_inner(), actions: out[first..].to_vec() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Replayed {
    pub inputs: u64,
    pub decisions: u64,
    /// Whether the record has its end. Without it, what came after the last line is lost.
    pub complete: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the record is empty, expected a header with schema \"{SCHEMA}\"")]
    Empty,
    #[error("line {line}: {why}")]
    BadLine { line: usize, why: String },
    #[error("line {line}: the record says {recorded}, the replay did {replayed}")]
    Differs { line: usize, recorded: String, replayed: String },
}

/// Repeats a record; every action must come out as it was written. One that was cut between two
/// lines is repeated as far as it goes.
pub fn replay(lines: impl Iterator<Item = impl AsRef<str>>) -> Result<Replayed, ReplayError> {
    let mut lines = lines.enumerate();
    let (_, first) = lines.next().ok_or(ReplayError::Empty)?;
    let header: Header = parse(1, first.as_ref())?;
    if header.schema != SCHEMA {
        let why = format!("schema is \"{}\", expected \"{SCHEMA}\"", header.schema);
        return Err(ReplayError::BadLine { line: 1, why });
    }
    let mut router = Router::new(header.policy).with_seed(header.seed);
    let mut done = Replayed { inputs: 0, decisions: 0, complete: false };
    let mut actions = Vec::new();
    for (i, text) in lines {
        let line = i + 1;
        if done.complete {
            let why = "something stands after the end".to_owned();
            return Err(ReplayError::BadLine { line, why });
        }
        if text.as_ref().starts_with("{\"end\":") {
            let End { end } = parse(line, text.as_ref())?;
            if end != done.inputs {
                let why = format!("{end} entries were written, {} stand before it", done.inputs);
                return Err(ReplayError::BadLine { line, why });
            }
            done.complete = true;
            continue;
        }
        let entry: Entry = parse(line, text.as_ref())?;
        actions.clear();
        router.apply(
            entry.now,
            &entry.input,
            &|_, overlap| overlap.clone_from(entry.overlap.as_ref().unwrap_or(&Overlap::default())),
            &mut actions,
        );
        if actions != entry.actions {
            let show = |actions: &[Action]| {
                serde_json::to_string(actions).unwrap_or_else(|error| error.to_string())
            };
            let (recorded, replayed) = (show(&entry.actions), show(&actions));
            return Err(ReplayError::Differs { line, recorded, replayed });
        }
        done.inputs += 1;
        done.decisions += actions.len() as u64;
    }
    Ok(done)
}

fn parse<'a, T: Deserialize<'a>>(line: usize, text: &'a str) -> Result<T, ReplayError> {
    serde_json::from_str(text)
        .map_err(|error| ReplayError::BadLine { line, why: error.to_string() })
}
