//! A client of HTTP/1.1 for tests: one request a connection, and its answer as it came.

#![allow(dead_code)] // Each test uses its part of this.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer takes longer, or its test has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut named = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error's field and its message.
    pub fn error(&self) -> (Option<String>, String) {
        let json = self.json();
        let error = json["error"].as_object().unwrap_or_else(|| panic!("{self:?}"));
        let mut names: Vec<_> = error.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["code", "message", "param", "type"], "{self:?}");
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        (text("param"), text("message").expect("a message"))
    }

    /// The data of the events of a stream.
    pub fn events(&self) -> Vec<String> {
        assert!(self.body.ends_with("\n\n"), "{self:?}");
        let lines = self.body.lines().filter(|line| !line.is_empty() && !line.starts_with(':'));
        lines.map(|line| line.strip_prefix("data: ").expect("data").to_owned()).collect()
    }
}

/// A request's bytes.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    text + "\r\n" + body
}

/// Sends bytes, and reads until the other side closes. None: it closed without an answer.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Option<Reply> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // It may answer, and close, before it has read all.
    let _ = socket.write_all(bytes).await;
    read(&mut socket).await
}

/// Reads an answer until the other side closes.
pub async fn read(socket: &mut TcpStream) -> Option<Reply> {
    let mut all = Vec::new();
    let ended = tokio::time::timeout(LIMIT, async {
        let mut part = [0; 4_096];
        while let Ok(length @ 1..) = socket.read(&mut part).await {
            all.extend_from_slice(&part[..length]);
        }
    });
    ended.await.expect("an end in time");
    let text = String::from_utf8(all).expect("text");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { whole(body) } else { body.to_owned() };
    Some(Reply { status, head: head.to_owned(), body })
}

/// A body without its chunks' lengths.
fn whole(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).expect("a length");
        body.push_str(&rest[..length.min(rest.len())]);
        if length == 0 {
            return body;
        }
        chunks = rest.get(length + 2..).unwrap_or_default();
    }
    body
}

pub async fn get(address: SocketAddr, path: &str) -> Reply {
    exchange(address, request("GET", path, &[], "").as_bytes()).await.expect("an answer")
}

pub async fn post(address: SocketAddr, path: &str, body: &str) -> Reply {
    post_with(address, path, &[], body).await
}

pub async fn post_with(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let bytes = request("POST", path, headers, body);
    exchange(address, bytes.as_bytes()).await.expect("an answer")
}
