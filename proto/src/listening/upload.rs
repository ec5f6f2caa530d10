//! The body of an HTTP request on its way in: within its size, within its time, and only as many large ones at
//! once as there is room for. It is `body`'s rules without gRPC's frames.
//!
//! An error's code says what it is: OUT_OF_RANGE is too large, DEADLINE_EXCEEDED too slow, RESOURCE_EXHAUSTED
//! no room.

use super::addresses::{Place, Room};
use super::limits::Limits;
use crate::clock::now;
use crate::raw::Bytes;
use crate::status::with_pushback;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::time::{Sleep, sleep_until};
use tonic::Status;

/// When a client may send a request again that found no room.
const AGAIN: Duration = Duration::from_secs(1);

/// A request's body.
pub struct Upload {
    from: Incoming,
    place: Arc<Place>,
    most: usize,
    /// A body of this size needs no room.
    small: usize,
    came: usize,
    /// Read, and kept back until there is room.
    kept: Option<Bytes>,
    waits: Option<Pin<Box<dyn Future<Output = Room> + Send>>>,
    room: Option<Room>,
    until: Instant,
    time: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Upload {
    pub fn new(from: Incoming, place: &Arc<Place>, (limits, time): (&Limits, Duration)) -> Self {
        Self {
            from,
            place: Arc::clone(place),
            most: limits.generate_bytes,
            small: limits.stream_window as usize,
            came: 0,
            kept: None,
            waits: None,
            room: None,
            until: now() + time,
            time: None,
            ended: false,
        }
    }

    /// What is known of the whole: the length that its client says, or else what came.
    fn size(&self) -> usize {
        let said = usize::try_from(self.from.size_hint().lower()).unwrap_or(usize::MAX);
        self.came.saturating_add(said)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            if let Some(waits) = &mut self.waits {
                self.room = Some(ready!(waits.as_mut().poll(cx)));
                self.waits = None;
            }
            if let Some(kept) = self.kept.take() {
                return Poll::Ready(Some(Ok(kept)));
            }
            let size = self.size();
            if size > self.most {
                let why = format!("body: {size} bytes, expected at most {}", self.most);
                return Poll::Ready(Some(Err(Status::out_of_range(why))));
            }
            let frame = match ready!(Pin::new(&mut self.from).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    let why = format!("body: {error}");
                    return Poll::Ready(Some(Err(Status::invalid_argument(why))));
                }
                None => return Poll::Ready(None),
            };
            let Ok(data) = frame.into_data() else { continue };
            self.came += data.len();
            let size = self.size();
            if size > self.small && self.room.is_none() {
                // A client that does not say how much comes may send the most.
                let said = self.from.size_hint().exact().is_some();
                let needed = if said { size } else { self.most };
                let place = Arc::clone(&self.place);
                self.waits = Some(Box::pin(async move { place.room(needed).await }));
            }
            self.kept = Some(data);
        }
    }

    /// Ready: its time is over.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let until = self.until;
        let time = self.time.get_or_insert_with(|| Box::pin(sleep_until(until.into())));
        ready!(time.as_mut().poll(cx));
        Poll::Ready(match self.waits {
            Some(_) => {
                let why = "body: other large bodies are being received";
                with_pushback(Status::resource_exhausted(why), AGAIN)
            }
            None => Status::deadline_exceeded("body: it did not come in time"),
        })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut polled = self.poll(cx);
        if polled.is_pending() {
            polled = self.poll_time(cx).map(|status| Some(Err(status)));
        }
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.ended = true;
            (self.waits, self.kept, self.room) = (None, None, None);
        }
        polled.map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.from.size_hint()
    }
}
