//! Rows of requests: what most formats have. A row becomes a request at its time; rows with a session
//! become sessions, whose rows wait for the answers before them.

use super::error::TraceError;
use super::line::{MAX_MS, MAX_TOKENS};
use super::reading::{History, Reading};
use super::recording::Content;
use super::replay::TimedRequest;
use super::session_replay::{RecordedRequest, RecordedSession};
use crate::time::Duration;
use crate::tokens::Segment;
use std::collections::BTreeMap;

/// The most parts of prompts in a trace. They need 16 bytes each.
pub const MAX_PARTS: usize = 1 << 27;

/// One request as its row has it.
#[derive(Debug)]
pub struct Row {
    pub line: usize,
    /// When it came, in milliseconds from any origin.
    pub at_ms: Option<f64>,
    /// The session. None: a session of its own, or the trace has none.
    pub session: Option<String>,
    /// Its name, and the row whose answer it waits for. None: it waits for the row before it in its
    /// session.
    pub parent: Option<(String, String)>,
    /// The pause between the answer that it waits for and this request.
    pub delay_ms: f64,
    /// How long its answer took.
    pub service_ms: f64,
    pub priority: i32,
    pub prompt: Vec<Segment>,
    pub output_tokens: u32,
    /// What it carries of its session. None: the ids of the prompts tell.
    pub history: Option<History>,
}

/// The names of the fields in a format, for errors.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    pub time: &'static str,
    pub prompt: &'static str,
}

/// All rows as requests or sessions. Times count from the earliest row.
pub fn assemble(
    mut rows: Vec<Row>,
    reading: &Reading,
    names: Names,
) -> Result<Content, TraceError> {
    let times = rows.iter().filter_map(|row| row.at_ms);
    let origin = times.clone().min_by(f64::total_cmp);
    let timed = times.clone().count();
    let span = times.max_by(f64::total_cmp).zip(origin).map_or(0.0, |(last, first)| last - first);
    if rows.is_empty() {
        return Err(TraceError::Empty);
    }
    if span > MAX_MS as f64 {
        let last = rows.iter().max_by(|a, b| f64_of(a.at_ms).total_cmp(&f64_of(b.at_ms)));
        let why = format!("{span} ms after the first, expected at most {MAX_MS}");
        return Err(err(last.map_or(1, |row| row.line), names.time, why));
    }
    for row in &mut rows {
        row.at_ms = row.at_ms.zip(origin).map(|(at, origin)| at - origin);
    }
    let all_timed = timed == rows.len();
    if all_timed {
        // A stable sort: rows of equal times stay in the order of their lines.
        rows.sort_by(|a, b| f64_of(a.at_ms).total_cmp(&f64_of(b.at_ms)));
    }
    let is_plain = |row: &Row| row.session.is_none() && row.delay_ms == 0.0 && row.priority == 0;
    if all_timed && rows.iter().all(is_plain) {
        return Ok(Content::Requests(rows.into_iter().map(Row::alone).collect()));
    }
    sessions(rows, timed > 0, reading, names).map(Content::Sessions)
}

fn f64_of(time: Option<f64>) -> f64 {
    time.unwrap_or(0.0)
}

fn err(line: usize, field: &str, why: String) -> TraceError {
    TraceError::Field { line, field: field.into(), why }
}

impl Row {
    /// A request at a time, without a session.
    pub fn timed(line: usize, at_ms: f64, prompt: Vec<Segment>, output_tokens: u32) -> Self {
        Self {
            line,
            at_ms: Some(at_ms),
            session: None,
            parent: None,
            delay_ms: 0.0,
            service_ms: 0.0,
            priority: 0,
            prompt,
            output_tokens,
            history: Some(History::Whole),
        }
    }

    fn alone(self) -> TimedRequest {
        let at_ms = libm::round(f64_of(self.at_ms)) as u64;
        TimedRequest { at_ms, prompt: self.prompt, output_tokens: self.output_tokens }
    }

    /// The seed of the first part of the prompt.
    fn begin(&self) -> Option<u64> {
        self.prompt.first().and_then(|segment| match *segment {
            Segment::Text { seed, .. } => Some(seed),
            Segment::Answer { .. } => None,
        })
    }
}

fn sessions(
    rows: Vec<Row>,
    have_times: bool,
    reading: &Reading,
    names: Names,
) -> Result<Vec<RecordedSession>, TraceError> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        let place = match &row.session {
            None => groups.len(),
            Some(name) => *places.entry(name.clone()).or_insert(groups.len()),
        };
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(row);
    }
    let found = match reading.history {
        Some(history) => history,
        None => history_of(&groups, names)?,
    };
    let mut parts = 0;
    let session = |rows: Vec<Row>| {
        let history = |row: &Row| reading.history.or(row.history).unwrap_or(found);
        session(rows, have_times, history, &mut parts, names)
    };
    groups.into_iter().map(session).collect()
}

/// What the ids say of the rows that do not say it themselves. Later rows that all begin as the first
/// row of their session are whole prompts; if none does, they carry what is new.
fn history_of(groups: &[Vec<Row>], names: Names) -> Result<History, TraceError> {
    let mut found = None;
    for rows in groups {
        let (Some(first), later) = (rows.first(), rows.iter().skip(1)) else { continue };
        for row in later.filter(|row| row.history.is_none()) {
            let history = match row.begin() == first.begin() {
                true => History::Whole,
                // The only block of the first row may be partial. A whole prompt after it has
                // another block in its place, so this row says nothing.
                false if first.prompt.len() < 2 => continue,
                false => History::New,
            };
            if *found.get_or_insert(history) != history {
                let why = "some rows of sessions begin as the first row of their session and some \
                           do not, expected all or none; --trace-rows says what they carry";
                return Err(err(row.line, names.prompt, why.into()));
            }
        }
    }
    Ok(found.unwrap_or(History::New))
}

fn session(
    rows: Vec<Row>,
    have_times: bool,
    history: impl Fn(&Row) -> History,
    parts: &mut usize,
    names: Names,
) -> Result<RecordedSession, TraceError> {
    let mut requests: Vec<RecordedRequest> = Vec::with_capacity(rows.len());
    let mut places: BTreeMap<String, u32> = BTreeMap::new();
    let mut start = None;
    let mut latest = 0.0;
    let mut before: Vec<Segment> = Vec::new();
    let mut answer = None;
    for (index, row) in (0_u32..).zip(rows) {
        if index == 0 {
            start = row.at_ms;
            if start.is_none() && have_times {
                let why = "missing, expected a time in the first row of each session, as in others";
                return Err(err(row.line, names.time, why.into()));
            }
            if row.delay_ms > 0.0 {
                let why = format!(
                    "{}, expected none in the first row of a session: it counts from the answer \
                     before",
                    row.delay_ms
                );
                return Err(err(row.line, "delay", why));
            }
        }
        if let Some(at) = row.at_ms {
            if at < latest || start.is_none() {
                let why = "before the rows above it in its session, expected rows in order of time";
                return Err(err(row.line, names.time, why.into()));
            }
            latest = at;
        }
        let due = row.at_ms.zip(start).map_or(0.0, |(at, start)| at - start);
        let after = match &row.parent {
            Some((_, parent)) => places.get(parent).copied(),
            None => index.checked_sub(1),
        };
        let history = history(&row);
        let mut prompt = row.prompt;
        if history == History::Whole {
            before.clone_from(&prompt);
        } else {
            let answer = answer.filter(|_| history == History::NewAndAnswers);
            before.extend(answer.map(|tokens| Segment::Answer { tokens }));
            before.append(&mut prompt);
            prompt.clone_from(&before);
        }
        answer = Some(row.output_tokens);
        *parts += prompt.len();
        let tokens: u64 = prompt.iter().map(|segment| u64::from(segment.tokens())).sum();
        if tokens > MAX_TOKENS {
            let why = format!("{tokens} tokens with its history, expected at most {MAX_TOKENS}");
            return Err(err(row.line, names.prompt, why));
        }
        if *parts > MAX_PARTS {
            let why = format!("more than {MAX_PARTS} blocks in all prompts, expected fewer");
            return Err(err(row.line, names.prompt, why));
        }
        if let Some((name, _)) = row.parent {
            places.insert(name, index);
        }
        requests.push(RecordedRequest {
            prompt,
            output_tokens: row.output_tokens,
            service: from_ms(row.service_ms),
            agent: 0,
            after: after.into_iter().collect(),
            think: from_ms(row.delay_ms),
            due: from_ms(due),
            priority: row.priority,
        });
    }
    Ok(RecordedSession { start: start.map(from_ms), requests })
}

fn from_ms(ms: f64) -> Duration {
    Duration::from_nanos_f64(ms * 1e6)
}
