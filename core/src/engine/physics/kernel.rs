//! Single kernels, with the same forms as whole steps. Constants are first fitted to them.

use super::device::Device;
use super::error::BuildError;
use super::model::{Experts, Product, Weights};
use super::precision::{KvDtype, Precision};
use super::step::KernelRates;

/// One kernel of a microbenchmark.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kernel {
    /// A matrix product: `tokens` rows times a matrix of `input` by `output`.
    Gemm {
        /// Format of the weights.
        precision: Precision,
        /// Rows.
        tokens: u32,
        /// Matrix size that is summed over.
        input: u32,
        /// Matrix size of the result.
        output: u32,
    },
    /// Prefill attention of `batch` prompts, none of them cached.
    PrefillAttention {
        /// Format of keys and values.
        kv: KvDtype,
        /// Query heads.
        heads: u32,
        /// Width of a head.
        head_size: u32,
        /// Prompts.
        batch: u32,
        /// Tokens of each prompt.
        tokens: u32,
    },
    /// Decode attention of `batch` sequences.
    DecodeAttention {
        /// Format of keys and values.
        kv: KvDtype,
        /// Heads with keys and values.
        kv_heads: u32,
        /// Width of a head.
        head_size: u32,
        /// Sequences.
        batch: u32,
        /// Tokens that each of them reads.
        context: u32,
    },
    /// A layer of experts, divided over `devices`; this is one device's part.
    Experts {
        /// Format of the weights.
        precision: Precision,
        /// Tokens.
        tokens: u32,
        /// Width of the residual stream.
        hidden: u32,
        /// Sizes of the experts.
        experts: Experts,
        /// Devices.
        devices: u32,
    },
    /// An all-reduce.
    AllReduce {
        /// Size of the message.
        bytes: f64,
    },
}

impl Kernel {
    /// Its time on a device, in nanoseconds.
    ///
    /// # Errors
    /// If the device has no peak for the precision.
    pub fn ns(&self, device: &Device) -> Result<f64, BuildError> {
        match *self {
            Self::Gemm { precision, tokens, input, output } => {
                let [input, output] = [input, output].map(f64::from);
                let product = Product { layers: 1.0, input, output, weights: Weights::Linear };
                let constants = device.constants(precision);
                let rates = KernelRates { device, constants: &constants, precision };
                Ok(rates.term(&product)?.at(f64::from(tokens)))
            }
            Self::PrefillAttention { kv, heads, head_size, batch, tokens } => {
                let attention = &device.attention;
                let narrow = if head_size <= 64 { attention.narrow_heads } else { 1.0 };
                let flops = device.peak_tflops.bf16 * 1e3 * device.realization;
                let width = f64::from(heads) * f64::from(head_size);
                let pair = 4.0 * width / (flops * device.per_kv(kv).compute * narrow);
                let n = f64::from(tokens);
                let keys = n * (n + 1.0) / 2.0 + n * attention.extra_keys;
                Ok(f64::from(batch) * keys * pair + attention.prefill_launch_us * 1e3)
            }
            Self::DecodeAttention { kv, kv_heads, head_size, batch, context } => {
                let token = 2.0 * f64::from(kv_heads) * f64::from(head_size) * kv.bytes();
                let bytes_per_ns = device.bytes_per_ns() * device.per_kv(kv).bandwidth;
                let read = f64::from(batch) * f64::from(context) * token / bytes_per_ns;
                Ok(read + device.attention.decode_launch_us * 1e3)
            }
            Self::Experts { precision, tokens, hidden, experts, devices } => {
                let constants = device.constants(precision);
                let rates = KernelRates { device, constants: &constants, precision };
                Ok(rates.experts(hidden, &experts, devices)?.at(f64::from(tokens)))
            }
            Self::AllReduce { bytes } => {
                let link = device.link_gb_s.unwrap_or(1.0) * device.all_reduce.efficiency;
                Ok(device.all_reduce.launch_us * 1e3 + bytes / link)
            }
        }
    }
}
