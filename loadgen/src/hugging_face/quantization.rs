//! The number formats of a checkpoint.

use super::fields::Fields;
use serde_json::Value;
use warmpath_core::engine::physics::{KvDtype, Precision};

/// The formats of weights and KV cache.
pub fn read(fields: &mut Fields<'_>) -> (Precision, KvDtype) {
    let Some(config) =
        fields.get("quantization_config").or_else(|| fields.get("compression_config"))
    else {
        return (unquantized(fields), KvDtype::Bf16);
    };
    let is_fp8 = |scheme: &Value| {
        let number = scheme.get("num_bits").and_then(Value::as_u64);
        (number, scheme.get("type").and_then(Value::as_str)) == (Some(8), Some("float"))
    };
    let kv_fp8 = config.get("kv_cache_scheme").is_some_and(is_fp8)
        || config.get("kv_cache_quant_algo").and_then(Value::as_str) == Some("FP8");
    let kv_dtype = if kv_fp8 { KvDtype::Fp8 } else { KvDtype::Bf16 };
    let precision = of(config).unwrap_or_else(|why| {
        fields.refuse(format!("quantization_config: {why}"));
        Precision::Bf16
    });
    (precision, kv_dtype)
}

fn unquantized(fields: &mut Fields<'_>) -> Precision {
    match fields.text("torch_dtype").or_else(|| fields.text("dtype")) {
        Some("bfloat16" | "float16" | "half") | None => {}
        Some("float32" | "float") => {
            fields.note("The weights are stored in FP32; engines serve them in BF16.");
        }
        Some(other) => fields.refuse(format!("torch_dtype: {other} is not modelled")),
    }
    Precision::Bf16
}

fn of(config: &Value) -> Result<Precision, String> {
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
    let bits = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64);
    let integers = |bits: Option<u64>, method: &str| match bits {
        Some(4) => Ok(Precision::Int4),
        Some(8) => Ok(Precision::Int8),
        Some(bits) => Err(format!("{method} with {bits} bits is not modelled, expected 4 or 8")),
        None => Err(format!("{method} without bits, expected 4 or 8")),
    };
    match text("quant_method") {
        "fp8" | "fbgemm_fp8" => Ok(match config.get("weight_block_size") {
            Some(size) if !size.is_null() => Precision::Fp8Block,
            _ => Precision::Fp8,
        }),
        "mxfp4" => Ok(Precision::Mxfp4),
        method @ ("awq" | "gptq" | "gptq_marlin" | "awq_marlin") => {
            integers(bits(config, "bits").or_else(|| bits(config, "w_bit")), method)
        }
        "compressed-tensors" => compressed(config),
        "modelopt" | "modelopt_fp4" => match text("quant_algo") {
            "FP8" => Ok(Precision::Fp8),
            "NVFP4" => Ok(Precision::Nvfp4),
            other => Err(format!("modelopt's {other:?} is not modelled, expected FP8 or NVFP4")),
        },
        other => Err(format!(
            "quant_method {other:?} is not modelled, expected fp8, mxfp4, awq, gptq, compressed-tensors \
             or modelopt"
        )),
    }
}

/// The format of the first group: of llm-compressor's files, all linear layers.
fn compressed(config: &Value) -> Result<Precision, String> {
    let groups = config.get("config_groups").and_then(Value::as_object);
    let group = groups.and_then(|groups| groups.values().next());
    let weights = group.and_then(|group| group.get("weights"));
    let Some(weights) = weights else {
        return Err("compressed-tensors without weights".to_owned());
    };
    let text = |key: &str| weights.get(key).and_then(Value::as_str).unwrap_or_default();
    let bits = weights.get("num_bits").and_then(Value::as_u64).unwrap_or(0);
    let activations = group.and_then(|group| group.get("input_activations"));
    let has_activations = activations.is_some_and(|value| !value.is_null());
    match (text("type"), bits) {
        ("float", 8) if text("strategy") == "block" => Ok(Precision::Fp8Block),
        ("float", 8) => Ok(Precision::Fp8),
        ("float", 4) => Ok(Precision::Nvfp4),
        ("int", 8) if has_activations => {
            Err("activations in 8-bit integers are not modelled".to_owned())
        }
        ("int", 8) => Ok(Precision::Int8),
        ("int", 4) => Ok(Precision::Int4),
        (kind, bits) => Err(format!("{bits} bits of type {kind:?} are not modelled")),
    }
}
