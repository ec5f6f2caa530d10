//! Why a worker or a pool cannot serve, or stopped.

use crate::config::ConfigError;
use crate::front::grpc::listener::FrontError;
use crate::lifecycle::Ended;

/// Why a worker or a pool cannot serve, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the engine's thread did not start: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the engine has stopped: an invariant broke")]
    Engine,
    #[error("{url}: {why}, expected http://host:port or https://host:port")]
    Pool { url: String, why: String },
    #[error(transparent)]
    Front(#[from] FrontError),
}

impl Ended {
    /// An error if the thread behind the front panicked.
    pub const fn ok(self) -> Result<(), ServeError> {
        match self {
            Self::AsAsked => Ok(()),
            Self::ThreadLost => Err(ServeError::Engine),
        }
    }
}
