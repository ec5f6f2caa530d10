//! ZMTP 3.0, ZeroMQ's wire protocol, without security, over any stream of bytes.
//!
//! Both sides greet each other with 64 bytes and name their kinds of socket. Then each message is a list of
//! frames. All of it has bounds, and nothing is allocated because a length was announced.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A message has at most so many frames. The longest one here has four.
const MOST_FRAMES: usize = 8;
const READ: usize = 64 << 10;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// A connection that cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the connection was closed")]
    Closed,
    #[error("it speaks no ZMTP 3: {0}")]
    Protocol(&'static str),
    #[error("it is a {0} socket, expected {1}")]
    Kind(String, &'static str),
    #[error("it sent more than {0} bytes at once")]
    TooLong(usize),
    #[error(transparent)]
    Frames(#[from] crate::frames::FrameError),
}

/// The host and port of `tcp://host:port`. An error says what is expected.
pub fn endpoint_address(endpoint: &str) -> Result<&str, String> {
    let wrong = || format!("'{endpoint}', expected tcp://host:port");
    let address = endpoint.strip_prefix("tcp://").ok_or_else(wrong)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    if host.is_empty() || host.contains(['/', '@', ' ']) || !is_port {
        return Err(wrong());
    }
    Ok(address)
}

/// A kind of socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Pub,
    Sub,
    Router,
    Dealer,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::Router => "ROUTER",
            Self::Dealer => "DEALER",
        }
    }

    /// The kinds that it talks with.
    const fn peers(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Pub => (&["SUB", "XSUB"], "SUB"),
            Self::Sub => (&["PUB", "XPUB"], "PUB"),
            Self::Router => (&["DEALER", "REQ", "ROUTER"], "DEALER"),
            Self::Dealer => (&["ROUTER", "DEALER", "REP"], "ROUTER"),
        }
    }
}

/// What came from the other side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incoming {
    Message(Vec<Vec<u8>>),
    /// A command with its name, such as `SUBSCRIBE`.
    Command {
        name: Vec<u8>,
        body: Vec<u8>,
    },
}

/// One connection. Waiting for [`Link::recv`] or [`Link::send`] may be given up at any time.
#[derive(Debug)]
pub struct Link<S> {
    stream: S,
    /// Bytes that came and were not taken yet.
    came: Vec<u8>,
    /// Bytes that are still to be sent.
    leaving: Vec<u8>,
    /// The frames of a message that has not ended yet.
    frames: Vec<Vec<u8>>,
    /// The most bytes of one message.
    most: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Greets the other side. `most`: the most bytes of a message from there.
    pub async fn open(stream: S, kind: Kind, most: usize) -> Result<Self, LinkError> {
        let mut link =
            Self { stream, came: Vec::new(), leaving: greeting(), frames: Vec::new(), most };
        link.flush().await?;
        let theirs = link.take(64).await?;
        if theirs[0] != 0xff || theirs[9] & 1 == 0 || theirs[10] < 3 {
            return Err(LinkError::Protocol("its greeting is another one"));
        }
        if !theirs[12..32].starts_with(b"NULL\0") {
            return Err(LinkError::Protocol("it asks for security that is not supported"));
        }
        link.ready(kind);
        link.flush().await?;
        let Incoming::Command { name, body } = link.recv().await? else {
            return Err(LinkError::Protocol("it did not say READY"));
        };
        if name != b"READY" {
            return Err(LinkError::Protocol("it did not say READY"));
        }
        let theirs = socket_type(&body).ok_or(LinkError::Protocol("it has no socket type"))?;
        let (peers, expected) = kind.peers();
        if !peers.contains(&theirs.as_str()) {
            return Err(LinkError::Kind(theirs, expected));
        }
        Ok(link)
    }

    fn ready(&mut self, kind: Kind) {
        let mut body = b"\x05READY".to_vec();
        let mut property = |name: &str, value: &str| {
            body.push(name.len() as u8);
            body.extend(name.as_bytes());
            body.extend((value.len() as u32).to_be_bytes());
            body.extend(value.as_bytes());
        };
        property("Socket-Type", kind.name());
        if kind == Kind::Dealer {
            property("Identity", "");
        }
        write_frame(&mut self.leaving, COMMAND, &body);
    }

    /// Puts a message behind what is still to be sent, and sends it all.
    pub async fn send(&mut self, frames: &[impl AsRef<[u8]>]) -> Result<(), LinkError> {
        for (place, frame) in frames.iter().enumerate() {
            let more = if place + 1 < frames.len() { MORE } else { 0 };
            write_frame(&mut self.leaving, more, frame.as_ref());
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), LinkError> {
        while !self.leaving.is_empty() {
            let sent = self.stream.write(&self.leaving).await?;
            if sent == 0 {
                return Err(LinkError::Closed);
            }
            self.leaving.drain(..sent);
        }
        self.leaving.shrink_to(READ);
        Ok(self.stream.flush().await?)
    }

    /// The next message or command. A `PING` is answered and not returned.
    pub async fn recv(&mut self) -> Result<Incoming, LinkError> {
        loop {
            self.flush().await?;
            while self.frame_length()?.is_none_or(|(head, length)| self.came.len() < head + length)
            {
                self.fill().await?;
            }
            let Some((head, length)) = self.frame_length()? else { continue };
            let flags = self.came[0];
            let frame = self.came[head..head + length].to_vec();
            self.came.drain(..head + length);
            if self.came.is_empty() {
                self.came.shrink_to(READ);
            }
            if flags & COMMAND != 0 {
                let (name, body) = command(&frame).ok_or(LinkError::Protocol("a torn command"))?;
                // Two bytes of its time to live, then what the answer must repeat.
                if name == b"PING" && body.len() >= 2 {
                    let pong = [b"\x04PONG", &body[2..]].concat();
                    write_frame(&mut self.leaving, COMMAND, &pong);
                    continue;
                }
                return Ok(Incoming::Command { name: name.into(), body: body.into() });
            }
            self.frames.push(frame);
            if self.frames.len() > MOST_FRAMES {
                return Err(LinkError::Protocol("a message of too many frames"));
            }
            if flags & MORE == 0 {
                return Ok(Incoming::Message(std::mem::take(&mut self.frames)));
            }
        }
    }

    /// The next message. Commands are passed over.
    pub async fn message(&mut self) -> Result<Vec<Vec<u8>>, LinkError> {
        loop {
            if let Incoming::Message(frames) = self.recv().await? {
                return Ok(frames);
            }
        }
    }

    /// The lengths of the next frame's head and of the frame. None: the head has not come yet.
    fn frame_length(&self) -> Result<Option<(usize, usize)>, LinkError> {
        let Some(&flags) = self.came.first() else { return Ok(None) };
        if flags & !(MORE | LONG | COMMAND) != 0 || flags & COMMAND != 0 && flags & MORE != 0 {
            return Err(LinkError::Protocol("a frame with other flags"));
        }
        let (head, length) = match flags & LONG {
            0 => (2, self.came.get(1).map(|&length| u64::from(length))),
            _ => (
                9,
                self.came
                    .get(1..9)
                    .map(|bytes| bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b))),
            ),
        };
        let Some(length) = length else { return Ok(None) };
        let had: usize = self.frames.iter().map(Vec::len).sum();
        match usize::try_from(length) {
            Ok(length) if length <= self.most.saturating_sub(had) => Ok(Some((head, length))),
            _ => Err(LinkError::TooLong(self.most)),
        }
    }

    async fn take(&mut self, count: usize) -> Result<Vec<u8>, LinkError> {
        while self.came.len() < count {
            self.fill().await?;
        }
        Ok(self.came.drain(..count).collect())
    }

    async fn fill(&mut self) -> Result<(), LinkError> {
        self.came.reserve(READ);
        match self.stream.read_buf(&mut self.came).await? {
            0 => Err(LinkError::Closed),
            _ => Ok(()),
        }
    }
}

fn greeting() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    (bytes[0], bytes[9], bytes[10]) = (0xff, 0x7f, 3);
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

fn write_frame(into: &mut Vec<u8>, flags: u8, frame: &[u8]) {
    match u8::try_from(frame.len()) {
        Ok(length) => into.extend([flags, length]),
        Err(_) => {
            into.push(flags | LONG);
            into.extend((frame.len() as u64).to_be_bytes());
        }
    }
    into.extend(frame);
}

/// A command's name and the rest.
fn command(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = frame.split_first()?;
    rest.split_at_checked(usize::from(length))
}

/// The property `Socket-Type` of a `READY`.
fn socket_type(mut body: &[u8]) -> Option<String> {
    while !body.is_empty() {
        let (name, rest) = command(body)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            return Some(String::from_utf8_lossy(value).into_owned());
        }
        body = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair(most: usize) -> (Link<tokio::io::DuplexStream>, Link<tokio::io::DuplexStream>) {
        let (a, b) = tokio::io::duplex(100);
        let (a, b) =
            tokio::join!(Link::open(a, Kind::Dealer, most), Link::open(b, Kind::Router, most));
        (a.unwrap(), b.unwrap())
    }

    #[tokio::test]
    async fn messages_pass_both_ways() {
        let (mut a, mut b) = pair(10_000).await;
        let long = vec![7; 300];
        let frames = [Vec::new(), vec![1, 2, 3], long];
        let (sent, got) = tokio::join!(a.send(&frames), b.recv());
        sent.unwrap();
        assert_eq!(got.unwrap(), Incoming::Message(frames.to_vec()));
        b.send(&[[9u8]]).await.unwrap();
        assert_eq!(a.message().await.unwrap(), [[9]]);
    }

    #[tokio::test]
    async fn a_ping_is_answered_with_its_context() {
        let (mut a, mut b) = pair(10_000).await;
        write_frame(&mut a.leaving, COMMAND, b"\x04PING\0\x0aabc");
        a.send(&[b"x"]).await.unwrap();
        assert_eq!(b.message().await.unwrap(), [b"x"]);
        b.send(&[b"y"]).await.unwrap();
        let pong = Incoming::Command { name: b"PONG".to_vec(), body: b"abc".to_vec() };
        assert_eq!(a.recv().await.unwrap(), pong);
    }

    #[tokio::test]
    async fn waiting_may_be_given_up() {
        let (mut a, mut b) = pair(10_000).await;
        let sending = async {
            for number in 0..50u8 {
                a.send(&[vec![number; 90], vec![number; 400]]).await.unwrap();
            }
        };
        let reading = async {
            let mut next = 0;
            while next < 50u8 {
                let waited = tokio::time::timeout(std::time::Duration::ZERO, b.message()).await;
                match waited {
                    Ok(frames) => {
                        assert_eq!(frames.unwrap(), [vec![next; 90], vec![next; 400]]);
                        next += 1;
                    }
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        tokio::join!(sending, reading);
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_refused_before_it_comes() {
        let (a, mut b) = pair(1_000).await;
        let mut raw = a.stream;
        raw.write_all(&[LONG, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
        assert!(matches!(b.recv().await, Err(LinkError::TooLong(1_000))));
        // Many frames that are short each.
        let (mut a, mut b) = pair(1_000).await;
        let long = [vec![0; 600], vec![0; 600]];
        let got = tokio::select! {
            _ = a.send(&long) => panic!("it does not fit between them"),
            got = b.recv() => got,
        };
        assert!(matches!(got, Err(LinkError::TooLong(1_000))));
    }

    #[tokio::test]
    async fn other_kinds_and_protocols_are_refused() {
        let (a, b) = tokio::io::duplex(1_000);
        let (a, b) = tokio::join!(Link::open(a, Kind::Sub, 100), Link::open(b, Kind::Router, 100));
        assert!(matches!(a, Err(LinkError::Kind(kind, "PUB")) if kind == "ROUTER"));
        assert!(matches!(b, Err(LinkError::Kind(..))));
        let (mut raw, b) = tokio::io::duplex(1_000);
        let http = format!("HTTP/1.1 400 Bad Request\r\n{}\r\n", " ".repeat(64));
        raw.write_all(http.as_bytes()).await.unwrap();
        assert!(matches!(Link::open(b, Kind::Sub, 100).await, Err(LinkError::Protocol(_))));
        let (raw, b) = tokio::io::duplex(1_000);
        drop(raw);
        assert!(Link::open(b, Kind::Sub, 100).await.is_err());
    }

    #[test]
    fn an_endpoint_is_tcp_with_a_host_and_a_port() {
        assert_eq!(endpoint_address("tcp://a.b:1"), Ok("a.b:1"));
        assert_eq!(endpoint_address("tcp://[::1]:80"), Ok("[::1]:80"));
        for wrong in
            ["a:1", "ipc://a", "tcp://a", "tcp://:1", "tcp://a:0", "tcp://a:x", "tcp://a/b:1"]
        {
            let why = format!("'{wrong}', expected tcp://host:port");
            assert_eq!(endpoint_address(wrong), Err(why));
        }
    }
}
