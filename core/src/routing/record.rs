//! A run of a router, written down: one JSON object a line. The first line names the format, the
//! policy, the seed and the limits of the queue. Each further line holds an instant, an input, what
//! the look-ups returned in the order in which they were made, and the actions taken. A replay applies
//! the inputs to a fresh router and compares the actions. The last line says that it is the last, so
//! that a record that was cut is told from a whole one.
//!
//! `warmpath.record.v1` is the format before routers could hold requests: one look-up at most for each
//! input, in `overlap`. It is still read.

use crate::routing::admission::AdmissionLimits;
use crate::routing::index::Overlap;
use crate::routing::input::{Action, Input};
use crate::routing::policy::PolicyConfig;
use crate::routing::queue::QueueLimits;
use crate::routing::reliability::Reliability;
use crate::routing::router::Router;
use crate::routing::siblings::Siblings;
use crate::routing::view::Lookup;
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};

/// The format that is written.
pub const SCHEMA: &str = "warmpath.record.v2";
/// The format before it, which is still read.
const SCHEMA_V1: &str = "warmpath.record.v1";

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`SCHEMA`], or the format before it.
    pub schema: String,
    /// The rule at the start.
    pub policy: PolicyConfig,
    /// See [`Router::with_seed`].
    pub seed: u64,
    /// See [`Router::with_queue_limits`].
    #[serde(default)]
    pub queue: QueueLimits,
    /// See [`Router::with_reliability`]. Absent in records of earlier versions, which had none.
    #[serde(default, skip_serializing_if = "Reliability::is_off")]
    pub reliability: Reliability,
    /// See [`Router::with_admission`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<AdmissionLimits>,
    /// See [`Router::with_siblings`].
    #[serde(default, skip_serializing_if = "Siblings::is_none")]
    pub siblings: Siblings,
    /// See [`Router::telling_holders`]. Such a router looks up what blind rules do not ask for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub holders: bool,
}

impl Header {
    /// Of a router with the default limits of its queue.
    pub fn new(policy: PolicyConfig, seed: u64) -> Self {
        let (queue, reliability) = (QueueLimits::default(), Reliability::default());
        let siblings = Siblings::NONE;
        let schema = SCHEMA.to_owned();
        let holders = false;
        Self { schema, policy, seed, queue, reliability, admission: None, siblings, holders }
    }

    /// Of a router with these limits.
    #[must_use]
    pub fn with_queue_limits(self, queue: QueueLimits) -> Self {
        Self { queue, ..self }
    }

    /// Of a router with these limits.
    #[must_use]
    pub fn with_reliability(self, reliability: Reliability) -> Self {
        Self { reliability, ..self }
    }

    /// Of a router with these limits.
    #[must_use]
    pub fn with_admission(self, admission: Option<AdmissionLimits>) -> Self {
        Self { admission, ..self }
    }

    /// Of a router with these siblings.
    #[must_use]
    pub fn with_siblings(self, siblings: Siblings) -> Self {
        Self { siblings, ..self }
    }

    /// Of a router that says who held how much.
    #[must_use]
    pub fn telling_holders(self) -> Self {
        Self { holders: true, ..self }
    }
}

/// One call of [`Router::apply`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When the input was applied.
    pub now: Instant,
    /// What happened.
    pub input: Input,
    /// What the look-ups returned, in the order in which they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlaps: Vec<Overlap>,
    /// What the router wanted done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
}

/// An entry of [`SCHEMA_V1`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryV1 {
    now: Instant,
    input: Input,
    overlap: Option<Overlap>,
    #[serde(default)]
    actions: Vec<Action>,
}

impl From<EntryV1> for Entry {
    fn from(EntryV1 { now, input, overlap, actions }: EntryV1) -> Self {
        Self { now, input, overlaps: overlap.into_iter().collect(), actions }
    }
}

/// The last line, written when the writer came to its end.
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
        lookup: Lookup<'_>,
        out: &mut Vec<Action>,
    ) -> Entry {
        let seen = RefCell::new(Vec::new());
        let first = out.len();
        self.apply(
            now,
            &input,
            &|prompt, overlap| {
                lookup(prompt, overlap);
                seen.borrow_mut().push(overlap.clone());
            },
            out,
        );
        Entry { now, input, overlaps: seen.into_inner(), actions: out[first..].to_vec() }
    }
}

/// What a replay went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Replayed {
    /// Entries.
    pub inputs: u64,
    /// Requests that were sent or rejected.
    pub decisions: u64,
    /// Whether the record has its end. Without it, what came after the last line is lost.
    pub complete: bool,
}

/// Why a replay ended early. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no line.
    #[error("the record is empty, expected a header with schema \"{SCHEMA}\"")]
    Empty,
    /// A line is not what the format says.
    #[error("line {line}: {why}")]
    BadLine {
        /// Which line.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The router did something else than the record says.
    #[error("line {line}: the record has {recorded}, the replay has {replayed}")]
    Differs {
        /// The entry's line.
        line: usize,
        /// What the record says.
        recorded: String,
        /// What the replay did.
        replayed: String,
    },
}

/// Repeats a record; every action must come out as it was written. One that was cut between two
/// lines is repeated as far as it goes.
pub fn replay(lines: impl Iterator<Item = impl AsRef<str>>) -> Result<Replayed, ReplayError> {
    let mut lines = lines.enumerate();
    let (_, first) = lines.next().ok_or(ReplayError::Empty)?;
    let header: Header = parse(1, first.as_ref())?;
    let read: fn(usize, &str) -> Result<Entry, ReplayError> = match header.schema.as_str() {
        SCHEMA => |line, text| parse::<Entry>(line, text),
        SCHEMA_V1 => |line, text| parse::<EntryV1>(line, text).map(Entry::from),
        other => {
            let why = format!("schema is {other:?}, expected \"{SCHEMA}\" or \"{SCHEMA_V1}\"");
            return Err(ReplayError::BadLine { line: 1, why });
        }
    };
    let mut router = Router::new(header.policy)
        .with_seed(header.seed)
        .with_queue_limits(header.queue)
        .with_reliability(header.reliability)
        .with_admission(header.admission)
        .with_siblings(header.siblings);
    if header.holders {
        router = router.telling_holders();
    }
    let mut done = Replayed { inputs: 0, decisions: 0, complete: false };
    let mut actions = Vec::new();
    for (i, text) in lines {
        let line = i + 1;
        if done.complete {
            let why = "an entry after the end, expected none".to_owned();
            return Err(ReplayError::BadLine { line, why });
        }
        if text.as_ref().starts_with("{\"end\":") {
            let End { end } = parse(line, text.as_ref())?;
            if end != done.inputs {
                let why = format!(
                    "end: {end}, expected {}, the number of entries before it",
                    done.inputs
                );
                return Err(ReplayError::BadLine { line, why });
            }
            done.complete = true;
            continue;
        }
        let entry = read(line, text.as_ref())?;
        repeat(&mut router, &entry, &mut actions)
            .map_err(|(recorded, replayed)| ReplayError::Differs { line, recorded, replayed })?;
        done.inputs += 1;
        let decides =
            |action: &&Action| matches!(action, Action::Dispatch { .. } | Action::Reject { .. });
        done.decisions += actions.iter().filter(decides).count() as u64;
    }
    Ok(done)
}

/// Applies an entry's input with its look-ups. An error: what the record says, and what came out.
fn repeat(
    router: &mut Router,
    entry: &Entry,
    actions: &mut Vec<Action>,
) -> Result<(), (String, String)> {
    let asked = Cell::new(0);
    let lookup =
        |_: &_, overlap: &mut Overlap| match entry.overlaps.get(asked.replace(asked.get() + 1)) {
            Some(seen) => overlap.clone_from(seen),
            None => overlap.clear(),
        };
    actions.clear();
    router.apply(entry.now, &entry.input, &lookup, actions);
    if *actions != entry.actions {
        let show = |actions: &[Action]| {
            serde_json::to_string(actions).unwrap_or_else(|error| error.to_string())
        };
        return Err((show(&entry.actions), show(actions)));
    }
    if asked.get() != entry.overlaps.len() {
        return Err((
            format!("{} look-ups", entry.overlaps.len()),
            format!("{} look-ups", asked.get()),
        ));
    }
    Ok(())
}

fn parse<'a, T: Deserialize<'a>>(line: usize, text: &'a str) -> Result<T, ReplayError> {
    // The name of an unknown field may have a line break in it.
    let why = |error: serde_json::Error| error.to_string().replace(char::is_control, " ");
    serde_json::from_str(text).map_err(|error| ReplayError::BadLine { line, why: why(error) })
}
