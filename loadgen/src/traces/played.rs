//! A trace's requests in the order in which they are sent, if each answer takes as long as in the
//! recording.

use std::collections::BTreeSet;
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::request::Work;
use warmpath_core::sharing::Scopes;
use warmpath_core::time::{Duration, Instant};
use warmpath_core::tokens::Segment;
use warmpath_core::workload::Workload;
use warmpath_core::workload::trace::{
    Content, Pace, RecordedRequest, Recording, SessionReplay, SessionTrace, TimedReplay, Trace,
};

/// As the commands that play a trace do by default.
pub const SESSIONS: u32 = 64;
const THINK_CAP_S: f64 = 60.0;
const NO_CAP_S: f64 = 1e9;

/// One request as it was sent.
pub struct Sent<'a> {
    pub at: Instant,
    pub work: Work,
    pub prompt: &'a [Segment],
    /// The session's number, and the request in it. None: the trace has no sessions.
    pub recorded: Option<(usize, &'a RecordedRequest)>,
}

impl Sent<'_> {
    pub fn service(&self) -> Duration {
        self.recorded.map_or(Duration::ZERO, |(_, request)| request.service)
    }
}

/// A request's prompt; its session's number and the request in it.
type Of<'a> = (&'a [Segment], Option<(usize, &'a RecordedRequest)>);

/// Sends all requests in blocks of this size.
pub fn each<'a>(recording: &'a Recording, block: u32, mut each: impl FnMut(Sent<'a>)) {
    let scopes = Scopes::from(&ScopePlan::new("", "", "", block));
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 1, limit: None };
    let (mut workload, flat): (Workload, Vec<Of<'_>>) = match &recording.content {
        Content::Requests(requests) => {
            let trace = Trace::new(requests.clone(), &scopes);
            let trace = match recording.own_block_size {
                Some(block) => trace.with_inferred_sessions(block),
                None => trace,
            };
            let replay = TimedReplay::new(Arc::new(trace), pace);
            // The replay numbers the requests in the order of their times.
            let mut prompts: Vec<(u64, &[Segment])> =
                requests.iter().map(|r| (r.at_ms, r.prompt.as_slice())).collect();
            prompts.sort_by_key(|(at_ms, _)| *at_ms);
            let flat = prompts.into_iter().map(|(_, prompt)| (prompt, None)).collect();
            (Workload::Trace(replay), flat)
        }
        Content::Sessions(sessions) => {
            let trace = if recording.has_starts() {
                let longest = Duration::from_secs_f64(NO_CAP_S);
                SessionTrace::at_recorded_starts(sessions, &scopes, longest)
            } else {
                let longest = Duration::from_secs_f64(THINK_CAP_S);
                SessionTrace::new(sessions, &scopes, SESSIONS, longest)
            };
            let requests = sessions.iter().enumerate();
            let of = |(i, request): (usize, &'a RecordedRequest)| {
                (request.prompt.as_slice(), Some((i, request)))
            };
            let flat = requests
                .flat_map(|(i, session)| session.requests.iter().map(move |request| (i, request)))
                .map(of)
                .collect();
            (Workload::RecordedSessions(SessionReplay::new(Arc::new(trace), None)), flat)
        }
    };
    let mut ends = BTreeSet::new();
    loop {
        let end = ends.first().copied();
        match (workload.next_send(), end) {
            (Some(at), end) if end.is_none_or(|(ended, _)| at <= ended) => {
                let Some((_, work)) = workload.send(at) else { break };
                let id = work.request.id;
                let (prompt, recorded) = flat[id.0 as usize];
                let sent = Sent { at, work, prompt, recorded };
                ends.insert((at + sent.service(), id));
                each(sent);
            }
            (_, Some((ended, id))) => {
                ends.pop_first();
                workload.on_ended(ended, id);
            }
            (_, None) => break,
        }
    }
}
