//! What routers believe of the speed of workers, where that is wrong.

use crate::scenario::Scenario;
use warmpath_core::event::WorkerInfo;
use warmpath_core::rng::Rng;

/// Which random numbers of a world these are.
const STREAM: u64 = 0x62_656c;

/// How wrong the routers are.
#[derive(Clone, Copy, Debug)]
pub struct Beliefs {
    seed: u64,
    speed_error: f64,
}

impl Beliefs {
    pub fn new(scenario: &Scenario) -> Self {
        Self { seed: scenario.seed, speed_error: scenario.routers.speed_error }
    }

    /// What the routers are told of a worker. Each life of it is believed to be as fast as the one before.
    pub fn of(&self, mut info: WorkerInfo) -> WorkerInfo {
        if self.speed_error == 0.0 {
            return info;
        }
        let worker = u64::from(info.worker.0);
        let drawn = Rng::named(self.seed, &[STREAM, worker]).unit() * 2.0 - 1.0;
        let off = 1.0 + self.speed_error * drawn.abs();
        let times = if drawn < 0.0 { 1.0 / off } else { off };
        let prefill = &mut info.prefill;
        for cost in [
            &mut prefill.step_ns,
            &mut prefill.floor_ns,
            &mut prefill.ns_per_token,
            &mut prefill.ns_per_pair,
        ] {
            *cost *= times;
        }
        if let Some(decode) = &mut info.decode {
            for cost in
                [&mut decode.step_ns, &mut decode.ns_per_seq, &mut decode.ns_per_context_token]
            {
                *cost *= times;
            }
        }
        info
    }
}
