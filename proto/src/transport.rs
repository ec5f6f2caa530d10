//! The settings of all listeners and connections.
//!
//! One HTTP/2 connection carries many streams. h2 ends all of them if too many small frames wait unread
//! or too many streams are reset early. So windows are wide, and workers tolerate bursts of cancels.

use crate::deadline::DeadlineLayer;
use std::time::Duration;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Endpoint, Error, Server};
use tower_layer::{Identity, Stack};

/// The largest message a generate call may carry, in bytes: a prompt of 4 million tokens.
pub const MAX_GENERATE_BYTES: usize = 16 << 20;
/// The largest message of a worker's feed, in bytes. Snapshots come in chunks far below it; the batch of
/// one step is one message.
pub const MAX_FEED_BYTES: usize = 64 << 20;

const CONNECTION_WINDOW: u32 = 64 << 20;
const STREAM_WINDOW: u32 = 4 << 20;
/// Prompts have tens of kilobytes. In frames of the default 16 KiB, each one takes the connection's task
/// several turns.
const FRAME: u32 = 1 << 20;
/// The most early cancels that may be pending before a listener drops the connection.
pub const PENDING_RESETS: usize = 100_000;
/// More than 1 s: if the first packet is lost because the listener's queue is full, TCP resends it after
/// 1 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A gRPC-core server counts a ping that comes less than 5 minutes after the one before, unless it
/// sent data meanwhile, or while no call is open. It ends the connection at the third such ping
/// ("too_many_pings"). This is above its 5 minutes by what a network may shift two pings.
const PING_INTERVAL: Duration = Duration::from_secs(330);
/// A server may ping as it likes: gRPC clients only answer. So it learns of a client that is gone.
const SERVER_PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// A host that is gone is found by the kernel: no server sees these probes, so none can object.
const TCP_KEEPALIVE: Duration = Duration::from_secs(5);
const TCP_PROBES: u32 = 3;
/// The most bytes that the metadata of a call may have, by HTTP/2's count: 32 for each entry beside
/// its name and value.
pub const MAX_METADATA_BYTES: u32 = 16 << 10;

/// What is around the services of a listener.
pub type Around = Stack<DeadlineLayer, Identity>;

/// A server with our windows and limits. It accepts any ping.
pub fn server() -> Server<Around> {
    Server::builder()
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME)
        .http2_max_header_list_size(MAX_METADATA_BYTES)
        .http2_keepalive_interval(Some(SERVER_PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .layer(DeadlineLayer)
}

/// A connection that opens on first use and reopens after it breaks. Its streams end some 20 s after
/// the peer's host is gone. Whether a worker's process is stuck, its feed shows. The error is an
/// invalid URL.
pub fn channel(url: &str) -> Result<Channel, Error> {
    Ok(Endpoint::from_shared(url.to_owned())?
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(Some(TCP_KEEPALIVE))
        .tcp_keepalive_interval(Some(TCP_KEEPALIVE))
        .tcp_keepalive_retries(Some(TCP_PROBES))
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(false)
        .connect_lazy())
}

/// Accepted sockets without Nagle's delay, which makes small messages wait for 40 ms. tonic ignores its
/// own `tcp_nodelay` for connections that it does not accept itself.
pub fn accept(
    listener: tokio::net::TcpListener,
) -> impl Stream<Item = std::io::Result<tokio::net::TcpStream>> {
    tokio_stream::wrappers::TcpListenerStream::new(listener).map(|socket| {
        let socket = socket?;
        socket.set_nodelay(true)?;
        Ok(socket)
    })
}
