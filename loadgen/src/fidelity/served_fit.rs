//! The constants that were fitted to served systems, and how they are fitted again to some of the rows.
//!
//! A closed loop takes too long to be played for each value that a fit tries. The fit therefore moves the
//! time that was played by the ratio of two sums: a step that decodes, and the steps with a prompt
//! between them, with the tried constants and with those that were played. What a fit is judged by is played again.

use crate::fidelity::solve::least_squares;
use std::collections::BTreeMap;
use warmpath_core::engine::physics::{
    Device, FrontEnd, InEngineOf, Joining, Launch, Model, Physics, Placement, Precision, StepShape,
};

/// Errors below this share of a time are squared, larger ones count in proportion.
const SCALE: f64 = 0.05;

/// A constant that served systems tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Param {
    /// Of every device: the host's share of a group's step.
    TensorParallel,
    PerSequenceAndDevice,
    /// Of every device, served over HTTP.
    FrontEndPerSequence,
    /// Of one device.
    Own(&'static str, Factor),
}

/// A factor of a device's `[in_engine]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Factor {
    AllReduceLaunch,
    ProductsBandwidth(Precision),
    ExpertsCompute(Precision),
    ExpertsBandwidth(Precision),
}

impl Param {
    /// All that came from served systems. Everything else rests on kernels, on measured steps or on published
    /// decode times, and no served row moves it.
    pub const ALL: [Self; 8] = [
        Self::TensorParallel,
        Self::PerSequenceAndDevice,
        Self::FrontEndPerSequence,
        Self::Own("h100", Factor::AllReduceLaunch),
        Self::Own("b200", Factor::AllReduceLaunch),
        Self::Own("b200", Factor::ProductsBandwidth(Precision::Nvfp4)),
        Self::Own("b200", Factor::ExpertsCompute(Precision::Mxfp4)),
        Self::Own("b200", Factor::ExpertsBandwidth(Precision::Mxfp4)),
    ];

    pub fn name(self) -> String {
        let precision = |device, one, field| format!("{device} in_engine.precision.{one}.{field}");
        match self {
            Self::TensorParallel => "host.tensor_parallel_ms".into(),
            Self::PerSequenceAndDevice => "host.per_sequence_and_device_us".into(),
            Self::FrontEndPerSequence => "front_end.per_sequence_us (http)".into(),
            Self::Own(device, factor) => match factor {
                Factor::AllReduceLaunch => format!("{device} in_engine.all_reduce_launch"),
                Factor::ProductsBandwidth(one) => precision(device, one, "products_bandwidth"),
                Factor::ExpertsCompute(one) => precision(device, one, "experts_compute"),
                Factor::ExpertsBandwidth(one) => precision(device, one, "experts_bandwidth"),
            },
        }
    }

    pub fn is_of(self, device: &Device) -> bool {
        if let Self::Own(name, _) = self { device.name == name } else { true }
    }

    pub fn get(self, device: &Device) -> f64 {
        *self.slot(&mut device.clone())
    }

    fn slot(self, device: &mut Device) -> &mut f64 {
        fn of(device: &mut Device, precision: Precision) -> &mut InEngineOf {
            device.in_engine.precision.entry(precision).or_default()
        }
        match self {
            Self::TensorParallel => &mut device.host.tensor_parallel_ms,
            Self::PerSequenceAndDevice => &mut device.host.per_sequence_and_device_us,
            Self::FrontEndPerSequence => {
                let times = device.front_end.get_or_insert_with(|| FrontEnd::Http.times());
                &mut times.per_sequence_us
            }
            Self::Own(_, factor) => match factor {
                Factor::AllReduceLaunch => &mut device.in_engine.all_reduce_launch,
                Factor::ProductsBandwidth(one) => &mut of(device, one).products_bandwidth,
                Factor::ExpertsCompute(one) => &mut of(device, one).experts_compute,
                Factor::ExpertsBandwidth(one) => &mut of(device, one).experts_bandwidth,
            },
        }
    }

    /// What it is where no served system was seen: a host without such times, kernels as in their tables.
    const fn start(self) -> f64 {
        if let Self::Own(..) = self { 1.0 } else { 0.0 }
    }

    /// How far a fit may carry it: a factor as a share, else in its unit.
    const fn sigma(self) -> f64 {
        match self {
            Self::TensorParallel => 0.5,
            Self::PerSequenceAndDevice => 5.0,
            Self::FrontEndPerSequence => 15.0,
            Self::Own(_, Factor::AllReduceLaunch) => 0.5,
            Self::Own(_, Factor::ProductsBandwidth(_)) => 0.3,
            Self::Own(_, Factor::ExpertsCompute(_) | Factor::ExpertsBandwidth(_)) => 0.6,
        }
    }

    const fn is_a_factor(self) -> bool {
        matches!(self, Self::Own(..))
    }
}

/// A served system with the time that was played for it.
pub struct Played<'a> {
    /// Name of the device as the measurements have it.
    pub device: &'a str,
    pub model: &'a Model,
    pub placement: Placement,
    pub concurrency: u32,
    /// Mean tokens of a prompt and of an answer.
    pub prompt: u32,
    pub answer: u32,
    /// The most tokens of a step.
    pub chunk: u32,
    pub measured_ms: f64,
    pub played_ms: f64,
}

/// The two kinds of step in a closed loop.
struct Steps {
    decode: StepShape,
    /// The same with a prompt.
    mixed: StepShape,
    joining: Joining,
    /// Steps with a prompt of other requests while an answer decodes, over all its steps.
    mixed_share: f64,
}

impl Steps {
    fn of(played: &Played<'_>, physics: &Physics) -> Self {
        let window = physics.window();
        let context = played.prompt + played.answer / 2;
        let decoding = |sequences: u32| {
            let mut shape = StepShape::default();
            (0..sequences).for_each(|_| shape.add_decode(context, window));
            shape.unevenness = physics.unevenness(std::iter::repeat_n(context, sequences as usize));
            shape
        };
        let others = played.concurrency - 1;
        let mut mixed = decoding(others);
        let new = played.prompt.min(played.chunk.saturating_sub(others)).max(1);
        mixed.add_prompt(new, 0, window);
        let prompts = f64::from(others) / f64::from(played.answer.max(1));
        Self {
            decode: decoding(played.concurrency),
            mixed,
            joining: Joining { requests: 1, prompt_tokens: played.prompt.into() },
            mixed_share: prompts * f64::from(played.prompt) / f64::from(new),
        }
    }

    /// Time of a token, in milliseconds.
    fn ms(&self, physics: &Physics, per_sequence_us: f64) -> f64 {
        let whole = |shape: &StepShape| {
            physics.step_ns(shape) + f64::from(shape.seqs) * per_sequence_us * 1e3
        };
        let after = |last: f64, launch: Launch, work: f64| {
            let span = launch.run(physics.output_taken() - last, work);
            span.start + span.length
        };
        let work = whole(&self.decode);
        let launch = physics.launch(&self.decode, Joining::default());
        let decode = after(work, launch, work);
        let launch = physics.launch(&self.mixed, self.joining);
        let mixed = after(decode, launch, whole(&self.mixed));
        (decode + self.mixed_share * (mixed - decode)) / 1e6
    }
}

/// The closed loops of some rows, ready to be timed with any constants.
struct Loops<'a> {
    /// What has physics in common.
    systems: Vec<(&'a str, &'a Model, Placement)>,
    /// The system of each row, and its steps.
    rows: Vec<(usize, Steps)>,
}

impl<'a> Loops<'a> {
    fn of(devices: &BTreeMap<String, Device>, rows: &[&Played<'a>]) -> Self {
        let mut systems: Vec<(&str, &Model, Placement)> = Vec::new();
        let mut own = Vec::with_capacity(rows.len());
        for row in rows {
            let system = (row.device, row.model, row.placement);
            let known = systems.iter().position(|other| *other == system);
            own.push(known.unwrap_or(systems.len()));
            if known.is_none() {
                systems.push(system);
            }
        }
        let physics = physics(devices, &systems);
        let rows = own.iter().zip(rows).map(|(&i, row)| (i, Steps::of(row, &physics[i].0)));
        Self { rows: rows.collect(), systems }
    }

    /// The time of a token in each of them, in milliseconds.
    fn ms(&self, devices: &BTreeMap<String, Device>) -> Vec<f64> {
        let physics = physics(devices, &self.systems);
        let ms = |(i, steps): &(usize, Steps)| {
            let (physics, per_sequence_us) = &physics[*i];
            steps.ms(physics, *per_sequence_us)
        };
        self.rows.iter().map(ms).collect()
    }
}

/// The physics of each system, and what its front end adds for a sequence.
fn physics(
    devices: &BTreeMap<String, Device>,
    systems: &[(&str, &Model, Placement)],
) -> Vec<(Physics, f64)> {
    let of = |&(device, model, placement): &(&str, &Model, Placement)| {
        let device = &devices[device];
        let physics = Physics::new(&device.in_engine(placement.precision), model, placement);
        (physics.expect("it was played"), Param::FrontEndPerSequence.get(device))
    };
    systems.iter().map(of).collect()
}

/// The devices with constants fitted to these rows, from a start that no served system was used for.
pub fn fit(devices: &BTreeMap<String, Device>, rows: &[&Played<'_>]) -> BTreeMap<String, Device> {
    let params = Param::ALL;
    let apply = |x: &[f64]| -> BTreeMap<String, Device> {
        let mut devices = devices.clone();
        for device in devices.values_mut() {
            for (param, &x) in params.iter().zip(x) {
                if param.is_of(device) {
                    *param.slot(device) = if param.is_a_factor() { x.exp() } else { x.max(0.0) };
                }
            }
        }
        devices
    };
    let loops = Loops::of(devices, rows);
    // What a sum of steps misses of a closed loop is the same with other constants.
    let missed: Vec<f64> =
        loops.ms(devices).iter().zip(rows).map(|(ms, row)| row.played_ms / ms).collect();
    let residuals = |x: &[f64]| -> Vec<f64> {
        let robust = |((ms, missed), row): ((f64, &f64), &&Played<'_>)| {
            let error = (ms * missed / row.measured_ms).ln() / SCALE;
            error.signum() * (2.0 * ((1.0 + error * error).sqrt() - 1.0)).sqrt()
        };
        loops.ms(&apply(x)).into_iter().zip(&missed).zip(rows).map(robust).collect()
    };
    let start: Vec<f64> = params
        .iter()
        .map(|param| if param.is_a_factor() { param.start().ln() } else { param.start() })
        .collect();
    let sigma: Vec<f64> = params.iter().map(|param| param.sigma()).collect();
    apply(&least_squares(&start, &sigma, residuals))
}
