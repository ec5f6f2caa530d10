//! The points of a sweep: the scenario with one value of each axis.

use crate::args::{Axis, AxisArg, CourseArgs, Rate, StageArg};
use crate::files::bad;
use crate::setup::{Course, Fleet, Setup};
use anyhow::Result;
use warmpath_core::engine::profile::Profile;
use warmpath_sim::{Fault, FaultKind};

/// The most points of a sweep.
const MOST_POINTS: usize = 10_000;

/// The scenario with one value of each axis.
pub struct Point {
    /// Each axis with its value: "workers 8, memory 2x".
    pub name: String,
    /// In the order of the axes.
    pub values: Vec<f64>,
    pub setup: Setup,
    /// How many times as many requests a drawn workload has.
    pub stretch: f64,
    /// The phases of a step in the load.
    pub course: Option<Course>,
}

/// All combinations, the values of the last axis next to each other. An error says which axis does not fit.
pub fn points(setup: &Setup, axes: &[AxisArg], phase_s: f64) -> Result<Vec<Point>> {
    for (i, one) in axes.iter().enumerate() {
        if axes[..i].iter().any(|other| other.axis == one.axis) {
            return Err(bad(format!("--axis: {} is given twice", one.axis.name())));
        }
    }
    let count = axes.iter().map(|axis| axis.values.len()).fold(1, usize::saturating_mul);
    if count > MOST_POINTS {
        return Err(bad(format!("--axis: {count} points, expected at most {MOST_POINTS}")));
    }
    (0..count).map(|place| point(setup, axes, place, phase_s)).collect()
}

fn point(setup: &Setup, axes: &[AxisArg], mut place: usize, phase_s: f64) -> Result<Point> {
    let mut values = vec![0.0; axes.len()];
    for (axis, value) in axes.iter().zip(&mut values).rev() {
        *value = axis.values[place % axis.values.len()];
        place /= axis.values.len();
    }
    let pairs = || axes.iter().zip(&values).map(|(arg, &value)| (arg.axis, value));
    let name = pairs().map(|(axis, value)| axis.at(value)).collect::<Vec<_>>().join(", ");
    let mut point =
        Point { name, values: values.clone(), setup: setup.clone(), stretch: 1.0, course: None };
    for (axis, value) in pairs() {
        let why = |why: String| bad(format!("--axis {}: {why}", axis.name()));
        point.set(axis, value).map_err(why)?;
    }
    let profiles = point.setup.fleet.profiles();
    for profile in profiles {
        profile.check().map_err(|error| bad(format!("{}: {error}", point.name)))?;
    }
    point.setup.source.check_block_size(point.setup.fleet.profile().block_size)?;
    // After the other axes, since its rates are those of the point.
    if let Some((_, times)) = pairs().find(|(axis, _)| *axis == Axis::Step) {
        let [rate] = point.setup.rates[..] else {
            return Err(bad("--axis step: given with several --rates, expected one rate"));
        };
        let stage = |times| {
            let rate = Rate::Times(times);
            StageArg { from: rate, to: rate, seconds: phase_s }
        };
        let stages = [1.0, times, 1.0, 1.0].map(stage).to_vec();
        let course = CourseArgs { stages, duration: None };
        point.course = point.setup.source.course(&course, rate * point.setup.load)?;
    }
    Ok(point)
}

impl Point {
    fn set(&mut self, axis: Axis, value: f64) -> Result<(), String> {
        let setup = &mut self.setup;
        let no_rate = |setup: &Setup| {
            setup.source.check_rate("").err().map(|_| {
                "the requests wait for each other, expected a workload with an arrival rate"
                    .to_owned()
            })
        };
        match axis {
            Axis::Workers => {
                if let Some(why) = no_rate(setup) {
                    return Err(why);
                }
                let Fleet::Alike { workers, .. } = &mut setup.fleet else {
                    return Err("the fleet has groups, expected workers of one profile".to_owned());
                };
                let times = value / f64::from(*workers);
                *workers = value as u32;
                setup.load *= times;
                self.stretch *= times;
            }
            Axis::Load => {
                if let Some(why) = no_rate(setup) {
                    return Err(why);
                }
                setup.load *= value;
                self.stretch *= value;
            }
            Axis::Step => {}
            Axis::Memory => {
                for profile in setup.fleet.profiles_mut() {
                    let tokens =
                        profile.hbm_tokens.ok_or("the memory of the workers has no limit")?;
                    profile.hbm_tokens = Some((tokens as f64 * value).round() as u64);
                }
            }
            Axis::BlockSize => {
                let own = setup.source.own_block_size();
                if let Some(own) = own.filter(|&own| f64::from(own) != value) {
                    return Err(format!("the trace has blocks of {own}, which cannot be cut"));
                }
                let profiles = setup.fleet.profiles_mut();
                profiles.into_iter().for_each(|profile| profile.set_block_size(value as u32));
            }
            Axis::Routers => setup.routers.count = value as u32,
            Axis::EventDelay => setup.network.event_delay_ms = value,
            Axis::EventLoss if value > 0.0 => {
                let lossy = |worker| Fault {
                    at_s: 0.0,
                    for_s: Fault::FOREVER_S,
                    kind: FaultKind::FeedLossy,
                    worker: Some(worker),
                    factor: None,
                    share: Some(value / 100.0),
                };
                setup.faults.extend((0..setup.fleet.workers()).map(lossy));
            }
            Axis::EventLoss => {}
            Axis::SpeedError => setup.routers.speed_error = value / 100.0,
            Axis::TierBandwidth => {
                let each = |profile: &mut Profile| {
                    for tier in &mut profile.tiers {
                        tier.load_gb_s *= value;
                        tier.store_gb_s *= value;
                    }
                    profile.tiers.len()
                };
                let tiers: usize = setup.fleet.profiles_mut().into_iter().map(each).sum();
                if tiers == 0 {
                    return Err("the profile has no tier behind HBM".to_owned());
                }
            }
            Axis::NetworkBandwidth => self.set_network(value)?,
        }
        Ok(())
    }

    fn set_network(&mut self, times: f64) -> Result<(), String> {
        let setup = &mut self.setup;
        let mut links = 0;
        for profile in setup.fleet.profiles_mut() {
            let pool = profile.pool.iter_mut().map(|link| &mut link.gb_s);
            for gb_s in pool.chain(profile.peers.iter_mut().map(|link| &mut link.gb_s)) {
                *gb_s *= times;
                links += 1;
            }
        }
        if let Some(pool) = &mut setup.pool {
            pool.gb_s *= times;
            pool.store_gb_s *= times;
        }
        if let Some(link) = &mut setup.kv_transfer {
            link.gb_s *= times;
            links += 1;
        }
        match links {
            0 => Err("no worker has a link to a pool, to peers or for KV transfers".to_owned()),
            _ => Ok(()),
        }
    }
}
