//! The sockets of the simulated network, as the services take them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::Uri;
use turmoil::net::{TcpListener, TcpStream};
use warmpath_proto::sockets::{Accept, Dial, Dialler, Listener, Waiting, Wire};
use warmpath_proto::watched::Watched;

/// Where all processes listen, each on a host of its own.
pub const PORT: u16 = 7_000;
/// Where a worker listens that has something in front of it on the same host.
pub const BEHIND: u16 = 7_001;

/// What one run of a seed leaves: a text to read, and a hash of each byte that went over the network with its
/// instant.
#[derive(Default)]
pub struct Trace {
    pub text: String,
    bytes: blake3::Hasher,
}

impl Trace {
    pub fn line(&mut self, line: &str) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        self.text.push_str(&format!("{:>10.3} {line}\n", at.as_secs_f64()));
    }

    fn sent(&mut self, bytes: &[u8]) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        self.bytes.update(&at.as_nanos().to_le_bytes());
        self.bytes.update(bytes);
    }

    /// Of the text and the bytes.
    pub fn digest(&self) -> String {
        let mut all = self.bytes.clone();
        all.update(self.text.as_bytes());
        all.finalize().to_hex()[..16].to_owned()
    }
}

/// The links of the workers, by number, and after them the one between the clients and the router.
#[derive(Clone)]
pub struct Network {
    pub trace: Arc<Mutex<Trace>>,
    links: Arc<Vec<Link>>,
}

/// All connections of one link.
struct Link {
    /// Changes when they end.
    ended: Watched<()>,
    /// No connection can be made.
    cut: Mutex<bool>,
}

impl Network {
    pub fn new(workers: usize) -> Self {
        let link = |_| Link { ended: Watched::new(()), cut: Mutex::new(false) };
        let links = Arc::new((0..=workers).map(link).collect());
        Self { trace: Arc::default(), links }
    }

    pub fn line(&self, line: &str) {
        self.trace.lock().unwrap().line(line);
    }

    /// From now on, or no longer, bytes to or from a worker are lost.
    pub fn set_cut(&self, worker: usize, cut: bool) {
        *self.links[worker].cut.lock().unwrap() = cut;
    }

    /// The connections of a link end at both ends: the kernel of a process that died says so. Or a kernel found that
    /// they are dead: the simulated TCP never sends a lost byte again.
    pub fn end_connections(&self, link: usize) {
        self.links[link].ended.replace(());
    }

    /// How processes dial.
    pub fn dialler(&self) -> Dialler {
        Dialler::Other(Arc::new(self.clone()))
    }

    /// The link of the clients.
    pub fn clients(&self) -> usize {
        self.links.len() - 1
    }

    /// A listener of the process of a host. Without a link, nothing happens to its connections.
    pub async fn listen(&self, port: u16, link: Option<usize>) -> io::Result<Listener> {
        let listener = TcpListener::bind(("0.0.0.0", port)).await?;
        Ok(Listener::Other(Box::new(Listening { listener, network: self.clone(), link })))
    }

    fn socket(&self, inner: TcpStream, link: Option<usize>) -> Box<dyn Wire> {
        let ended: Pin<Box<dyn Future<Output = ()> + Send>> = match link {
            None => Box::pin(std::future::pending()),
            Some(link) => {
                let mut ended = self.links[link].ended.watch();
                Box::pin(async move { ended.changed().await })
            }
        };
        Box::new(Socket { inner, ended, trace: Arc::clone(&self.trace) })
    }
}

struct Listening {
    listener: TcpListener,
    network: Network,
    link: Option<usize>,
}

impl Accept for Listening {
    fn accept(&self) -> Waiting<'_, (Box<dyn Wire>, SocketAddr)> {
        Box::pin(async {
            let (socket, address) = self.listener.accept().await?;
            Ok((self.network.socket(socket, self.link), address))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Dial for Network {
    fn dial(&self, to: Uri) -> Waiting<'static, Box<dyn Wire>> {
        let network = self.clone();
        Box::pin(async move {
            let host = to.host().unwrap_or_default().to_owned();
            let link = match &*host {
                "router" => Some(network.clients()),
                other => other.strip_prefix('w').and_then(|number| number.parse().ok()),
            };
            if link.is_some_and(|link| *network.links[link].cut.lock().unwrap()) {
                // The first packet is lost, again and again.
                std::future::pending::<()>().await;
            }
            let socket = TcpStream::connect((host, to.port_u16().unwrap_or(PORT))).await?;
            Ok(network.socket(socket, link))
        })
    }
}

/// A connection whose bytes are noted.
struct Socket {
    inner: TcpStream,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    trace: Arc<Mutex<Trace>>,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended.as_mut().poll(cx).is_ready() {
            self.ended = Box::pin(std::future::ready(()));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = written {
            self.trace.lock().unwrap().sent(&bytes[..written]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
