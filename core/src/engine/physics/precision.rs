//! Number formats of weights and of the KV cache.

use serde::{Deserialize, Serialize};

/// Format in which the weights of linear layers are stored and multiplied. Embeddings, output
/// layer and expert routers stay in BF16, as in published checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 16-bit floats.
    Bf16,
    /// 8-bit floats with one scale for each tensor or channel.
    Fp8,
    /// 8-bit floats with a scale for each block of 128 x 128 (DeepSeek's format). It has its own
    /// kernels.
    Fp8Block,
    /// 4-bit floats with an 8-bit scale for each 16.
    Nvfp4,
    /// Experts in 4-bit floats, multiplied in BF16; all else in BF16 (gpt-oss).
    Mxfp4,
    /// 8-bit integers with group scales, multiplied in 16 bits (MLX, llama.cpp).
    Int8,
    /// 4-bit integers with group scales, multiplied in 16 bits (MLX, llama.cpp).
    Int4,
}

/// Bytes of a weight and of an activation, and the peak rate that multiplies them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Format {
    pub weight_bytes: f64,
    pub activation_bytes: f64,
    pub math: Math,
}

/// The number format of a multiplication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Math {
    Bf16,
    Fp8,
    Fp4,
}

pub(super) const BF16: Format =
    Format { weight_bytes: 2.0, activation_bytes: 2.0, math: Math::Bf16 };

impl Precision {
    /// All formats, in the order of their declaration.
    pub const ALL: [Self; 7] =
        [Self::Bf16, Self::Fp8, Self::Fp8Block, Self::Nvfp4, Self::Mxfp4, Self::Int8, Self::Int4];

    /// The name in profile files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Fp8Block => "fp8_block",
            Self::Nvfp4 => "nvfp4",
            Self::Mxfp4 => "mxfp4",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// The precision whose constants are used if a device has none for this one: the nearest kernel
    /// family.
    pub const fn stand_in(self) -> Option<Self> {
        match self {
            Self::Bf16 => None,
            Self::Fp8 | Self::Mxfp4 | Self::Int8 | Self::Int4 => Some(Self::Bf16),
            Self::Fp8Block | Self::Nvfp4 => Some(Self::Fp8),
        }
    }

    /// The format of linear layers outside the experts.
    pub(super) const fn linear(self) -> Format {
        match self {
            Self::Bf16 | Self::Mxfp4 => BF16,
            Self::Fp8 | Self::Fp8Block => {
                Format { weight_bytes: 1.0, activation_bytes: 1.0, math: Math::Fp8 }
            }
            // 4 bits, and a scale of 8 bits for each 16 values.
            Self::Nvfp4 => {
                Format { weight_bytes: 0.5625, activation_bytes: 0.5625, math: Math::Fp4 }
            }
            // A 16-bit scale and offset for each group of 64 values, as MLX stores them.
            Self::Int8 => Format { weight_bytes: 1.0625, activation_bytes: 2.0, math: Math::Bf16 },
            Self::Int4 => Format { weight_bytes: 0.5625, activation_bytes: 2.0, math: Math::Bf16 },
        }
    }

    /// The format of the experts.
    pub(super) const fn experts(self) -> Format {
        match self {
            // 4 bits, and a scale of 8 bits for each 32 values. Activations stay in 16 bits.
            Self::Mxfp4 => {
                Format { weight_bytes: 0.53125, activation_bytes: 2.0, math: Math::Bf16 }
            }
            other => other.linear(),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Format of keys and values in the KV cache.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvDtype {
    /// 16-bit floats.
    Bf16,
    /// 8-bit floats.
    Fp8,
}

impl KvDtype {
    /// Bytes of one number.
    pub const fn bytes(self) -> f64 {
        match self {
            Self::Bf16 => 2.0,
            Self::Fp8 => 1.0,
        }
    }

    /// The name in profile files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
        }
    }
}
