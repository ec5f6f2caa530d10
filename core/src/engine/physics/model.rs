//! A language model: the sizes that its times and its memory follow from.

use super::error::BuildError;
use super::precision::{KvDtype, Precision};
use serde::{Deserialize, Serialize};

/// A file in `deploy/profiles/models`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name of the model.
    pub name: String,
    /// Other names of the model in measurements. The part after the last `/` is enough.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The kinds of kernels it needs.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Number of tokens in the vocabulary.
    pub vocab: u32,
    /// Whether input embedding and output layer share one matrix.
    #[serde(default)]
    pub tied_embeddings: bool,
    /// Layers with full attention.
    #[serde(default)]
    pub attention: Option<Layers>,
    /// Layers with a sliding window.
    #[serde(default)]
    pub windowed: Option<Layers>,
    /// Layers with latent attention (MLA).
    #[serde(default)]
    pub latent: Option<LatentAttention>,
    /// Layers with a recurrent state instead of attention.
    #[serde(default)]
    pub recurrent: Option<Recurrent>,
    /// Feed-forward blocks that every token uses; shared experts too.
    #[serde(default)]
    pub dense: Vec<Dense>,
    /// Feed-forward blocks with experts.
    #[serde(default)]
    pub experts: Option<Experts>,
}

/// The kinds of kernels that a model needs. Measurements of one family say little about another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Full attention and dense feed-forward blocks.
    Dense,
    /// Sliding windows and dense feed-forward blocks.
    WindowedDense,
    /// Full attention and experts.
    Moe,
    /// Experts and sliding windows.
    WindowedMoe,
    /// Experts and latent attention.
    LatentMoe,
    /// Experts, attention and recurrent layers.
    HybridMoe,
}

/// Attention layers of one shape.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// Number of layers.
    pub layers: u32,
    /// Query heads.
    pub heads: u32,
    /// Heads with keys and values.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_size: u32,
    /// Sliding window in tokens, the new token included. None for full attention.
    #[serde(default)]
    pub window: Option<u32>,
}

/// Latent attention (MLA, DeepSeek-V2, arXiv 2405.04434).
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentAttention {
    /// Number of layers.
    pub layers: u32,
    /// Query heads.
    pub heads: u32,
    /// Rank of the compressed queries.
    pub query_rank: u32,
    /// Rank of the compressed keys and values, which are cached.
    pub kv_rank: u32,
    /// Width of the part of a key with the position; all heads share it.
    pub rope_size: u32,
    /// Width of the rest of a key, for each head.
    pub nope_size: u32,
    /// Width of a value, for each head.
    pub value_size: u32,
}

/// Layers with a recurrent state (Mamba-2, arXiv 2405.21060).
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recurrent {
    /// Number of layers.
    pub layers: u32,
    /// Width inside the layer (`d_inner`).
    pub width: u32,
    /// State of each channel (`d_state`).
    pub state_size: u32,
    /// Groups of channels that share their projections B and C (`n_groups`).
    pub groups: u32,
    /// Heads.
    pub heads: u32,
    /// Taps of the convolution before the state (`d_conv`).
    pub conv_width: u32,
    /// Bytes of each number of the state: 2 in BF16.
    pub state_bytes: u32,
}

/// Dense feed-forward blocks of one width.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Number of layers.
    pub layers: u32,
    /// Width between up and down projection.
    pub width: u32,
}

/// Feed-forward blocks with experts.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experts {
    /// Number of layers.
    pub layers: u32,
    /// Experts in each layer.
    pub experts: u32,
    /// Experts that each token uses.
    pub per_token: u32,
    /// Width between up and down projection of one expert.
    pub width: u32,
}

/// The matrix of a product, in all layers that have it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Product {
    pub layers: f64,
    /// The size that is summed over.
    pub input: f64,
    pub output: f64,
    pub weights: Weights,
}

/// The format in which a product's weights are multiplied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Weights {
    /// The format of the linear layers.
    Linear,
    /// BF16: projections of latent attention. NVFP4 checkpoints keep them so, and engines absorb
    /// them into the attention of FP8 ones.
    Latent,
    /// BF16: expert routers and output layers.
    Plain,
}

impl Layers {
    /// KV heads on one of `tp` devices. Fewer heads than devices are copied.
    pub(super) fn kv_heads_each(&self, tp: u32) -> f64 {
        (f64::from(self.kv_heads) / f64::from(tp)).max(1.0)
    }

    /// KV bytes of a token in one layer, on one of `tp` devices.
    pub(super) fn kv_bytes_each(&self, kv: KvDtype, tp: u32) -> f64 {
        2.0 * self.kv_heads_each(tp) * f64::from(self.head_size) * kv.bytes()
    }

    fn products(&self, hidden: f64, tp: u32) -> [Product; 2] {
        let (layers, size) = (f64::from(self.layers), f64::from(self.head_size));
        let heads = f64::from(self.heads) / f64::from(tp);
        let qkv = (heads + 2.0 * self.kv_heads_each(tp)) * size;
        [
            Product { layers, input: hidden, output: qkv, weights: Weights::Linear },
            Product { layers, input: heads * size, output: hidden, weights: Weights::Linear },
        ]
    }
}

impl LatentAttention {
    /// KV bytes of a token in one layer. Every device holds all of them.
    pub(super) fn kv_bytes(&self, kv: KvDtype) -> f64 {
        f64::from(self.kv_rank + self.rope_size) * kv.bytes()
    }

    fn products(&self, hidden: f64, tp: u32) -> [Product; 4] {
        let layers = f64::from(self.layers);
        let heads = f64::from(self.heads) / f64::from(tp);
        let [query, rank, rope, nope, value] =
            [self.query_rank, self.kv_rank, self.rope_size, self.nope_size, self.value_size]
                .map(f64::from);
        let product = |input, output| Product { layers, input, output, weights: Weights::Latent };
        [
            product(hidden, query + rank + rope),
            product(query, heads * (nope + rope)),
            product(rank, heads * (nope + value)),
            product(heads * value, hidden),
        ]
    }
}

impl Recurrent {
    fn products(&self, hidden: f64, tp: u32) -> [Product; 2] {
        let layers = f64::from(self.layers);
        let devices = f64::from(tp);
        let width = f64::from(self.width) / devices;
        let state = 2.0 * f64::from(self.groups) * f64::from(self.state_size);
        let input = 2.0 * width + state + f64::from(self.heads) / devices;
        [
            Product { layers, input: hidden, output: input, weights: Weights::Linear },
            Product { layers, input: width, output: hidden, weights: Weights::Linear },
        ]
    }

    /// Bytes of one sequence's state and convolution, over all layers and devices.
    pub fn sequence_bytes(&self) -> f64 {
        let state = f64::from(self.width) * f64::from(self.state_size);
        let channels = f64::from(self.width) + 2.0 * f64::from(self.groups * self.state_size);
        let conv = channels * f64::from(self.conv_width.saturating_sub(1));
        f64::from(self.layers) * (state * f64::from(self.state_bytes) + conv * 2.0)
    }
}

impl Model {
    /// Number of layers with attention or a state.
    pub(super) fn layers(&self) -> f64 {
        let of = |layers: Option<u32>| f64::from(layers.unwrap_or(0));
        of(self.attention.map(|group| group.layers))
            + of(self.windowed.map(|group| group.layers))
            + of(self.latent.map(|group| group.layers))
            + of(self.recurrent.map(|group| group.layers))
    }

    /// The matrix products of every token, on one of `tp` devices.
    pub(super) fn products(&self, tp: u32) -> Vec<Product> {
        let hidden = f64::from(self.hidden);
        let mut products = Vec::new();
        for group in self.attention.iter().chain(&self.windowed) {
            products.extend(group.products(hidden, tp));
        }
        products.extend(self.latent.iter().flat_map(|latent| latent.products(hidden, tp)));
        products.extend(self.recurrent.iter().flat_map(|state| state.products(hidden, tp)));
        for dense in &self.dense {
            let (layers, width) = (f64::from(dense.layers), f64::from(dense.width) / f64::from(tp));
            let product =
                |input, output| Product { layers, input, output, weights: Weights::Linear };
            products.push(product(hidden, 2.0 * width));
            products.push(product(width, hidden));
        }
        if let Some(experts) = &self.experts {
            let (layers, output) = (f64::from(experts.layers), f64::from(experts.experts));
            products.push(Product { layers, input: hidden, output, weights: Weights::Plain });
        }
        products
    }

    /// Bytes of weights on one of `tp` devices.
    pub fn weight_bytes_each(&self, precision: Precision, tp: u32) -> f64 {
        let linear = precision.linear().weight_bytes;
        let products: f64 = self
            .products(tp)
            .iter()
            .map(|product| {
                let bytes = if product.weights == Weights::Plain { 2.0 } else { linear };
                product.layers * product.input * product.output * bytes
            })
            .sum();
        let experts = self.expert_parameters() / f64::from(tp) * precision.experts().weight_bytes;
        let matrices = if self.tied_embeddings { 1.0 } else { 2.0 };
        let embeddings = matrices * f64::from(self.hidden) * f64::from(self.vocab) * 2.0;
        products + experts + embeddings / f64::from(tp)
    }

    fn expert_parameters(&self) -> f64 {
        self.experts.map_or(0.0, |experts| {
            let one = 3.0 * f64::from(self.hidden) * f64::from(experts.width);
            f64::from(experts.layers) * f64::from(experts.experts) * one
        })
    }

    /// Number of all parameters, and number that one token uses (without embeddings).
    pub fn parameters(&self) -> (f64, f64) {
        let products: f64 =
            self.products(1).iter().map(|one| one.layers * one.input * one.output).sum();
        let matrices = if self.tied_embeddings { 1.0 } else { 2.0 };
        let output = f64::from(self.hidden) * f64::from(self.vocab);
        let experts = self.expert_parameters();
        let used = self
            .experts
            .map_or(0.0, |one| experts * f64::from(one.per_token) / f64::from(one.experts));
        (products + experts + matrices * output, products + used + output)
    }

    /// KV bytes of each further token, over all `tp` devices.
    pub fn growing_bytes_per_token(&self, kv: KvDtype, tp: u32) -> f64 {
        let full = self
            .attention
            .map_or(0.0, |group| f64::from(group.layers) * group.kv_bytes_each(kv, tp));
        let latent = self.latent.map_or(0.0, |group| f64::from(group.layers) * group.kv_bytes(kv));
        (full + latent) * f64::from(tp)
    }

    /// Bytes of a sequence's full sliding windows, over all `tp` devices.
    pub fn window_bytes(&self, kv: KvDtype, tp: u32) -> f64 {
        self.windowed.map_or(0.0, |group| {
            let tokens = f64::from(group.window.unwrap_or(0));
            f64::from(group.layers) * group.kv_bytes_each(kv, tp) * tokens * f64::from(tp)
        })
    }

    /// Bytes of a sequence's recurrent state, over all devices.
    pub fn state_bytes(&self) -> f64 {
        self.recurrent.map_or(0.0, |state| state.sequence_bytes())
    }

    /// The sliding window in tokens.
    pub(super) fn window(&self) -> Option<u32> {
        self.windowed.and_then(|group| group.window)
    }

    /// Whether `name` is the model's name or an alias, in upper or lower case, with or without the
    /// organisation before it.
    pub fn is_called(&self, name: &str) -> bool {
        let short = name.rsplit('/').next().unwrap_or(name);
        let known = || core::iter::once(&self.name).chain(&self.aliases);
        known().any(|known| known.eq_ignore_ascii_case(short) || known.eq_ignore_ascii_case(name))
    }

    /// Checks the sizes.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn check(&self) -> Result<(), BuildError> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every field that is out of range.
    pub fn problems(&self) -> Vec<BuildError> {
        let mut problems = Vec::new();
        let mut err = |field: &str, why: &str| {
            problems.push(BuildError::new(field, why.to_owned()));
        };
        if self.hidden == 0 {
            err("hidden", "0, expected at least 1");
        }
        if self.layers() < 1.0 {
            err("attention", "no layers, expected at least one group of them");
        }
        for (field, group) in [("attention", &self.attention), ("windowed", &self.windowed)] {
            let Some(group) = group else { continue };
            if group.heads == 0 || group.kv_heads == 0 || group.head_size == 0 {
                err(field, "heads, kv_heads and head_size: expected at least 1 each");
            }
            if (field == "windowed") != group.window.is_some_and(|window| window > 0) {
                err(field, "window: expected tokens in [windowed], and only there");
            }
        }
        if let Some(latent) = &self.latent
            && (latent.heads == 0 || latent.kv_rank == 0 || latent.value_size == 0)
        {
            err("latent", "heads, kv_rank and value_size: expected at least 1 each");
        }
        if let Some(experts) = &self.experts
            && !(1..=experts.experts).contains(&experts.per_token)
        {
            err("experts.per_token", "expected 1 to the number of experts");
        }
        problems
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Dense => "dense",
            Self::WindowedDense => "windowed dense",
            Self::Moe => "mixture-of-experts",
            Self::WindowedMoe => "windowed mixture-of-experts",
            Self::LatentMoe => "latent-attention",
            Self::HybridMoe => "hybrid",
        })
    }
}
