//! The constants of a device as numbers that can be fitted.

use warmpath_core::engine::physics::{Constants, Device, KvDtype, PerKv, Precision};

/// A constant that is fitted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Param {
    AttentionCompute(KvDtype),
    AttentionBandwidth(KvDtype),
    PrefillLaunch,
    DecodeLaunch,
    ExtraKeys,
    NarrowHeads,
    LatentCompute,
    ReduceLaunch,
    ReduceEfficiency,
    Of(Precision, Field),
}

/// A constant that each precision has.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Field {
    GemmCompute,
    GemmBandwidth,
    GemmLaunch,
    GemmSharpness,
    GemmSingleToken,
    GemmConversion,
    ElementLaunch,
    ElementTraffic,
    MoeCompute,
    MoeBandwidth,
    MoeLaunch,
    MoeSharpness,
    MoeTraffic,
}

impl Field {
    pub const GEMM: [Self; 6] = [
        Self::GemmCompute,
        Self::GemmBandwidth,
        Self::GemmLaunch,
        Self::GemmSharpness,
        Self::GemmSingleToken,
        Self::GemmConversion,
    ];
    pub const ELEMENTWISE: [Self; 2] = [Self::ElementLaunch, Self::ElementTraffic];
    pub const MOE: [Self; 5] = [
        Self::MoeCompute,
        Self::MoeBandwidth,
        Self::MoeLaunch,
        Self::MoeSharpness,
        Self::MoeTraffic,
    ];
}

/// How far a fit may move a constant from its start, as a standard deviation of its logarithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freedom {
    /// From the constants common to all devices to the kernels of one device.
    Kernels,
    /// From the kernels of a device to its whole steps.
    Steps,
}

impl Param {
    pub const ATTENTION: [Self; 9] = [
        Self::AttentionCompute(KvDtype::Bf16),
        Self::AttentionCompute(KvDtype::Fp8),
        Self::AttentionBandwidth(KvDtype::Bf16),
        Self::AttentionBandwidth(KvDtype::Fp8),
        Self::PrefillLaunch,
        Self::DecodeLaunch,
        Self::ExtraKeys,
        Self::NarrowHeads,
        Self::LatentCompute,
    ];
    pub const REDUCE: [Self; 2] = [Self::ReduceLaunch, Self::ReduceEfficiency];

    /// Every constant of a device, for these precisions.
    pub fn all(precisions: &[Precision]) -> Vec<Self> {
        let fields = || Field::GEMM.into_iter().chain(Field::ELEMENTWISE).chain(Field::MOE);
        let of = |&precision: &Precision| fields().map(move |field| Self::Of(precision, field));
        let common = Self::ATTENTION.into_iter().chain(Self::REDUCE);
        common.chain(precisions.iter().flat_map(of)).collect()
    }

    pub fn slot(self, device: &mut Device) -> &mut f64 {
        fn per_kv(device: &mut Device, kv: KvDtype) -> &mut PerKv {
            match kv {
                KvDtype::Bf16 => &mut device.attention.bf16,
                KvDtype::Fp8 => &mut device.attention.fp8,
            }
        }
        match self {
            Self::AttentionCompute(kv) => &mut per_kv(device, kv).compute,
            Self::AttentionBandwidth(kv) => &mut per_kv(device, kv).bandwidth,
            Self::PrefillLaunch => &mut device.attention.prefill_launch_us,
            Self::DecodeLaunch => &mut device.attention.decode_launch_us,
            Self::ExtraKeys => &mut device.attention.extra_keys,
            Self::NarrowHeads => &mut device.attention.narrow_heads,
            Self::LatentCompute => &mut device.attention.latent_compute,
            Self::ReduceLaunch => &mut device.all_reduce.launch_us,
            Self::ReduceEfficiency => &mut device.all_reduce.efficiency,
            Self::Of(precision, field) => {
                field.slot(device.precision.entry(precision).or_default())
            }
        }
    }

    pub fn sigma(self, freedom: Freedom) -> f64 {
        let (kernels, steps) = match self {
            Self::AttentionCompute(_) => (0.2, 0.1),
            Self::AttentionBandwidth(_) => (0.15, 0.06),
            Self::PrefillLaunch => (0.4, 0.3),
            Self::DecodeLaunch => (0.3, 0.2),
            Self::ExtraKeys => (0.5, 0.3),
            Self::NarrowHeads => (0.15, 0.1),
            Self::LatentCompute => (0.4, 0.4),
            Self::ReduceLaunch => (0.3, 0.2),
            Self::ReduceEfficiency => (0.4, 0.2),
            Self::Of(_, field) => match field {
                Field::GemmCompute => (0.3, 0.1),
                Field::GemmBandwidth => (0.2, 0.1),
                Field::GemmLaunch => (0.7, 0.4),
                Field::GemmSharpness => (0.4, 0.2),
                Field::GemmSingleToken => (1.0, 0.3),
                Field::GemmConversion => (0.7, 0.3),
                Field::ElementLaunch => (0.3, 0.3),
                Field::ElementTraffic => (0.4, 0.4),
                Field::MoeCompute => (0.7, 0.35),
                Field::MoeBandwidth => (0.3, 0.2),
                Field::MoeLaunch => (0.7, 0.7),
                Field::MoeSharpness => (0.3, 0.15),
                Field::MoeTraffic => (0.5, 0.5),
            },
        };
        if freedom == Freedom::Kernels { kernels } else { steps }
    }
}

impl Field {
    fn slot(self, constants: &mut Constants) -> &mut f64 {
        let Constants { gemm, elementwise, moe, .. } = constants;
        match self {
            Self::GemmCompute => &mut gemm.compute,
            Self::GemmBandwidth => &mut gemm.bandwidth,
            Self::GemmLaunch => &mut gemm.launch_us,
            Self::GemmSharpness => &mut gemm.sharpness,
            Self::GemmSingleToken => &mut gemm.single_token_us,
            Self::GemmConversion => &mut gemm.conversion,
            Self::ElementLaunch => &mut elementwise.launch_us,
            Self::ElementTraffic => &mut elementwise.traffic,
            Self::MoeCompute => &mut moe.compute,
            Self::MoeBandwidth => &mut moe.bandwidth,
            Self::MoeLaunch => &mut moe.launch_us,
            Self::MoeSharpness => &mut moe.sharpness,
            Self::MoeTraffic => &mut moe.traffic,
        }
    }
}

/// A device before its own measurements are used: the constants that fit all measured devices best.
pub fn start(hardware: &Device, precisions: &[Precision]) -> Device {
    let mut device = hardware.clone();
    let per_kv = PerKv { compute: 0.62, bandwidth: 0.87 };
    (device.attention.bf16, device.attention.fp8) = (per_kv, per_kv);
    device.attention.prefill_launch_us = 27.0;
    device.attention.decode_launch_us = 12.0;
    device.attention.extra_keys = 650.0;
    device.attention.narrow_heads = 0.78;
    device.attention.latent_compute = 0.5;
    device.all_reduce.launch_us = 5.3;
    device.all_reduce.efficiency = 0.4;
    device.precision.clear();
    for &precision in precisions {
        let mut constants = Constants::default();
        constants.gemm.compute = 0.65;
        constants.gemm.bandwidth = 0.80;
        // Above 0, since the fit moves its logarithm.
        constants.gemm.single_token_us = 1.0;
        if precision == Precision::Fp8Block {
            // A kernel family with a slow start. Fitted to the products of Qwen3-32B and
            // Qwen3-235B-A22B in the tables behind the reference, which kernels.csv does not contain.
            constants.gemm.compute = 0.68;
            constants.gemm.bandwidth = 0.88;
            constants.gemm.launch_us = 40.0;
            constants.gemm.sharpness = 1.13;
        }
        constants.moe.bandwidth = 0.90;
        constants.moe.traffic = 3.0;
        device.precision.insert(precision, constants);
    }
    device
}
