//! From the start of a server to its end, the same for workers and pools and for every front.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long connections may take to close at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A process with an engine or a pool behind a front.
#[derive(Debug)]
pub struct Lifecycle<'a> {
    /// Its name in logs.
    pub name: &'a str,
    /// Tells the services to refuse new work.
    pub draining: &'a AtomicBool,
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    AsAsked,
    /// The engine's or the pool's thread panicked.
    ThreadLost,
}

impl Lifecycle<'_> {
    /// Serves until `shutdown`, or until the thread behind the front has `stopped` by itself. On
    /// `shutdown` the thread is told to `drain` and goes on until it stops. `close` ends `server`;
    /// `unhealthy` tells probes that the process ends.
    pub async fn run<E>(
        &self,
        (server, close): (impl Future<Output = Result<(), E>>, oneshot::Sender<()>),
        unhealthy: impl Future<Output = ()>,
        (shutdown, mut stopped): (impl Future<Output = ()>, oneshot::Receiver<()>),
        drain: impl FnOnce(),
    ) -> Result<Ended, E> {
        let mut server = std::pin::pin!(server);
        let ended = tokio::select! {
            biased;
            result = &mut server => return result.map(|()| Ended::AsAsked),
            ended = &mut stopped => Some(ended),
            () = shutdown => None,
        };
        self.draining.store(true, Ordering::Release);
        unhealthy.await;
        let ended = match ended {
            Some(ended) => ended,
            None => {
                tracing::info!(name = self.name, "draining");
                drain();
                tokio::select! {
                    biased;
                    result = &mut server => return result.map(|()| Ended::AsAsked),
                    ended = &mut stopped => ended,
                }
            }
        };
        let _ = close.send(());
        match tokio::time::timeout(CLOSE_TIMEOUT, server).await {
            Ok(result) => result?,
            Err(_) => tracing::warn!(name = self.name, "connections were cut off"),
        }
        Ok(if ended.is_ok() { Ended::AsAsked } else { Ended::ThreadLost })
    }
}
