//! A trace as its file has it.

use super::error::TraceError;
use super::replay::TimedRequest;
use super::session_replay::RecordedSession;
use std::collections::BTreeSet;

/// A trace as its file has it.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The requests or sessions.
    pub content: Content,
    /// The size in tokens of the blocks that the trace compares. None: it has no blocks.
    pub own_block_size: Option<u32>,
    /// Whether the trace says what its prompts share.
    pub shares: bool,
    /// Names of fields that say something and are not used, the first of them.
    pub ignored: BTreeSet<String>,
}

/// The content of a trace.
#[derive(Clone, Debug)]
pub enum Content {
    /// Requests with times.
    Requests(Vec<TimedRequest>),
    /// Sessions whose requests wait for one another.
    Sessions(Vec<RecordedSession>),
}

impl Recording {
    /// The most names of fields that are kept.
    pub const MOST_IGNORED: usize = 16;

    /// A trace whose prompts share blocks, or the history of a session.
    pub fn new(content: Content, own_block_size: Option<u32>) -> Self {
        let shares = own_block_size.is_some() || matches!(content, Content::Sessions(_));
        Self { content, own_block_size, shares, ignored: BTreeSet::new() }
    }

    /// Keeps the first `requests` requests by time. Recorded sessions are kept whole, in the order of
    /// the file, until they have at least that number.
    pub fn limit(&mut self, requests: u64) {
        match &mut self.content {
            Content::Requests(all) => {
                all.sort_by_key(|request| request.at_ms);
                all.truncate(requests as usize);
            }
            Content::Sessions(sessions) => {
                let mut before = 0;
                sessions.retain(|session| {
                    let kept = before < requests;
                    before += session.requests.len() as u64;
                    kept
                });
            }
        }
    }

    /// Its first `share` of requests by time, and the rest, which starts at its own first request. Recorded sessions
    /// stay whole, in the order of the file. Either part may be empty.
    pub fn split(&self, share: f64) -> (Self, Self) {
        let (mut first, mut rest) = (self.clone(), self.clone());
        let requests = (self.requests() as f64 * share) as u64;
        first.limit(requests);
        match (&first.content, &mut rest.content) {
            (Content::Requests(taken), Content::Requests(all)) => {
                all.sort_by_key(|request| request.at_ms);
                all.drain(..taken.len());
                let start = all.first().map_or(0, |request| request.at_ms);
                all.iter_mut().for_each(|request| request.at_ms -= start);
            }
            (Content::Sessions(taken), Content::Sessions(all)) => {
                all.drain(..taken.len());
                let start = all.iter().filter_map(|session| session.start).min();
                for session in all {
                    session.start =
                        session.start.map(|at| at.saturating_sub(start.unwrap_or_default()));
                }
            }
            _ => unreachable!("a part of a trace is of its kind"),
        }
        (first, rest)
    }

    /// Notes names of fields that are not used.
    pub(super) fn note<'a>(ignored: &mut BTreeSet<String>, names: impl Iterator<Item = &'a str>) {
        for name in names {
            if ignored.len() < Self::MOST_IGNORED && !ignored.contains(name) {
                ignored.insert(name.to_owned());
            }
        }
    }

    /// Whether its sessions start at recorded times.
    pub fn has_starts(&self) -> bool {
        match &self.content {
            Content::Requests(_) => true,
            Content::Sessions(sessions) => sessions.iter().all(|session| session.start.is_some()),
        }
    }

    /// Whether it has timed requests that all have the same time.
    pub fn is_one_instant(&self) -> bool {
        match &self.content {
            Content::Requests(all) => all.windows(2).all(|two| two[0].at_ms == two[1].at_ms),
            Content::Sessions(_) => false,
        }
    }

    /// Timed requests a second, from the first to the last. None: sessions, or all at one time.
    pub fn requests_per_s(&self) -> Option<f64> {
        let Content::Requests(all) = &self.content else { return None };
        let times = || all.iter().map(|request| request.at_ms);
        let span_ms = times().max()? - times().min()?;
        (span_ms > 0).then(|| (all.len() as f64 - 1.0) / (span_ms as f64 / 1e3))
    }

    /// The number of requests.
    pub fn requests(&self) -> usize {
        match &self.content {
            Content::Requests(requests) => requests.len(),
            Content::Sessions(sessions) => sessions.iter().map(|s| s.requests.len()).sum(),
        }
    }

    /// Checks that the trace's block size is a multiple of the worker's block size. Then equal
    /// blocks of the trace are equal blocks of the worker.
    pub fn check_block_size(&self, block_size: u32) -> Result<(), TraceError> {
        match self.own_block_size {
            Some(trace_block) if block_size == 0 || !trace_block.is_multiple_of(block_size) => {
                Err(TraceError::BlockSize { block_size, trace_block })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_sizes_must_divide() {
        let recording =
            |own_block_size| Recording::new(Content::Requests(Vec::new()), own_block_size);
        let fits = |own, size| recording(own).check_block_size(size).is_ok();
        assert!([1, 16, 64, 512].into_iter().all(|size| fits(Some(512), size)));
        assert!([0, 3, 48, 1024].into_iter().all(|size| !fits(Some(512), size)));
        assert!(fits(None, 48));
    }

    #[test]
    fn a_split_keeps_every_request_once_and_the_rest_starts_at_zero() {
        let at = |at_ms| TimedRequest { at_ms, prompt: Vec::new(), output_tokens: 1 };
        let recording =
            Recording::new(Content::Requests([40, 10, 30, 20, 50].map(at).to_vec()), None);
        let (first, rest) = recording.split(0.5);
        let times = |part: &Recording| match &part.content {
            Content::Requests(all) => all.iter().map(|request| request.at_ms).collect::<Vec<_>>(),
            Content::Sessions(_) => panic!("requests stay requests"),
        };
        assert_eq!((times(&first), times(&rest)), (vec![10, 20], vec![0, 10, 20]));
        assert_eq!((first.requests(), rest.requests()), (2, 3));
    }
}
