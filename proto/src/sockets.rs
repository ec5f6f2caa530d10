//! Sockets: TCP, or what a test puts in its place.
//!
//! A process that is given nothing else listens and dials by TCP. A simulated network implements [`Accept`]
//! and [`Dial`].

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Uri;

/// The bytes of a connection, both ways.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// What comes of waiting for a socket.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Where connections come from, in place of a TCP listener.
pub trait Accept: Send + Sync {
    /// The next connection, and who made it.
    fn accept(&self) -> Waiting<'_, (Box<dyn Wire>, SocketAddr)>;
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Makes connections, in place of TCP.
pub trait Dial: Send + Sync {
    fn dial(&self, to: Uri) -> Waiting<'static, Box<dyn Wire>>;
}

/// Where the connections of a server come from.
pub enum Listener {
    Tcp(TcpListener),
    Other(Box<dyn Accept>),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl Listener {
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Other(listener) => listener.local_addr(),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, address) = listener.accept().await?;
                // Nagle's delay makes small messages wait for 40 ms. A peer that is gone again is found
                // when it is read from.
                let _ = socket.set_nodelay(true);
                Ok((Accepted::Tcp(socket), address))
            }
            Self::Other(listener) => {
                let (socket, address) = listener.accept().await?;
                Ok((Accepted::Other(socket), address))
            }
        }
    }
}

/// How connections to others are made.
#[derive(Clone, Default)]
pub enum Dialler {
    #[default]
    Tcp,
    Other(Arc<dyn Dial>),
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "Tcp",
            Self::Other(_) => "Other",
        })
    }
}

/// A connection that was accepted.
pub(crate) enum Accepted {
    Tcp(TcpStream),
    Other(Box<dyn Wire>),
}

/// Calls the same method of whatever the socket is.
macro_rules! inner {
    ($socket:expr, $inner:ident => $call:expr) => {
        match $socket.get_mut() {
            Accepted::Tcp(socket) => {
                let $inner = Pin::new(socket);
                $call
            }
            Accepted::Other(socket) => {
                let $inner = Pin::new(socket);
                $call
            }
        }
    };
}

impl AsyncRead for Accepted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        inner!(self, socket => socket.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        inner!(self, socket => socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inner!(self, socket => socket.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.is_write_vectored(),
            Self::Other(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, socket => socket.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, socket => socket.poll_shutdown(cx))
    }
}
