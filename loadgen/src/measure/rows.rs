//! Rows of measured steps, in the columns of `deploy/measurements/h100-vllm-0.26/steps.csv`.

use serde::Serialize;

/// What the rows call the device, the model and the formats.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Names {
    pub device: String,
    pub model: String,
    pub tp: u32,
    pub precision: String,
    pub kv_dtype: String,
}

/// A measured step. `ms` and `wall_ms` are both what a client saw: no clock of the device is read.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    pub gpu: String,
    pub model: String,
    pub tp: u32,
    pub precision: String,
    pub kv_dtype: String,
    pub phase: &'static str,
    pub batch: u32,
    pub input_len: u32,
    pub prefix_len: u32,
    pub context: u32,
    pub ms: f64,
    pub wall_ms: f64,
    pub low_ms: f64,
    pub high_ms: f64,
    pub repeats: u32,
    pub devices: u32,
    pub provenance: &'static str,
}

impl Names {
    /// The first token of one prompt on an idle engine.
    pub fn prefill(&self, new: u32, prefix: u32, times: &[f64]) -> Row {
        let repeats = times.len() as u32;
        self.row("prefill", (1, new, prefix, prefix + new), times, repeats)
    }

    /// A step of so many sequences, from its time in each of them.
    pub fn decode(&self, batch: u32, context: u32, times: &[f64], steps: u32) -> Row {
        self.row("decode", (batch, 1, 0, context), times, steps)
    }

    fn row(
        &self,
        phase: &'static str,
        (batch, input_len, prefix_len, context): (u32, u32, u32, u32),
        times: &[f64],
        repeats: u32,
    ) -> Row {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        let tidy = |ms: f64| (ms * 1e3).round() / 1e3;
        let at = |place: usize| sorted.get(place).copied().map_or(0.0, tidy);
        let ms = at(sorted.len() / 2);
        Row {
            gpu: self.device.clone(),
            model: self.model.clone(),
            tp: self.tp,
            precision: self.precision.clone(),
            kv_dtype: self.kv_dtype.clone(),
            phase,
            batch,
            input_len,
            prefix_len,
            context,
            ms,
            wall_ms: ms,
            low_ms: at(0),
            high_ms: at(sorted.len().saturating_sub(1)),
            repeats,
            devices: self.tp,
            provenance: "measured",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_median_and_the_ends() {
        let names = Names {
            device: "h100".into(),
            model: "m".into(),
            tp: 2,
            precision: "bf16".into(),
            kv_dtype: "bf16".into(),
        };
        let row = names.prefill(512, 1024, &[9.0, 3.000_04, 5.0]);
        assert_eq!((row.ms, row.low_ms, row.high_ms, row.repeats), (5.0, 3.0, 9.0, 3));
        assert_eq!((row.input_len, row.prefix_len, row.context, row.devices), (512, 1024, 1536, 2));
        let row = names.decode(8, 2048, &[7.0], 40);
        assert_eq!((row.phase, row.batch, row.context, row.repeats), ("decode", 8, 2048, 40));
    }
}
