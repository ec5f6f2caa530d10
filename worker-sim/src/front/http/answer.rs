//! An answer's parts in OpenAI's terms.

use crate::answer::{Answer, AnswerPart};
use crate::command;
use crate::front::grpc::of_refusal;
use smallvec::SmallVec;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_stream::Stream;
use tonic::Status;
use warmpath_openai::served::{End, Part};

/// An answer, part by part.
#[derive(Debug)]
pub struct Parts(pub Answer);

impl Stream for Parts {
    type Item = Result<Part, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.0).poll_next(cx);
        next.map(|part| part.map(|part| part.map(part_of).map_err(of_refusal)))
    }
}

fn part_of(part: AnswerPart) -> Part {
    let end = part.end.map(|end| match end {
        command::End::Finished { cached_tokens, .. } | command::End::Held { cached_tokens, .. } => {
            End { reason: "length", cached_tokens }
        }
        command::End::Aborted => End { reason: "abort", cached_tokens: 0 },
    });
    Part { ids: SmallVec::from_vec(part.token_ids), end, notes: Vec::new() }
}
