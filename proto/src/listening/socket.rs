//! A connection's bytes, plain or TLS. A client that does not begin, does not end what it began, sends
//! frames without end or does not read is an error here, which ends its connection.

use super::limits::{Limits, Note};
use super::spoken::Spoken;
use super::streams::Calls;
use crate::clock::now;
use crate::sockets::Accepted;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, sleep_until};
use tokio_rustls::server::TlsStream;

/// The bytes of a connection.
pub enum Socket {
    Plain(Accepted),
    Tls(Box<TlsStream<Accepted>>),
}

/// Calls the same method of whatever the socket is.
macro_rules! inner {
    ($socket:expr, $inner:ident => $call:expr) => {
        match $socket {
            Socket::Plain(socket) => {
                let $inner = Pin::new(socket);
                $call
            }
            Socket::Tls(socket) => {
                let $inner = Pin::new(&mut **socket);
                $call
            }
        }
    };
}

/// A socket with time-outs.
pub struct Guarded {
    socket: Socket,
    guard: Option<Guard>,
}

struct Guard {
    spoken: Spoken,
    calls: Arc<Calls>,
    answers: u64,
    stall: Duration,
    note: Note,
    reading: Option<(Instant, Pin<Box<Sleep>>)>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    /// Without times in the limits it is not guarded.
    pub fn new(
        socket: Socket,
        (limits, http1): (&Limits, bool),
        calls: &Arc<Calls>,
        note: &Note,
    ) -> Self {
        let guard = limits.times.map(|times| Guard {
            spoken: Spoken::new(times, limits.empty_frames_per_s, http1, now()),
            calls: Arc::clone(calls),
            answers: 0,
            stall: times.stall,
            note: Arc::clone(note),
            reading: None,
            writing: None,
        });
        Self { socket, guard }
    }

    /// What a write came to. One that waits too long is an error.
    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(guard) = &mut self.guard else { return written };
        if written.is_ready() {
            guard.writing = None;
            return written;
        }
        let stall = guard.stall;
        ready!(guard.writing.get_or_insert_with(|| Box::pin(sleep(stall))).as_mut().poll(cx));
        Poll::Ready(Err(guard.cut("stall")))
    }
}

impl Guard {
    fn cut(&self, why: &'static str) -> io::Error {
        (self.note)(why);
        io::Error::new(io::ErrorKind::TimedOut, why)
    }

    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let answers = self.calls.answers();
        let new = answers - std::mem::replace(&mut self.answers, answers);
        let read = self.spoken.read(bytes, new, &self.calls, now());
        read.map_err(|why| self.cut(why))
    }

    /// Nothing came. Ready: it should have.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some((due, why)) = self.spoken.deadline(&self.calls) else {
            self.reading = None;
            return Poll::Pending;
        };
        if self.reading.as_ref().is_none_or(|(at, _)| *at != due) {
            self.reading = Some((due, Box::pin(sleep_until(due.into()))));
        }
        if let Some((_, time)) = &mut self.reading {
            ready!(time.as_mut().poll(cx));
        }
        Poll::Ready(self.cut(why))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = inner!(&mut self.socket, socket => socket.poll_read(cx, buffer));
        let Some(guard) = &mut self.guard else { return read };
        match read {
            Poll::Ready(Ok(())) => Poll::Ready(guard.read(&buffer.filled()[before..])),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => guard.poll_time(cx).map(Err),
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = inner!(&mut self.socket, socket => socket.poll_write(cx, bytes));
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = inner!(&mut self.socket, socket => socket.poll_write_vectored(cx, bytes));
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(socket) => socket.is_write_vectored(),
            Socket::Tls(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = inner!(&mut self.socket, socket => socket.poll_flush(cx));
        self.written(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = inner!(&mut self.socket, socket => socket.poll_shutdown(cx));
        self.written(cx, shut)
    }
}
