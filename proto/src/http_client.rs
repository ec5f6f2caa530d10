//! A client of HTTP/1.1: engines that speak OpenAI's HTTP speak no HTTP/2 in plain text. A request has a connection to
//! itself, which is kept for later ones.

use crate::sockets::Wire;
use crate::transport::{Dialling, dial};
use http_body::Body;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::codegen::{Service, StdError as BoxError};
use tonic::transport::Uri;

/// Less than the 5 s after which Python's servers close a connection that is not used: a request that is sent at that
/// moment would fail.
const IDLE: Duration = Duration::from_secs(3);
/// The most connections to one server that are kept without a request.
const KEPT: usize = 64;

/// A client whose requests have bodies of this kind.
pub type HttpClient<B> = Client<Connector, B>;

/// A client. `https://` URLs need `how.tls`.
pub fn http_client<B>(how: &Dialling) -> HttpClient<B>
where
    B: Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(KEPT)
        .build(Connector(how.clone()))
}

/// Makes the connections.
#[derive(Clone, Debug)]
pub struct Connector(Dialling);

impl Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Dialling { tls, dialler } = self.0.clone();
        Box::pin(async move {
            let host = to.host().unwrap_or_default().to_owned();
            let is_secure = to.scheme_str() == Some("https");
            let socket = dial(&dialler, to).await?;
            Ok(TokioIo::new(Socket(match (is_secure, tls) {
                (false, _) => socket,
                (true, Some(tls)) => Box::new(tls.secure_for_http(&host, socket).await?),
                (true, None) => return Err("https without certificates".into()),
            })))
        })
    }
}

/// A connection.
pub struct Socket(Box<dyn Wire>);

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
