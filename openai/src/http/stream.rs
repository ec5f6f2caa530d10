//! An answer as a stream of events.

use crate::problem::Problem;
use crate::served::Part;
use crate::tokenizer::{TextStream, Tokenizer};
use crate::wording::{self, DONE, Said, Wording};
use axum::body::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::Status;

/// Bytes of events in one piece.
const MOST_AT_ONCE: usize = 8 << 10;

/// The events of one answer, as a body. Dropping it cancels the request.
pub struct Events<A, P> {
    answer: A,
    wording: Wording,
    tokenizer: Arc<Tokenizer>,
    texts: TextStream,
    tokens: u32,
    ended: bool,
    _place: P,
}

impl<A, P> Events<A, P> {
    pub fn new(answer: A, wording: Wording, tokenizer: &Arc<Tokenizer>, place: P) -> Self {
        let (tokenizer, texts) = (Arc::clone(tokenizer), TextStream::new(tokenizer));
        Self { answer, wording, tokenizer, texts, tokens: 0, ended: false, _place: place }
    }

    /// The events of one part.
    fn say(&mut self, part: &Part, out: &mut Vec<u8>) {
        part.notes.iter().for_each(|note| wording::comment(&format!("resumed {note}"), out));
        self.tokens = self.tokens.saturating_add(part.ids.len() as u32);
        let mut text = self.texts.push(&self.tokenizer, &part.ids);
        if part.end.is_some() {
            text.push_str(&self.texts.end(&self.tokenizer));
        }
        let cached_tokens = part.end.map_or(0, |end| end.cached_tokens);
        let reason = part.end.map(|end| end.reason);
        let (ids, tokens) = (&part.ids[..], self.tokens);
        if part.end.is_some() || !part.ids.is_empty() {
            self.wording.part(Said { text: &text, ids, tokens, cached_tokens, reason }, out);
        }
        if part.end.is_some() {
            self.wording.usage_at_end(tokens, cached_tokens, out);
            out.extend_from_slice(DONE.as_bytes());
            self.ended = true;
        }
    }

    fn fail(&mut self, problem: &Problem, out: &mut Vec<u8>) {
        wording::error_event(&problem.json(), out);
        out.extend_from_slice(DONE.as_bytes());
        self.ended = true;
    }
}

impl<A, P> Body for Events<A, P>
where
    A: Stream<Item = Result<Part, Status>> + Unpin,
    P: Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        // Its worker ends its stream a moment later. Dropped before, the call to the worker would be cancelled.
        while this.ended {
            if ready!(Pin::new(&mut this.answer).poll_next(cx)).is_none() {
                return Poll::Ready(None);
            }
        }
        // Parts that are here already go out together.
        let mut out = Vec::with_capacity(512);
        while !this.ended && out.len() < MOST_AT_ONCE {
            match Pin::new(&mut this.answer).poll_next(cx) {
                Poll::Ready(Some(Ok(part))) => this.say(&part, &mut out),
                Poll::Ready(Some(Err(status))) => this.fail(&Problem::of(&status), &mut out),
                Poll::Ready(None) => this.fail(&Problem::cut(), &mut out),
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(Frame::data(out.into()))))
    }
}
