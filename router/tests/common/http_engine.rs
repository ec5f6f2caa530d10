//! Stand-ins for engines over HTTP.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// An engine that answers each completion with the same bytes.
pub struct Said {
    pub url: String,
    /// The heads of the completions that came.
    pub heads: Arc<Mutex<Vec<String>>>,
}

impl Said {
    /// `completion`: a whole response, after which the connection closes.
    pub async fn start(completion: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (seen, completion) = (Arc::clone(&heads), Arc::new(completion));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, completion) = (Arc::clone(&seen), Arc::clone(&completion));
                tokio::spawn(answer(stream, seen, completion));
            }
        });
        Self { url, heads }
    }
}

async fn answer(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>, completion: Arc<Vec<u8>>) {
    let Some((head, mut body)) = head(&mut stream).await else { return };
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    while body.len() < length {
        let mut part = vec![0; 65_536];
        let read = stream.read(&mut part).await.unwrap();
        body.extend_from_slice(&part[..read]);
    }
    if head.starts_with("GET /v1/models ") {
        let json = r#"{"object": "list", "data": [{"id": "m", "max_model_len": 4096}]}"#;
        let _ = stream.write_all(response("200 OK", "application/json", json).as_bytes()).await;
    } else if head.starts_with("GET /health ") {
        let _ = stream.write_all(response("200 OK", "text/plain", "").as_bytes()).await;
    } else {
        seen.lock().unwrap().push(head);
        let _ = stream.write_all(&completion).await;
    }
}

/// A whole response.
pub fn response(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// The head of a request, and what came of its body.
async fn head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        if let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = all.split_off(end + 4);
            return Some((String::from_utf8(all).unwrap(), rest));
        }
        let mut part = [0; 4_096];
        match stream.read(&mut part).await {
            Ok(read @ 1..) => all.extend_from_slice(&part[..read]),
            _ => return None,
        }
    }
}

pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut named = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value)
}

/// One address before several engines, as that of an engine with data-parallel ranks: a connection goes where the
/// header of its first request says. Our client has a connection for one rank only.
/// Also counts the connections.
pub async fn ranked(engines: Vec<SocketAddr>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let engines = engines.clone();
            tokio::spawn(async move {
                let Some((head, body)) = head(&mut stream).await else { return };
                let rank = header(&head, "x-data-parallel-rank").expect("a rank");
                let engine = engines[rank.parse::<usize>().unwrap()];
                let mut engine = TcpStream::connect(engine).await.unwrap();
                engine.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut engine).await;
            });
        }
    });
    (url, connections)
}
