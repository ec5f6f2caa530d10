//! The server-sent events of a body.

use crate::play::http::in_full;
use http_body_util::BodyExt;
use hyper::body::Body;
use std::error::Error;
use warmpath_proto::event_stream::EventStream;

/// The longest event. One of a completion has some hundred bytes.
const LONGEST: usize = 1 << 20;

/// The data of the events in a body, one after the other.
#[derive(Debug)]
pub struct Events<B> {
    body: B,
    read: EventStream,
}

impl<B> Events<B>
where
    B: Body<Data: AsRef<[u8]>, Error: Error + 'static> + Unpin,
{
    pub fn new(body: B) -> Self {
        Self { body, read: EventStream::new(LONGEST) }
    }

    /// The data of the next event. None: the body has ended.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some(data) = self.read.next_data() {
                return Ok(Some(data.to_vec()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(in_full(&error)),
                Some(Ok(frame)) => {
                    if let Ok(part) = frame.into_data() {
                        self.read.extend(part.as_ref())?;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A body that comes in these parts.
    struct Parts(VecDeque<&'static [u8]>);

    impl Body for Parts {
        type Data = &'static [u8];
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|part| Ok(hyper::body::Frame::data(part))))
        }
    }

    #[tokio::test]
    async fn events_are_read_wherever_the_parts_end() {
        let text = b": hello\r\n\r\ndata: {\"a\":1}\r\n\r\nid: 3\ndata:two\n\ndata: [DONE]\n\n";
        for size in 1..text.len() {
            let mut events = Events::new(Parts(text.chunks(size).collect()));
            let mut all = Vec::new();
            while let Some(data) = events.next().await.unwrap() {
                all.push(String::from_utf8(data).unwrap());
            }
            assert_eq!(all, ["{\"a\":1}", "two", "[DONE]"], "parts of {size} bytes");
        }
    }

    #[tokio::test]
    async fn an_event_without_end_is_an_error() {
        let part: &[u8] = &[b'x'; 4_096];
        let mut events = Events::new(Parts(std::iter::repeat_n(part, 1_000).collect()));
        let error = events.next().await.unwrap_err();
        assert_eq!(error, "an event of more than 1048576 bytes");
    }
}
