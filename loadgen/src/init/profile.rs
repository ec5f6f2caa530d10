//! A profile from a `config.json` and a device.

use crate::files::{bad, bad_lines};
use crate::hugging_face::{Checkpoint, read_config};
use anyhow::Result;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use warmpath_core::engine::physics::{Dense, Deployment, Layers, Model, ModelRef, Precision};
use warmpath_core::engine::profile::Profile;
use warmpath_launch::profiles;

/// What the profile is made from.
#[derive(Debug)]
pub struct Asked<'a> {
    /// A `config.json`, or a built-in model's name.
    pub model: &'a str,
    pub device: &'a str,
    pub tp: u32,
    pub precision: Option<Precision>,
    pub name: Option<&'a str>,
}

/// Hybrids and latent attention have blocks of their own size.
const HYBRID_BLOCK: u32 = 512;
const LATENT_BLOCK: u32 = 64;

/// The text of the profile. It can be read, and its times can be computed.
pub fn profile(asked: &Asked<'_>) -> Result<String> {
    let here = Path::new("");
    let device = profiles::device(asked.device, here).map_err(bad_lines)?;
    let (checkpoint, from) = checkpoint(asked.model)?;
    let Checkpoint { model, precision, kv_dtype, built_in, notes } = checkpoint;
    let precision = asked.precision.unwrap_or(precision);
    let tp = asked.tp;
    let name = match asked.name {
        Some(name) => name.to_owned(),
        None if tp == 1 => format!("{}-{precision}-{}", model.name, device.name),
        None => format!("{}-{precision}-{tp}x{}", model.name, device.name),
    };
    let by_name = built_in == Some(model.name.as_str());
    let deployment = Deployment {
        name: name.clone(),
        device: asked.device.to_owned(),
        model: match by_name {
            true => ModelRef::Named(model.name.clone()),
            false => ModelRef::Own(Box::new(model.clone())),
        },
        block_size: match (&model.recurrent, &model.latent) {
            (Some(_), _) => HYBRID_BLOCK,
            (None, Some(_)) => LATENT_BLOCK,
            (None, None) => 16,
        },
        ..Deployment::new(tp, precision, kv_dtype)
    };
    let built = Profile::build(&device, &model, &deployment);
    let built = built.map_err(|error| bad(format!("{from} on {tp} {}: {error}", device.name)))?;
    let mut text = head(&from, &model, &built, &deployment, &notes);
    write!(
        text,
        "name = {name:?}\n\
         device = {:?}              # a name, or a file beside this one\n",
        asked.device
    )?;
    if by_name {
        writeln!(text, "model = {:?}", model.name)?;
    }
    let Deployment { max_num_seqs, max_num_batched_tokens, block_size, memory_utilisation, .. } =
        deployment;
    write!(
        text,
        "\n\
         tp = {tp}\n\
         precision = \"{precision}\"\n\
         kv_dtype = \"{}\"\n\
         \n\
         # vLLM's defaults.\n\
         max_num_seqs = {max_num_seqs}\n\
         max_num_batched_tokens = {max_num_batched_tokens}\n\
         block_size = {block_size}\n\
         memory_utilisation = {memory_utilisation}\n\
         # hbm_tokens = 200_000       # room for KV, in place of what memory and weights leave\n",
        kv_dtype.name()
    )?;
    if !by_name {
        text.push_str(&sizes(&model));
    }
    Ok(text)
}

/// The model, and what to call the place that it is from.
fn checkpoint(name: &str) -> Result<(Checkpoint, String)> {
    let path = PathBuf::from(name);
    if path.extension().is_some_and(|ending| ending == "json") || name.contains('/') {
        return Ok((read_config(&path)?, name.to_owned()));
    }
    let model = profiles::model(name, Path::new("")).map_err(bad_lines)?;
    let built_in = profiles::models().iter().map(|(known, _)| *known).find(|n| *n == model.name);
    let precision = if name.starts_with("gpt-oss") { Precision::Mxfp4 } else { Precision::Bf16 };
    let kv_dtype = warmpath_core::engine::physics::KvDtype::Bf16;
    let from = format!("model {}", model.name);
    Ok((Checkpoint { model, precision, kv_dtype, built_in, notes: Vec::new() }, from))
}

/// What the file is, what its times rest on, and what they leave out.
fn head(
    from: &str,
    model: &Model,
    built: &Profile,
    deployment: &Deployment,
    notes: &[String],
) -> String {
    let (all, used) = model.parameters();
    let standing = built.standing();
    let times = match (standing.validated, standing.band_percent) {
        (true, Some(band)) => format!("within {band:.0} % in 95 of 100 steps"),
        (true, None) => "validated".to_owned(),
        (false, Some(band)) => format!("unvalidated, up to {band:.0} % off either way"),
        (false, None) => "unvalidated".to_owned(),
    };
    let mut lines = vec![
        format!("{} on {} {}, from {from}.", model.name, deployment.tp, deployment.device),
        format!(
            "{:.1} billion parameters, of which a token uses {:.1}; {} bytes of KV a token; room for {} \
             tokens of KV.",
            all / 1e9,
            used / 1e9,
            built.kv_bytes_per_token,
            built.hbm_tokens.map_or_else(|| "any number of".to_owned(), |room| room.to_string())
        ),
        format!("Step times: {times} ({}).", standing.because),
    ];
    lines.extend(notes.iter().cloned());
    lines
        .iter()
        .flat_map(|line| wrapped(line))
        .fold(String::new(), |text, line| text + &line + "\n")
}

/// A comment in lines of at most 100 characters.
fn wrapped(sentence: &str) -> Vec<String> {
    let mut lines = vec!["#".to_owned()];
    for word in sentence.split_whitespace() {
        let last = lines.last_mut().expect("at least one line");
        if last.chars().count() + word.chars().count() + 1 > 100 {
            lines.push(format!("#   {word}"));
        } else {
            last.push(' ');
            last.push_str(word);
        }
    }
    lines
}

/// The `[model]` table. Its names are those of a file in `deploy/profiles/models`.
fn sizes(model: &Model) -> String {
    let mut text = String::from("\n# The model's sizes, from its config.json.\n[model]\n");
    let mut put = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    put(format!("name = {:?}", model.name));
    put(format!("family = {}", serde_json::json!(model.family)));
    put(format!("hidden = {}", model.hidden));
    put(format!("vocab = {}", model.vocab));
    put(format!("tied_embeddings = {}", model.tied_embeddings));
    for (name, group) in [("attention", &model.attention), ("windowed", &model.windowed)] {
        let Some(Layers { layers, heads, kv_heads, head_size, window }) = *group else { continue };
        put(format!("\n[model.{name}]\nlayers = {layers}\nheads = {heads}\nkv_heads = {kv_heads}"));
        put(format!("head_size = {head_size}"));
        if let Some(window) = window {
            put(format!("window = {window}"));
        }
    }
    if let Some(of) = &model.latent {
        put(format!("\n[model.latent]\nlayers = {}\nheads = {}", of.layers, of.heads));
        put(format!("query_rank = {}\nkv_rank = {}", of.query_rank, of.kv_rank));
        put(format!("rope_size = {}\nnope_size = {}", of.rope_size, of.nope_size));
        put(format!("value_size = {}", of.value_size));
    }
    if let Some(of) = &model.recurrent {
        put(format!("\n[model.recurrent]\nlayers = {}\nwidth = {}", of.layers, of.width));
        put(format!("state_size = {}\ngroups = {}", of.state_size, of.groups));
        put(format!("heads = {}\nconv_width = {}", of.heads, of.conv_width));
        put(format!("state_bytes = {}", of.state_bytes));
    }
    for Dense { layers, width } in &model.dense {
        put(format!("\n[[model.dense]]\nlayers = {layers}\nwidth = {width}"));
    }
    if let Some(of) = &model.experts {
        put(format!("\n[model.experts]\nlayers = {}\nexperts = {}", of.layers, of.experts));
        put(format!("per_token = {}\nwidth = {}", of.per_token, of.width));
    }
    text
}
