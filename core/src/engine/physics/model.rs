//! One language model: the sizes that its times and its memory follow from.

use super::error::BuildError;
use super::precision::{KvDtype, Precision};
use serde::{Deserialize, Serialize};

/// A file in `deploy/profiles/models`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    /// What else measurements call it; a part of a name after the last `/` is enough.
    #[serde(default)]
    pub aliases: Vec<String>,
    pub family: Family,
    /// Width of the residual stream.
    pub hidden: u32,
    pub vocab: u32,
    /// Whether input embedding and output layer are one matrix.
    #[serde(default)]
    pub tied_embeddings: bool,
    /// Layers that attend to everything before.
    #[serde(default)]
    pub attention: Option<Layers>,
    /// Layers that attend to a window.
    #[serde(default)]
    pub windowed: Option<Layers>,
    /// Layers with latent attention (MLA).
    #[serde(default)]
    pub latent: Option<LatentAttention>,
    /// Layers with a recurrent state in place of attention.
    #[serde(default)]
    pub recurrent: Option<Recurrent>,
    /// Feed-forward blocks that every token goes through; shared experts too.
    #[serde(default)]
    pub dense: Vec<Dense>,
    #[serde(default)]
    pub experts: Option<Experts>,
}

/// What kinds of kernels a model needs. Measurements of one kind say little about another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    Dense,
    Moe,
    /// Experts and sliding windows.
    WindowedMoe,
    /// Experts and latent attention.
    LatentMoe,
    /// Experts, attention and recurrent layers.
    HybridMoe,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    pub layers: u32,
    pub heads: u32,
    pub kv_heads: u32,
    pub head_size: u32,
    /// Tokens, the own one included. For windowed layers only.
    #[serde(default)]
    pub window: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentAttention {
    pub layers: u32,
    pub heads: u32,
    pub query_rank: u32,
    pub kv_rank: u32,
    /// Of a key, the part that carries the position; shared by all heads.
    pub rope_size: u32,
    /// Of a key, the rest.
    pub nope_size: u32,
    pub value_size: u32,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recurrent {
    pub layers: u32,
    /// Width inside the layer (`d_inner`).
    pub width: u32,
    /// Of each channel (`d_state`).
    pub state_size: u32,
    pub groups: u32,
    pub heads: u32,
    /// Taps of the convolution before it.
    pub conv_width: u32,
    /// Of the state as it is kept: 2 in BF16.
    pub state_bytes: u32,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    pub layers: u32,
    /// Width between the up and the down projection.
    pub width: u32,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experts {
    pub layers: u32,
    pub experts: u32,
    /// How many each token goes to.
    pub per_token: u32,
    pub width: u32,
}

/// A matrix product's weights in all layers that have it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Product {
    pub layers: f64,
    /// The side that is summed over.
    pub input: f64,
    pub output: f64,
    pub weights: Weights,
}

/// Which format a product's weights are multiplied in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Weights {
    /// That of the linear layers.
    Linear,
    /// The projections of latent attention: multiplied in BF16, as NVFP4 checkpoints keep them and as
    /// engines absorb them into the attention of FP8 ones.
    Latent,
    /// BF16: routers and output layers.
    Plain,
}

impl Layers {
    /// Heads whose keys and values one of `tp` devices holds: they are copied where there are fewer
    /// heads than devices.
    fn kv_heads_each(&self, tp: u32) -> f64 {
        (f64::from(self.kv_heads) / f64::from(tp)).max(1.0)
    }

    /// Of one layer on one of `tp` devices.
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
    /// Of one layer; every device holds all of it.
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

    /// State and convolution of one sequence, over all layers and devices.
    pub fn sequence_bytes(&self) -> f64 {
        let state = f64::from(self.width) * f64::from(self.state_size);
        let channels = f64::from(self.width) + 2.0 * f64::from(self.groups * self.state_size);
        let conv = channels * f64::from(self.conv_width.saturating_sub(1));
        f64::from(self.layers) * (state * f64::from(self.state_bytes) + conv * 2.0)
    }
}

impl Model {
    pub(super) fn layers(&self) -> f64 {
        let of = |layers: Option<u32>| f64::from(layers.unwrap_or(0));
        of(self.attention.map(|group| group.layers))
            + of(self.windowed.map(|group| group.layers))
            + of(self.latent.map(|group| group.layers))
            + of(self.recurrent.map(|group| group.layers))
    }

    /// The products of every token, on one of `tp` devices.
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

    /// Weights on one of `tp` devices, in bytes.
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

    /// All parameters, and those that one token uses (embeddings left out).
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

    /// What each further token adds to the KV cache of `tp` devices together, in bytes.
    pub fn growing_bytes_per_token(&self, kv: KvDtype, tp: u32) -> f64 {
        let full = self
            .attention
            .map_or(0.0, |group| f64::from(group.layers) * group.kv_bytes_each(kv, tp));
        let latent = self.latent.map_or(0.0, |group| f64::from(group.layers) * group.kv_bytes(kv));
        (full + latent) * f64::from(tp)
    }

    /// What a sequence needs once, however long it is: windows that are full, in bytes over all
    /// devices.
    pub fn window_bytes(&self, kv: KvDtype, tp: u32) -> f64 {
        self.windowed.map_or(0.0, |group| {
            let tokens = f64::from(group.window.unwrap_or(0));
            f64::from(group.layers) * group.kv_bytes_each(kv, tp) * tokens * f64::from(tp)
        })
    }

    /// The recurrent state of one sequence, in bytes over all devices.
    pub fn state_bytes(&self) -> f64 {
        self.recurrent.map_or(0.0, |state| state.sequence_bytes())
    }

    pub(super) fn window(&self) -> Option<u32> {
        self.windowed.and_then(|group| group.window)
    }

    /// Whether `name` means this model: its name or an alias, in any case, with or without the
    /// organisation before it.
    pub fn is_called(&self, name: &str) -> bool {
        let short = name.rsplit('/').next().unwrap_or(name);
        let known = || core::iter::once(&self.name).chain(&self.aliases);
        known().any(|known| known.eq_ignore_ascii_case(short) || known.eq_ignore_ascii_case(name))
    }

    pub fn check(&self) -> Result<(), BuildError> {
        let err = |field: &str, why: &str| Err(BuildError::new(field, why.to_owned()));
        if self.hidden == 0 {
            return err("hidden", "0, expected at least 1");
        }
        if self.layers() < 1.0 {
            return err("attention", "no layers, expected at least one group of them");
        }
        for (field, group) in [("attention", &self.attention), ("windowed", &self.windowed)] {
            let Some(group) = group else { continue };
            if group.heads == 0 || group.kv_heads == 0 || group.head_size == 0 {
                return err(field, "heads, kv_heads and head_size: expected at least 1 each");
            }
            if (field == "windowed") != group.window.is_some_and(|window| window > 0) {
                return err(field, "window: expected tokens in [windowed], and only there");
            }
        }
        if let Some(latent) = &self.latent
            && (latent.heads == 0 || latent.kv_rank == 0 || latent.value_size == 0)
        {
            return err("latent", "heads, kv_rank and value_size: expected at least 1 each");
        }
        if let Some(experts) = &self.experts
            && !(1..=experts.experts).contains(&experts.per_token)
        {
            return err("experts.per_token", "expected 1 to the number of experts");
        }
        Ok(())
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Dense => "dense",
            Self::Moe => "mixture-of-experts",
            Self::WindowedMoe => "windowed mixture-of-experts",
            Self::LatentMoe => "latent-attention",
            Self::HybridMoe => "hybrid",
        })
    }
}
