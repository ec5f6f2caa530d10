//! The accept loop of every listener, and the life of a connection.

use super::addresses::{Addresses, Place};
use super::body::Receiving;
use super::limits::{Limits, Note, Times};
use super::socket::{Guarded, Socket};
use super::streams::{Answer, Calls, Runner};
use super::upload::Upload;
use crate::clock::now;
use crate::deadline::{DeadlineLayer, passed};
use crate::sockets::{Accepted, Listener};
use crate::status::of_undecodable;
use crate::tls::Serving;
use crate::watched::{Watched, Watcher};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::codegen::{Service, http};
use tonic::service::Routes;
use tower_layer::Layer;

/// A server may ping as it likes: gRPC clients only answer. So it learns of a client that is gone.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of one answer may wait in the listener for its client.
const UNSENT: usize = 256 << 10;
/// A TLS handshake of the fleet's own.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection that is asked to close may take, if nothing is under way.
const CLOSE: Duration = Duration::from_secs(10);
/// The call of probes, which is answered at once. It must not wait for others.
const CHECK: &str = "/grpc.health.v1.Health/Check";
/// The least room that hyper has for the head of a request by HTTP/1.1.
const LEAST_HEAD: u32 = 8 << 10;
/// After an accept that failed: the process has too many files open.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What a listener speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/2 only, with gRPC's frames.
    Grpc,
    /// HTTP/1.1 and HTTP/2.
    Http,
}

/// What a listener serves, and how.
#[derive(Clone)]
pub struct Listening {
    pub protocol: Protocol,
    pub routes: Routes,
    pub limits: Limits,
    /// None: plain text.
    pub tls: Option<Serving>,
    pub note: Note,
}

impl Listening {
    /// For processes of the fleet.
    pub fn fleet(routes: Routes, tls: Option<Serving>) -> Self {
        let (limits, note): (_, Note) = (Limits::FLEET, Arc::new(|_| ()));
        Self { protocol: Protocol::Grpc, routes, limits, tls, note }
    }
}

/// Serves until `closed`, then waits for the open connections. Dropped, it cuts them.
pub async fn serve(
    listener: impl Into<Listener>,
    listening: Listening,
    closed: impl Future<Output = ()>,
) {
    let listener = listener.into();
    let addresses = Addresses::new(listening.limits);
    let close = Watched::new(());
    let closing = close.watch();
    let mut connections = JoinSet::new();
    let mut closed = pin!(closed);
    let mut number = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut closed => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted.map(|(socket, address)| (socket, addresses.enter(address.ip()))) {
            Ok((socket, Ok(place))) => {
                number += 1;
                let connection = Connection {
                    listening: listening.clone(),
                    place: Arc::new(place),
                    calls: Calls::new(),
                    number,
                };
                connections.spawn(connection.live(socket, closing.clone()));
            }
            Ok((_, Err(why))) => (listening.note)(why),
            Err(_) => {
                (listening.note)("accept");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    close.replace(());
    while connections.join_next().await.is_some() {}
}

struct Connection {
    listening: Listening,
    place: Arc<Place>,
    calls: Arc<Calls>,
    /// Of this connection, counted from 1.
    number: u64,
}

impl Connection {
    async fn live(self, socket: Accepted, mut closing: Watcher<()>) {
        let note = Arc::clone(&self.listening.note);
        let times = self.listening.limits.times;
        let opened = now();
        let socket = match &self.listening.tls {
            None => Socket::Plain(socket),
            Some(tls) => {
                let accepted = tls.acceptor().accept(socket);
                let limit = times.map_or(HANDSHAKE, |times| times.handshake);
                match tokio::time::timeout(limit, accepted).await {
                    Ok(Ok(socket)) => Socket::Tls(Box::new(socket)),
                    Ok(Err(_)) => return note("tls"),
                    Err(_) => return note("handshake"),
                }
            }
        };
        let limits = (&self.listening.limits, self.listening.protocol == Protocol::Http);
        let io = TokioIo::new(Guarded::new(socket, limits, &self.calls, &note));
        let age = times.map(|times| opened + spread(times.age, self.number));
        let calls = Arc::clone(&self.calls);
        let builder = self.builder();
        let mut served = pin!(builder.serve_connection(io, self.service()));
        let mut cut_at = None;
        loop {
            let next = cut_at.or_else(|| next_look(times, age, &calls));
            tokio::select! {
                biased;
                // Why a connection broke is its client's affair.
                _ = served.as_mut() => return,
                () = closing.changed(), if cut_at.is_none() => {
                    // The server decides how long it waits.
                    served.as_mut().graceful_shutdown();
                }
                () = passed(next) => {
                    if cut_at.is_some() {
                        return note("close");
                    }
                    if let Some(grace) = times.and_then(|times| over(times, age, &calls)) {
                        served.as_mut().graceful_shutdown();
                        cut_at = Some(now() + grace);
                    }
                }
            }
        }
    }

    fn builder(&self) -> Builder<Runner> {
        let limits = &self.listening.limits;
        let runner = Runner {
            calls: Arc::clone(&self.calls),
            stall: limits.times.map(|times| times.stall),
            note: Arc::clone(&self.listening.note),
        };
        let mut builder = Builder::new(runner);
        if self.listening.protocol == Protocol::Grpc {
            builder = builder.http2_only();
        }
        // How long a request may take to begin is watched where its bytes come in.
        let head = limits.header_bytes.max(LEAST_HEAD) as usize;
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(head);
        builder
            .http2()
            .timer(TokioTimer::new())
            .initial_connection_window_size(limits.connection_window)
            .initial_stream_window_size(limits.stream_window)
            .max_frame_size(limits.frame_bytes)
            .max_header_list_size(limits.header_bytes)
            .max_concurrent_streams(limits.streams_per_connection)
            .max_pending_accept_reset_streams(limits.pending_resets)
            .max_send_buf_size(UNSENT)
            // gRPC has no use for the date of an answer.
            .auto_date_header(false)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        builder
    }

    /// The services around each call.
    fn service(
        &self,
    ) -> impl hyper::service::Service<
        http::Request<Incoming>,
        Response = http::Response<Answer>,
        Error = Infallible,
        Future = impl Future<Output = Result<http::Response<Answer>, Infallible>> + Send + use<>,
    > + use<> {
        let routes = DeadlineLayer.layer(self.listening.routes.clone());
        let (place, calls) = (Arc::clone(&self.place), Arc::clone(&self.calls));
        let (limits, protocol) = (self.listening.limits, self.listening.protocol);
        service_fn(move |request: http::Request<Incoming>| {
            // By HTTP/2 the call's task counts it.
            let under = (request.version() < http::Version::HTTP_2).then(|| calls.begin());
            let (head, body) = request.into_parts();
            // These are for everybody and may last, so there are not many of them.
            let path = head.uri.path();
            let is_grpc = protocol == Protocol::Grpc;
            let lasts = is_grpc && path.starts_with("/grpc.") && path != CHECK;
            let probe = lasts.then(|| place.probe());
            let body = match limits.times {
                None => tonic::body::Body::new(body),
                Some(times) => {
                    let limits = (&limits, times.body);
                    if is_grpc {
                        tonic::body::Body::new(Receiving::new(body, path, &place, limits))
                    } else {
                        tonic::body::Body::new(Upload::new(body, &place, limits))
                    }
                }
            };
            let (mut routes, calls) = (routes.clone(), Arc::clone(&calls));
            async move {
                if let Some(None) = probe {
                    let status = Status::resource_exhausted("too many calls without a token");
                    return Ok(status.into_http().map(|body| Answer::new(body, &calls, None)));
                }
                let mut answer = routes.call(http::Request::from_parts(head, body)).await?;
                if is_grpc {
                    answer = of_undecodable(answer);
                }
                let held = probe.flatten();
                Ok(answer.map(|body| Answer::new(body, &calls, held).under(under)))
            }
        })
    }
}

/// Connections that were opened together are not closed together: up to a tenth sooner or later.
fn spread(age: Duration, number: u64) -> Duration {
    let golden = 0.618_033_988_749_895;
    age.mul_f64(0.9 + 0.2 * (number as f64 * golden).fract())
}

/// When a connection may have become too old or idle.
fn next_look(times: Option<Times>, age: Option<Instant>, calls: &Calls) -> Option<Instant> {
    let since = calls.idle_since().unwrap_or_else(now);
    [age, times.map(|times| since + times.idle)].into_iter().flatten().min()
}

/// How long a connection may still take that is too old or idle.
fn over(times: Times, age: Option<Instant>, calls: &Calls) -> Option<Duration> {
    let now = now();
    if age.is_some_and(|age| now >= age) {
        return Some(times.age_grace);
    }
    let idle = calls.idle_since().is_some_and(|since| now >= since + times.idle);
    idle.then_some(CLOSE)
}
