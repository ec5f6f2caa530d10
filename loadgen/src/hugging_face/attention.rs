//! Layers with attention or a state: how many of each kind, and their sizes.

use super::fields::Fields;
use warmpath_core::engine::physics::{LatentAttention, Layers, Recurrent};

/// The groups of layers.
#[derive(Debug, Default)]
pub struct Attention {
    pub full: Option<Layers>,
    pub windowed: Option<Layers>,
    pub latent: Option<LatentAttention>,
    pub recurrent: Option<Recurrent>,
}

/// How many layers there are of each kind.
#[derive(Debug, Default)]
struct Kinds {
    full: u32,
    windowed: u32,
    recurrent: u32,
}

pub fn read(fields: &mut Fields<'_>, hidden: u32, layers: u32) -> Attention {
    if fields.get("kv_lora_rank").is_some() {
        return Attention { latent: Some(latent(fields, layers)), ..Attention::default() };
    }
    let heads = fields.needed(&["num_attention_heads"]);
    let kv_heads = fields.whole(&["num_key_value_heads"]).unwrap_or(heads);
    let head_size = fields.whole(&["head_dim"]).unwrap_or(hidden / heads.max(1));
    let window = fields.whole(&["sliding_window"]).filter(|_| uses_windows(fields));
    let kinds = kinds(fields, layers, window.is_some());
    let group = |layers, window| Layers { layers, heads, kv_heads, head_size, window };
    let mut full = group(kinds.full, None);
    full.head_size = fields.whole(&["global_head_dim"]).unwrap_or(full.head_size);
    full.kv_heads = fields.whole(&["num_global_key_value_heads"]).unwrap_or(full.kv_heads);
    let windowed = group(kinds.windowed, window);
    Attention {
        full: Some(full).filter(|group| group.layers > 0),
        windowed: Some(windowed).filter(|group| group.layers > 0),
        latent: None,
        recurrent: (kinds.recurrent > 0).then(|| recurrent(fields, hidden, kinds.recurrent)),
    }
}

/// Qwen2's files have a window that they do not use.
fn uses_windows(fields: &Fields<'_>) -> bool {
    fields.flag("use_sliding_window") != Some(false)
}

fn kinds(fields: &mut Fields<'_>, layers: u32, has_window: bool) -> Kinds {
    if let Some(types) = fields.get("layer_types").or_else(|| fields.get("layers_block_type")) {
        return listed(fields, types, layers, has_window);
    }
    if !has_window {
        return Kinds { full: layers, ..Kinds::default() };
    }
    // Qwen2 and Qwen3: the first layers have full attention.
    let windowed = match fields.whole(&["max_window_layers"]) {
        Some(full) => layers.saturating_sub(full),
        // Every n-th layer has full attention. Without a pattern, none has.
        None => match fields.whole(&["sliding_window_pattern", "_sliding_window_pattern"]) {
            Some(0) | None => layers,
            Some(every) => layers - layers / every,
        },
    };
    Kinds { full: layers - windowed, windowed, recurrent: 0 }
}

fn listed(
    fields: &mut Fields<'_>,
    types: &serde_json::Value,
    layers: u32,
    has_window: bool,
) -> Kinds {
    let mut kinds = Kinds::default();
    let empty = Vec::new();
    for kind in types.as_array().unwrap_or(&empty) {
        match kind.as_str().unwrap_or_default() {
            "full_attention" | "attention" => kinds.full += 1,
            "sliding_attention" if has_window => kinds.windowed += 1,
            "sliding_attention" => kinds.full += 1,
            "mamba" => kinds.recurrent += 1,
            other => {
                fields.refuse(format!("layer_types: {other} is not modelled"));
                return Kinds { full: layers, ..Kinds::default() };
            }
        }
    }
    let all = kinds.full + kinds.windowed + kinds.recurrent;
    if all != layers {
        fields.refuse(format!("layer_types: {all} layers, expected {layers} (num_hidden_layers)"));
    }
    kinds
}

fn latent(fields: &mut Fields<'_>, layers: u32) -> LatentAttention {
    if fields.has("q_lora_rank") && fields.get("q_lora_rank").is_none() {
        fields.refuse("q_lora_rank: null, queries that are not compressed are not modelled");
    }
    LatentAttention {
        layers,
        heads: fields.needed(&["num_attention_heads"]),
        query_rank: fields.whole(&["q_lora_rank"]).unwrap_or(1),
        kv_rank: fields.needed(&["kv_lora_rank"]),
        rope_size: fields.needed(&["qk_rope_head_dim"]),
        nope_size: fields.needed(&["qk_nope_head_dim"]),
        value_size: fields.needed(&["v_head_dim"]),
    }
}

/// Mamba-2, as Granite 4 has it.
fn recurrent(fields: &mut Fields<'_>, hidden: u32, layers: u32) -> Recurrent {
    let expand = fields.needed(&["mamba_expand"]);
    fields.note("The state of recurrent layers is taken as BF16; an engine may keep it in FP32.");
    Recurrent {
        layers,
        width: hidden.saturating_mul(expand),
        state_size: fields.needed(&["mamba_d_state"]),
        groups: fields.needed(&["mamba_n_groups"]),
        heads: fields.needed(&["mamba_n_heads"]),
        conv_width: fields.needed(&["mamba_d_conv"]),
        state_bytes: 2,
    }
}
