//! Feed-forward blocks: dense ones, experts, and experts that every token uses.

use super::fields::Fields;
use warmpath_core::engine::physics::{Dense, Experts};

#[derive(Debug, Default)]
pub struct FeedForward {
    pub dense: Vec<Dense>,
    pub experts: Option<Experts>,
}

pub fn read(fields: &mut Fields<'_>, layers: u32) -> FeedForward {
    let counts = ["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"];
    let experts = fields.whole(&counts).filter(|&count| count > 0);
    let Some(experts) = experts else {
        let width = fields.needed(&["intermediate_size", "shared_intermediate_size"]);
        return FeedForward { dense: vec![Dense { layers, width }], experts: None };
    };
    let used = [
        "num_experts_per_tok",
        "experts_per_token",
        "num_experts_per_token",
        "top_k_experts",
        "moe_topk",
        "moe_k",
    ];
    let per_token = fields.needed(&used);
    let dense_layers = dense_layers(fields, layers);
    let with_experts = layers - dense_layers;
    let mut dense = Vec::new();
    // Gemma 4 has a dense block beside the experts of each layer.
    let beside = fields.flag("enable_moe_block") == Some(true);
    if dense_layers > 0 || beside {
        let width = fields.needed(&["intermediate_size"]);
        dense.push(Dense { layers: if beside { layers } else { dense_layers }, width });
    }
    let width = fields.needed(&["moe_intermediate_size", "intermediate_size"]);
    if let Some(width) = shared_width(fields, width) {
        dense.push(Dense { layers: with_experts, width });
    }
    let experts = Experts { layers: with_experts, experts, per_token, width };
    FeedForward { dense, experts: Some(experts) }
}

/// How many layers have a dense block in place of experts.
fn dense_layers(fields: &mut Fields<'_>, layers: u32) -> u32 {
    if let Some(first) = fields.whole(&["first_k_dense_replace"]) {
        let every = fields.whole(&["moe_layer_freq"]).unwrap_or(1);
        if every > 1 {
            fields.refuse(format!(
                "moe_layer_freq: {every}, experts in some layers are not modelled"
            ));
        }
        return first.min(layers);
    }
    if let Some(first) = fields.whole(&["moe_layer_start_index"]) {
        return first.min(layers);
    }
    let listed = fields.get("mlp_only_layers").and_then(|all| all.as_array().map(Vec::len));
    let every = fields.whole(&["decoder_sparse_step"]).unwrap_or(1).max(1);
    let others = layers - layers / every;
    (listed.unwrap_or(0) as u32 + others).min(layers)
}

/// The width of the experts that every token uses. None: there are none.
fn shared_width(fields: &mut Fields<'_>, one: u32) -> Option<u32> {
    let own = fields.whole(&["shared_expert_intermediate_size", "shared_intermediate_size"]);
    let many = ["n_shared_experts", "num_shared_experts", "moe_num_shared_experts"];
    let width = own.or_else(|| fields.whole(&many).map(|count| count.saturating_mul(one)));
    width.filter(|&width| width > 0)
}
