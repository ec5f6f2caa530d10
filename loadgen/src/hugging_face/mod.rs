//! A model from Hugging Face's `config.json`: its sizes, its number format, and what the file says that
//! the times do not know.

mod architectures;
mod attention;
mod feed_forward;
mod fields;
mod quantization;

#[cfg(test)]
mod tests;

use anyhow::Result;
use fields::Fields;
use std::path::Path;
use warmpath_core::engine::physics::{Family, KvDtype, Model, Precision};
use warmpath_launch::profiles;

use crate::files::{bad_lines, read};

/// What a `config.json` says.
#[derive(Clone, PartialEq, Debug)]
pub struct Checkpoint {
    pub model: Model,
    /// The format of its weights.
    pub precision: Precision,
    /// The format of its KV cache, where the file says one; else that of vLLM's default.
    pub kv_dtype: KvDtype,
    /// The built-in model with the same sizes.
    pub built_in: Option<&'static str>,
    /// What is not modelled, or was taken from elsewhere.
    pub notes: Vec<String>,
}

/// Reads a `config.json`. An error has a line for each thing that cannot be used.
pub fn read_config(path: &Path) -> Result<Checkpoint> {
    parse(&read(path)?).map_err(|lines| {
        let line = |why: &String| format!("{}: {why}", path.display());
        bad_lines(lines.iter().map(line).collect::<Vec<_>>().join("\n"))
    })
}

/// As [`read_config`], of a text.
pub fn parse(text: &str) -> Result<Checkpoint, Vec<String>> {
    let value = serde_json::from_str(text)
        .map_err(|error| vec![format!("line {}: not JSON: {error}", error.line())])?;
    let mut fields = Fields::of(&value).map_err(|why| vec![why])?;
    let architecture = architectures::check(&mut fields);
    let (hidden, vocab) = (fields.needed(&["hidden_size"]), fields.needed(&["vocab_size"]));
    let layers = fields.needed(&["num_hidden_layers"]);
    let attention = attention::read(&mut fields, hidden, layers);
    let feed_forward = feed_forward::read(&mut fields, layers);
    let tied = fields
        .flag("tie_word_embeddings")
        .unwrap_or_else(|| architectures::ties_embeddings(&architecture));
    let (precision, kv_dtype) = quantization::read(&mut fields);
    let family = match (&attention, &feed_forward.experts) {
        (attention, Some(_)) if attention.recurrent.is_some() => Family::HybridMoe,
        (attention, Some(_)) if attention.latent.is_some() => Family::LatentMoe,
        (attention, Some(_)) if attention.windowed.is_some() => Family::WindowedMoe,
        (_, Some(_)) => Family::Moe,
        (attention, None) if attention.recurrent.is_some() || attention.latent.is_some() => {
            fields.refuse("recurrent layers or latent attention without experts are not modelled");
            Family::Dense
        }
        (attention, None) if attention.windowed.is_some() => Family::WindowedDense,
        (_, None) => Family::Dense,
    };
    let mut model = Model {
        name: String::new(),
        aliases: Vec::new(),
        family,
        hidden,
        vocab,
        tied_embeddings: tied,
        attention: attention.full,
        windowed: attention.windowed,
        latent: attention.latent,
        recurrent: attention.recurrent,
        dense: feed_forward.dense,
        experts: feed_forward.experts,
    };
    let (errors, notes) = fields.finish();
    if !errors.is_empty() {
        return Err(errors);
    }
    let problems = model.problems();
    if !problems.is_empty() {
        return Err(problems.iter().map(ToString::to_string).collect());
    }
    let built_in = same_as(&model);
    model.name = match built_in {
        Some(name) => name.to_owned(),
        None => name_of(&model, &architecture),
    };
    Ok(Checkpoint { model, precision, kv_dtype, built_in, notes })
}

/// The built-in model with the same sizes.
fn same_as(model: &Model) -> Option<&'static str> {
    profiles::models().iter().map(|(name, _)| *name).find(|name| {
        profiles::model(name, Path::new("")).is_ok_and(|known| {
            let (name, aliases) = (model.name.clone(), model.aliases.clone());
            // One block of each width, in any order.
            let sorted = |model: &Model| {
                let mut dense = model.dense.clone();
                dense.sort_by_key(|one| (one.width, one.layers));
                dense
            };
            sorted(&known) == sorted(model)
                && Model { name, aliases, dense: model.dense.clone(), ..known } == *model
        })
    })
}

/// A name from the architecture and the number of parameters, such as `qwen3moe-30b`.
fn name_of(model: &Model, architecture: &str) -> String {
    let kind = ["ForCausalLM", "ForConditionalGeneration"]
        .iter()
        .find_map(|end| architecture.strip_suffix(end))
        .unwrap_or(architecture);
    let billions = model.parameters().0 / 1e9;
    let size = if billions < 10.0 { format!("{billions:.1}") } else { format!("{billions:.0}") };
    format!("{}-{size}b", kind.to_ascii_lowercase())
}
