//! What is around a worker or a pool.

use crate::lateness::Lateness;
use crate::turns::Place;
use warmpath_proto::clock;
use warmpath_proto::sockets::Dialler;

/// What is around a worker or a pool. The default is a process of its own.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// A number for this life. A restart must have a higher one.
    pub epoch: u64,
    /// How pools, peers and prefill workers are reached.
    pub dialler: Dialler,
    /// What the engine or the pool runs on.
    pub place: Place,
    /// Where it is added up how late the engine or the pool was.
    pub lateness: Lateness,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            epoch: clock::life(),
            dialler: Dialler::Tcp,
            place: Place::Thread,
            lateness: Lateness::default(),
        }
    }
}
