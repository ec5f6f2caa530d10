//! A request's body on its way in: within its size, within its time, and only as many large ones at once as
//! there is room for. A body that waits holds no more than its stream's window.

use super::addresses::{Place, Room};
use super::fields::Fields;
use super::limits::Limits;
use crate::clock::now;
use crate::raw::Bytes;
use crate::status::with_pushback;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::time::{Sleep, sleep_until};
use tonic::Status;

/// A message's mark and its length, by gRPC.
const HEAD: usize = 5;
/// When a client may send a request again that found no room.
const AGAIN: Duration = Duration::from_secs(1);

/// A request's body.
pub struct Receiving {
    from: Incoming,
    place: Arc<Place>,
    kind: Kind,
    head: [u8; HEAD],
    have: usize,
    /// Bytes that the current message still has.
    left: usize,
    length: usize,
    messages: usize,
    fields: Fields,
    /// Read, and kept back until there is room.
    kept: Option<Bytes>,
    waits: Option<Pin<Box<dyn Future<Output = Room> + Send>>>,
    room: Option<Room>,
    until: Instant,
    time: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

/// What a call may send.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// The message is a `GenerateRequest`.
    generates: bool,
    /// Its messages come when its client likes, and none need come.
    streams: bool,
    /// The largest message.
    most: usize,
    /// A message of this size needs no room.
    small: usize,
}

impl Kind {
    fn of(path: &str, limits: &Limits) -> Self {
        let generates =
            path.starts_with("/vllm.Inference/") || path == "/vllm.grpc.engine.VllmEngine/Generate";
        let most = if generates { limits.generate_bytes } else { limits.message_bytes };
        let streams = path.starts_with("/grpc.reflection.");
        Self { generates, streams, most, small: limits.stream_window as usize }
    }
}

impl Receiving {
    pub fn new(
        from: Incoming,
        path: &str,
        place: &Arc<Place>,
        (limits, time): (&Limits, Duration),
    ) -> Self {
        Self {
            from,
            place: Arc::clone(place),
            kind: Kind::of(path, limits),
            head: [0; HEAD],
            have: 0,
            left: 0,
            length: 0,
            messages: 0,
            fields: Fields::default(),
            kept: None,
            waits: None,
            room: None,
            until: now() + time,
            time: None,
            ended: false,
        }
    }

    /// Reads what came. Returns the length of a message that needs room first.
    fn read(&mut self, mut bytes: &[u8]) -> Result<Option<usize>, Status> {
        let mut needed = None;
        while !bytes.is_empty() {
            if self.left == 0 {
                let taken = (HEAD - self.have).min(bytes.len());
                self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                self.have += taken;
                bytes = &bytes[taken..];
                if self.have == HEAD {
                    needed = self.begin_message()?.or(needed);
                }
                continue;
            }
            let (here, rest) = bytes.split_at(self.left.min(bytes.len()));
            if self.kind.generates {
                self.fields.read(here)?;
            }
            self.left -= here.len();
            bytes = rest;
        }
        Ok(needed)
    }

    /// A message's length is here.
    fn begin_message(&mut self) -> Result<Option<usize>, Status> {
        let [_, a, b, c, d] = self.head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > self.kind.most {
            let why = format!("{length} bytes, expected at most {}", self.kind.most);
            return Err(Status::resource_exhausted(format!("message: {why}")));
        }
        if self.messages > 0 && !self.kind.streams {
            return Err(Status::invalid_argument("message: a second one, expected only one"));
        }
        (self.have, self.left, self.length) = (0, length, length);
        self.messages += 1;
        Ok((length > self.kind.small && self.room.is_none()).then_some(length))
    }

    /// The body is over.
    fn end(&self) -> Result<(), Status> {
        if self.left > 0 || self.have > 0 {
            let came = if self.left > 0 { self.length - self.left } else { 0 };
            let why = format!("it ended after {came} of {} bytes", self.length);
            return Err(Status::invalid_argument(format!("message: {why}")));
        }
        if self.messages == 0 && !self.kind.streams {
            return Err(Status::invalid_argument("message: missing, expected one"));
        }
        Ok(())
    }

    /// Ready: its time is over.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        if self.kind.streams {
            return Poll::Pending;
        }
        let until = self.until;
        let time = self.time.get_or_insert_with(|| Box::pin(sleep_until(until.into())));
        ready!(time.as_mut().poll(cx));
        Poll::Ready(match self.waits {
            Some(_) => {
                let why = "other large messages are being received";
                with_pushback(Status::resource_exhausted(format!("message: {why}")), AGAIN)
            }
            None => Status::deadline_exceeded("message: it did not come in time"),
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(waits) = &mut self.waits {
                self.room = Some(ready!(waits.as_mut().poll(cx)));
                self.waits = None;
            }
            if let Some(kept) = self.kept.take() {
                return Poll::Ready(Some(Ok(Frame::data(kept))));
            }
            let frame = match ready!(Pin::new(&mut self.from).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(Status::from_error(error.into()))));
                }
                None => return Poll::Ready(self.end().err().map(Err)),
            };
            let Ok(data) = frame.into_data() else { continue };
            match self.read(&data) {
                Ok(None) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Some(length)) => {
                    let place = Arc::clone(&self.place);
                    self.waits = Some(Box::pin(async move { place.room(length).await }));
                    self.kept = Some(data);
                }
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
        }
    }
}

impl Body for Receiving {
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
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
