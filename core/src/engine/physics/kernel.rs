//! Single kernels, in the same forms as whole steps: what constants are first fitted to.

use super::device::Device;
use super::error::BuildError;
use super::model::{Experts, Product, Weights};
use super::precision::{KvDtype, Precision};
use super::step::KernelRates;

/// One kernel as it is measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kernel {
    /// `tokens` rows times a matrix of `input` by `output`.
    Gemm { precision: Precision, tokens: u32, input: u32, output: u32 },
    /// `batch` prompts of `tokens` tokens, nothing cached.
    PrefillAttention { kv: KvDtype, heads: u32, head_size: u32, batch: u32, tokens: u32 },
    /// `batch` sequences that read `context` tokens each.
    DecodeAttention { kv: KvDtype, kv_heads: u32, head_size: u32, batch: u32, context: u32 },
    /// `tokens` tokens through a layer of experts of which this device has every `devices`th part.
    Experts { precision: Precision, tokens: u32, hidden: u32, experts: Experts, devices: u32 },
    /// A message of so many bytes.
    AllReduce { bytes: f64 },
}

impl Kernel {
    /// In nanoseconds.
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
