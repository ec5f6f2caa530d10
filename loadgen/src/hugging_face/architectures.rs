//! Which architectures have the parts that the model of times has.

use super::fields::Fields;

/// Architectures whose layers are attention and gated feed-forward blocks, or experts, as modelled.
const KNOWN: &[&str] = &[
    "Llama",
    "Mistral",
    "Mistral3",
    "Mixtral",
    "Ministral",
    "Qwen2",
    "Qwen2Moe",
    "Qwen2VL",
    "Qwen2_5_VL",
    "Qwen3",
    "Qwen3Moe",
    "Qwen3VL",
    "Qwen3VLMoe",
    "DeepseekV2",
    "DeepseekV3",
    "GptOss",
    "Gemma",
    "Gemma2",
    "Gemma3",
    "Gemma4",
    "Phi3",
    "Glm",
    "Glm4",
    "Glm4Moe",
    "Granite",
    "GraniteMoe",
    "GraniteMoeHybrid",
    "GraniteMoeShared",
    "Olmo2",
    "Olmo3",
    "Olmoe",
    "Cohere",
    "Cohere2",
    "SeedOss",
    "Exaone4",
    "SmolLM3",
    "InternLM2",
    "InternLM3",
    "Baichuan",
    "Yi",
    "Ernie4_5",
    "Ernie4_5_Moe",
    "Kimi",
    "KimiK25",
];

/// Architectures that lack such parts, and what they have instead.
const OTHER: &[(&str, &str)] = &[
    ("GPT2", "feed-forward blocks without a gate"),
    ("OPT", "feed-forward blocks without a gate"),
    ("GPTNeoX", "feed-forward blocks without a gate"),
    ("GPTJ", "feed-forward blocks without a gate"),
    ("GPTBigCode", "feed-forward blocks without a gate"),
    ("Bloom", "feed-forward blocks without a gate"),
    ("Falcon", "feed-forward blocks without a gate"),
    ("Phi", "feed-forward blocks without a gate"),
    ("Starcoder2", "feed-forward blocks without a gate"),
    ("Nemotron", "feed-forward blocks without a gate"),
    ("NemotronH", "feed-forward blocks without a gate"),
    ("Llama4", "attention in chunks"),
    ("Qwen3Next", "linear attention"),
    ("Qwen3_5", "linear attention"),
    ("Qwen3_5Moe", "linear attention"),
    ("KimiLinear", "linear attention"),
    ("MiniMaxText01", "linear attention"),
    ("MiniMaxM1", "linear attention"),
    ("DeepseekV32", "sparse attention"),
    ("Mamba", "no attention"),
    ("Mamba2", "no attention"),
    ("FalconMamba", "no attention"),
    ("Jamba", "layers of Mamba-1"),
    ("Zamba2", "layers that are shared"),
    ("DeciLM", "layers of different widths"),
    ("Gemma3n", "embeddings in each layer"),
];

/// The name of the architecture. What is not modelled is refused or noted.
pub fn check(fields: &mut Fields<'_>) -> String {
    let named = fields.get("architectures").and_then(|all| all.get(0)?.as_str());
    let Some(full) = named else {
        fields.note("config.json names no architecture; its layers are taken as Llama's are.");
        return "model".to_owned();
    };
    let short = ["ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "Model"]
        .iter()
        .find_map(|end| full.strip_suffix(end))
        .unwrap_or(full);
    if fields.flag("is_encoder_decoder") == Some(true) {
        fields.refuse(format!("architectures: {full} has an encoder, which is not modelled"));
    } else if let Some((_, what)) = OTHER.iter().find(|(name, _)| *name == short) {
        fields.refuse(format!("architectures: {full} has {what}, which is not modelled"));
    } else if !KNOWN.contains(&short) {
        fields.note(format!(
            "{full} is not a known architecture; its layers are taken as Llama's are: attention and \
             gated feed-forward blocks."
        ));
    }
    if short == "Gemma3" {
        fields.defaults = &[
            ("vocab_size", 262_208),
            ("num_attention_heads", 8),
            ("num_key_value_heads", 4),
            ("head_dim", 256),
            ("sliding_window", 4096),
            ("sliding_window_pattern", 6),
        ];
    }
    for (field, what) in [
        ("index_topk", "sparse attention"),
        ("attention_chunk_size", "attention in chunks"),
        ("block_configs", "layers of different widths"),
        ("num_kv_shared_layers", "layers that share keys and values"),
    ] {
        let off = |value: &serde_json::Value| value.as_u64() == Some(0);
        if fields.get(field).is_some_and(|value| !off(value)) {
            fields.refuse(format!("{field}: {what} is not modelled"));
        }
    }
    if fields.is_nested() {
        fields.note(
            "Encoders of images and sound are not counted: neither their weights nor their time.",
        );
    }
    if fields.get("num_nextn_predict_layers").is_some_and(|value| value.as_u64() != Some(0)) {
        fields
            .note("Layers that predict further tokens (num_nextn_predict_layers) are not counted.");
    }
    full.to_owned()
}

/// What the class does where the file does not say.
pub fn ties_embeddings(architecture: &str) -> bool {
    ["Gemma", "Cohere"].iter().any(|start| architecture.starts_with(start))
}
