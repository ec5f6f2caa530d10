//! The settings of all connections to others.
//!
//! One HTTP/2 connection carries many streams. h2 ends all of them if too many small frames wait unread.
//! So windows are wide.

use crate::listening::Limits;
use crate::sockets::{Dial, Dialler, Waiting, Wire};
use crate::tls::Upstream;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::codegen::http::uri::Authority;
use tonic::codegen::{Service, StdError as BoxError};
use tonic::transport::{Channel, Endpoint, Error, Uri};

/// The largest message a generate call may carry, in bytes: a prompt of 4 million tokens.
pub const MAX_GENERATE_BYTES: usize = 16 << 20;
/// The largest message of a worker's feed, in bytes. Snapshots come in chunks far below it; the batch of
/// one step is one message.
pub const MAX_FEED_BYTES: usize = 64 << 20;

/// More than 1 s: if the first packet is lost because the listener's queue is full, TCP resends it after
/// 1 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A gRPC-core server counts a ping that comes less than 5 minutes after the one before, unless it
/// sent data meanwhile, or while no call is open. It ends the connection at the third such ping
/// ("too_many_pings"). This is above its 5 minutes by what a network may shift two pings.
const PING_INTERVAL: Duration = Duration::from_secs(330);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// A host that is gone is found by the kernel: no server sees these probes, so none can object.
const TCP_KEEPALIVE: Duration = Duration::from_secs(5);
const TCP_PROBES: u32 = 3;

/// A connection in plain text, as [`channel_with`].
pub fn channel(url: &str) -> Result<Channel, Error> {
    channel_with(url, &Dialling::default())
}

/// How others are reached.
#[derive(Clone, Default, Debug)]
pub struct Dialling {
    /// For `https://` URLs.
    pub tls: Option<Upstream>,
    pub dialler: Dialler,
}

impl From<Option<Upstream>> for Dialling {
    fn from(tls: Option<Upstream>) -> Self {
        Self { tls, dialler: Dialler::Tcp }
    }
}

/// A connection that opens on first use and reopens after it breaks. Its streams end some 20 s after
/// the peer's host is gone. Whether a worker's process is stuck, its feed shows. `https://` URLs need
/// `how.tls`, others do not use it. The error is an invalid URL.
pub fn channel_with(url: &str, how: &Dialling) -> Result<Channel, Error> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    let tls = how.tls.as_ref().filter(|_| url.starts_with("https://"));
    // tonic would take the certificates as they are now. So it is told of plain text, and the connector adds TLS.
    let endpoint = match tls {
        None => endpoint,
        Some(_) => in_plain_text(endpoint.uri())?.origin(endpoint.uri().clone()),
    };
    let endpoint = endpoint
        .initial_connection_window_size(Limits::FLEET.connection_window)
        .initial_stream_window_size(Limits::FLEET.stream_window)
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(Some(TCP_KEEPALIVE))
        .tcp_keepalive_interval(Some(TCP_KEEPALIVE))
        .tcp_keepalive_retries(Some(TCP_PROBES))
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(false);
    Ok(match (&how.dialler, tls) {
        (Dialler::Tcp, None) => endpoint.connect_lazy(),
        (dialler, tls) => {
            let connector = Connector { dialler: dialler.clone(), tls: tls.cloned() };
            endpoint.connect_with_connector_lazy(connector)
        }
    })
}

/// The same, to one of the addresses behind the URL's host. The URL's host is still what the certificate must
/// name.
pub fn channel_at(url: &str, address: SocketAddr, how: &Dialling) -> Result<Channel, Error> {
    let dialler = Dialler::Other(Arc::new(To(address)));
    channel_with(url, &Dialling { tls: how.tls.clone(), dialler })
}

/// Goes to one address, whatever the URL says.
struct To(SocketAddr);

impl Dial for To {
    fn dial(&self, _: Uri) -> Waiting<'static, Box<dyn Wire>> {
        let address = self.0;
        Box::pin(async move {
            let socket = TcpStream::connect(address).await?;
            let _ = socket.set_nodelay(true);
            Ok(Box::new(socket) as Box<dyn Wire>)
        })
    }
}

/// The same host and port, by `http://`.
fn in_plain_text(url: &Uri) -> Result<Endpoint, Error> {
    let authority = url.authority().map_or("", Authority::as_str);
    let port = if url.port().is_some() { "" } else { ":443" };
    Endpoint::from_shared(format!("http://{authority}{port}"))
}

/// Makes the connections that tonic does not make by itself.
struct Connector {
    dialler: Dialler,
    tls: Option<Upstream>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Wire>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (dialler, tls) = (self.dialler.clone(), self.tls.clone());
        Box::pin(async move {
            let host = to.host().unwrap_or_default().to_owned();
            let socket = dial(&dialler, to).await?;
            Ok(TokioIo::new(match tls {
                None => socket,
                Some(tls) => Box::new(tls.secure(&host, socket).await?),
            }))
        })
    }
}

/// A connection in plain text.
pub(crate) async fn dial(dialler: &Dialler, to: Uri) -> Result<Box<dyn Wire>, BoxError> {
    Ok(match dialler {
        Dialler::Tcp => Box::new(tcp().call(to).await?.into_inner()),
        Dialler::Other(dial) => dial.dial(to).await?,
    })
}

/// As tonic makes TCP connections with the settings of [`channel_with`].
fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(TCP_KEEPALIVE));
    tcp.set_keepalive_interval(Some(TCP_KEEPALIVE));
    tcp.set_keepalive_retries(Some(TCP_PROBES));
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp
}
