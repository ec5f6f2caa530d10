//! Number formats of weights and of the KV cache.

use serde::{Deserialize, Serialize};

/// How the weights of the linear layers are stored and multiplied. Embeddings, the output layer and
/// the routers of experts stay in BF16, as the published checkpoints have them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    Bf16,
    /// One scale a tensor or a channel.
    Fp8,
    /// Blocks of 128 x 128 with a scale each (DeepSeek's format); a kernel family of its own.
    Fp8Block,
    Nvfp4,
    /// Experts in MXFP4 multiplied in BF16; everything else in BF16 (gpt-oss).
    Mxfp4,
    /// Eight-bit integers with group scales, multiplied in 16 bits (MLX, llama.cpp).
    Int8,
    /// Four-bit integers with group scales, multiplied in 16 bits (MLX, llama.cpp).
    Int4,
}

/// Bytes of a weight, of an activation, and which peak multiplies them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Format {
    pub weight_bytes: f64,
    pub activation_bytes: f64,
    pub math: Math,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Math {
    Bf16,
    Fp8,
    Fp4,
}

pub(super) const BF16: Format =
    Format { weight_bytes: 2.0, activation_bytes: 2.0, math: Math::Bf16 };

impl Precision {
    pub const ALL: [Self; 7] =
        [Self::Bf16, Self::Fp8, Self::Fp8Block, Self::Nvfp4, Self::Mxfp4, Self::Int8, Self::Int4];

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

    /// Whose constants stand in where this one has none on a device: the nearest kernel family.
    pub const fn stand_in(self) -> Option<Self> {
        match self {
            Self::Bf16 => None,
            Self::Fp8 | Self::Mxfp4 | Self::Int8 | Self::Int4 => Some(Self::Bf16),
            Self::Fp8Block | Self::Nvfp4 => Some(Self::Fp8),
        }
    }

    /// Of the linear layers outside the experts.
    pub(super) const fn linear(self) -> Format {
        match self {
            Self::Bf16 | Self::Mxfp4 => BF16,
            Self::Fp8 | Self::Fp8Block => {
                Format { weight_bytes: 1.0, activation_bytes: 1.0, math: Math::Fp8 }
            }
            // Four bits and a scale of eight for each sixteen.
            Self::Nvfp4 => {
                Format { weight_bytes: 0.5625, activation_bytes: 0.5625, math: Math::Fp4 }
            }
            // A 16-bit scale and offset for each group of 64, as MLX stores them.
            Self::Int8 => Format { weight_bytes: 1.0625, activation_bytes: 2.0, math: Math::Bf16 },
            Self::Int4 => Format { weight_bytes: 0.5625, activation_bytes: 2.0, math: Math::Bf16 },
        }
    }

    pub(super) const fn experts(self) -> Format {
        match self {
            // Four bits and a scale of eight for each 32; activations stay in 16 bits.
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

/// How keys and values are stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvDtype {
    Bf16,
    Fp8,
}

impl KvDtype {
    pub const fn bytes(self) -> f64 {
        match self {
            Self::Bf16 => 2.0,
            Self::Fp8 => 1.0,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
        }
    }
}
