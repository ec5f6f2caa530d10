//! How long AIBrix's Preble takes a prompt to compute on a GPU: a fit of Mistral 7B on an A6000, and the
//! same scaled to a V100 (`prefix_cache_preble.go` at e3e10f9e). Milliseconds.

use crate::routing::policy::parameter::choices;

choices! {
    /// The GPU that times are taken from.
    pub enum Gpu {
        /// NVIDIA V100.
        V100 = "v100",
        /// NVIDIA RTX A6000.
        A6000 = "a6000",
    }
}

/// Coefficients of powers of the tokens, from the constant on.
struct Fit {
    /// The least time of a batch.
    floor: f64,
    /// From 192 tokens on.
    middle: [f64; 3],
    /// From 384 tokens on.
    linear: [f64; 2],
    /// Attention up to 1,024 tokens of context.
    attention_floor: f64,
    /// Attention over a longer context.
    attention: [f64; 2],
    /// Attention among the new tokens, from 4,096 of them on.
    square: [f64; 3],
}

const V100: Fit = Fit {
    floor: 55.0,
    middle: [-295.0, 3.125, -6.4e-3],
    linear: [10.524_442_63, 0.271_064_28],
    attention_floor: 0.8,
    attention: [0.398, 4.65e-4],
    square: [-18.425, 9.65e-3, 5.4e-6],
};

const A6000: Fit = Fit {
    floor: 22.0,
    middle: [-118.0, 1.25, -2.56e-3],
    linear: [4.209_777_054_806_409, 0.108_425_71],
    attention_floor: 0.32,
    attention: [0.159, 1.86e-4],
    square: [-7.37, 3.86e-3, 2.16e-6],
};

/// Seconds to compute the last `new` tokens of a context.
pub(super) fn prefill_seconds(gpu: Gpu, new: u64, context: u64) -> f64 {
    let fit = match gpu {
        Gpu::V100 => &V100,
        Gpu::A6000 => &A6000,
    };
    let (n, c) = (new as f64, context as f64);
    let linear = match new {
        0..192 => fit.floor,
        192..384 => fit.middle[0] + fit.middle[1] * n + fit.middle[2] * n * n,
        384.. => fit.linear[0] + fit.linear[1] * n,
    };
    let long = fit.attention[0] + fit.attention[1] * c;
    let attention = match (context, new) {
        (..=1_024, _) => fit.attention_floor,
        // Few tokens read a long context twice as fast.
        (_, ..=1_024) => long / 2.0,
        _ => long,
    };
    let square = match new {
        0..4_096 => 0.0,
        4_096.. => fit.square[0] + fit.square[1] * n + fit.square[2] * n * n,
    };
    (linear + attention + square) / 1_000.0 / 0.9
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In milliseconds, before the division by .9. 100 tokens: 55 + .8. 1,000: 281.59 + .8. 8,000:
    /// 2,179.04 + 4.118 + (-18.425 + 77.2 + 345.6). 500 of 8,000: 146.057 + 4.118 / 2.
    #[test]
    fn the_fit_of_a_v100() {
        let ms = |new, context| prefill_seconds(Gpu::V100, new, context) * 900.0;
        for (new, context, expected) in [
            (100, 100, 55.8),
            (1_000, 1_000, 282.389),
            (8_000, 8_000, 2_587.532),
            (500, 8_000, 148.116),
        ] {
            let got = ms(new, context);
            assert!((got - expected).abs() < 0.01, "{new} of {context}: {got}");
        }
        let a6000 = prefill_seconds(Gpu::A6000, 300, 300) * 900.0;
        assert!((a6000 - (-118.0 + 375.0 - 230.4 + 0.32)).abs() < 0.01, "{a6000}");
    }
}
