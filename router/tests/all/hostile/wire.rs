//! HTTP/2 as bytes on a TCP socket.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use warmpath_proto::raw::Bytes;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A connection.
pub struct Wire(pub TcpStream);

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The metadata of a call, each field as a literal.
pub fn call(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "router"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    usual.iter().chain(more).flat_map(|(name, value)| field(name, value)).collect()
}

/// One field of it.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0x10];
    for text in [name, value] {
        number(text.len(), &mut block);
        block.extend(text.as_bytes());
    }
    block
}

/// HPACK's number with a prefix of 7 bits.
fn number(mut n: usize, out: &mut Vec<u8>) {
    if n < 127 {
        return out.push(n as u8);
    }
    out.push(127);
    n -= 127;
    while n >= 128 {
        out.push((n % 128 + 128) as u8);
        n /= 128;
    }
    out.push(n as u8);
}

/// A gRPC message, cut into frames of 16 KiB.
pub fn message(stream: u32, message: &[u8], ends: bool) -> Vec<u8> {
    let mut body = vec![0];
    body.extend((message.len() as u32).to_be_bytes());
    body.extend(message);
    let parts = body.chunks(16 << 10);
    let last = parts.len() - 1;
    let flags = |i| if i == last && ends { END_STREAM } else { 0 };
    parts.enumerate().flat_map(|(i, part)| frame(DATA, flags(i), stream, part)).collect()
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self(socket)
    }

    /// A connection that has said what every client says first, with these settings.
    pub async fn open(address: SocketAddr, settings: &[u8]) -> Self {
        let mut wire = Self::connect(address).await;
        let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, settings)];
        wire.send(&hello.concat()).await;
        wire
    }

    /// Sends, if the connection is still there.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Whether the router ends the connection within this time. What it says until then is read.
    pub async fn ends_within(&mut self, limit: Duration) -> bool {
        let mut buffer = [0; 16 << 10];
        timeout(limit, async { while matches!(self.0.read(&mut buffer).await, Ok(1..)) {} })
            .await
            .is_ok()
    }

    /// The next frame of this kind: its flags, its stream and its payload.
    pub async fn next(&mut self, kind: u8) -> Option<(u8, u32, Vec<u8>)> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let [a, b, c, is, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            if is == kind {
                return Some((flags, u32::from_be_bytes(stream), payload));
            }
        }
    }

    /// Lets the router send as much as it likes.
    pub async fn widen(&mut self) {
        self.send(&frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes())).await;
    }
}

/// The `grpc-status` of a call on a connection of its own. `body`: gRPC's framing included. The error is
/// what broke.
pub async fn status_of(
    address: SocketAddr,
    path: &str,
    body: impl Into<Bytes>,
    metadata: &[(&str, &str)],
) -> Result<(u32, String), String> {
    use tonic::codegen::http;
    let failed = |error: h2::Error| error.to_string();
    let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut client, connection) = h2::client::handshake(socket).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let mut head = http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in metadata {
        head = head.header(*name, *value);
    }
    let (answer, mut sending) =
        client.send_request(head.body(()).unwrap(), false).map_err(failed)?;
    // The router may answer before it has read all.
    let _ = sending.send_data(body.into(), true);
    let (head, mut body) = answer.await.map_err(failed)?.into_parts();
    let mut headers = head.headers;
    if !headers.contains_key("grpc-status") {
        while let Some(data) = body.data().await {
            let length = data.map_err(failed)?.len();
            body.flow_control().release_capacity(length).map_err(failed)?;
        }
        headers.extend(body.trailers().await.map_err(failed)?.unwrap_or_default());
    }
    connection.abort();
    let status = tonic::Status::from_header_map(&headers).ok_or(format!("{}", head.status))?;
    Ok((status.code() as u32, status.message().to_owned()))
}

/// A message with gRPC's framing.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}
