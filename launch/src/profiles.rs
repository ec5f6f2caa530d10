//! Profiles, devices and models by name or from a file.
//!
//! A profile that names a device and a model is computed from those two files. A profile with a
//! `[step]` table gives its step times itself; it describes no real hardware.

use crate::bounded;
use crate::names::{self, is_path};
use crate::settings::{self, explain_field};
use crate::toml_file::Refused;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::path::Path;
use warmpath_core::engine::physics::{BuildError, Deployment, Device, Model, ModelRef};
use warmpath_core::engine::profile::{Profile, ProfileError};

/// A file that is part of the program: its name and its text.
pub type Row = (&'static str, &'static str);

macro_rules! rows {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../deploy/profiles/", $folder, $name, ".toml")))),*]
    };
}

const PROFILES: &[Row] = rows!("":
    "llama-70b-fp8-2xh100" "llama-70b-fp8-4xh100" "llama-70b-fp8-4xh100-shared"
    "llama-70b-fp8-4xh100-tiers" "llama-70b-nvfp4-b200" "llama-8b-bf16-h100" "llama-8b-bf16-h100-offload"
    "qwen3-32b-bf16-2xh100" "qwen3-235b-fp8-4xh200" "gpt-oss-120b-h200" "deepseek-v3-fp8-8xh200"
    "deepseek-v3-nvfp4-8xgb300" "granite-h-small-bf16-h200" "r1-distill-1.5b-m5-max" "llama-8b-int4-m5-max"
    "llama-70b-int4-m5-max" "llama-70b-fp8-512xlpu" "lab-tp2"
    "lab-tp4");
const DEVICES: &[Row] = rows!("devices/":
    "h100" "h200" "b200" "gb300" "vera-rubin" "mi300x" "tpu7x" "trainium3" "groq-3-lpu" "groq-3-lpu-x64" "m5-max");
const MODELS: &[Row] = rows!("models/":
    "llama-3.1-8b" "llama-3.1-70b" "qwen3-32b" "qwen3-30b-a3b" "qwen3-235b-a22b" "gpt-oss-20b"
    "gpt-oss-120b" "deepseek-v3" "mistral-large-2" "gemma-4-26b-a4b" "granite-4.0-h-small"
    "r1-distill-qwen-1.5b");

/// The profile with a built-in name, or from a file in `folder`. An error is one line; it names the
/// file, the line and the field where it can.
pub fn load(name: &str, folder: &Path) -> Result<Profile, String> {
    match find(PROFILES, name) {
        Some(text) => parse(Path::new(&format!("profile {name}")), text),
        None if is_path(name) => from_file(&folder.join(name)).map(|(profile, _)| profile),
        None => Err(unknown("profile", name, PROFILES)),
    }
}

/// The profile in a file, and the file's text for later error messages.
pub fn from_file(path: &Path) -> Result<(Profile, String), String> {
    let text = read(path)?;
    Ok((parse(path, &text)?, text))
}

/// The profile in a text. `path` is its name in errors. Files of devices and models that it names
/// are relative to the folder of `path`.
pub fn parse(path: &Path, text: &str) -> Result<Profile, String> {
    #[derive(Deserialize)]
    struct Kind {
        device: Option<IgnoredAny>,
        model: Option<IgnoredAny>,
    }
    // What is not TOML is said by the reading below.
    let of_device = toml::from_str(text)
        .is_ok_and(|Kind { device, model }| device.is_some() || model.is_some());
    if !of_device {
        return settings::parse_checked(path, text, |profile: Profile| {
            let refused = |error: ProfileError| vec![(error.field.to_owned(), error.why)];
            profile.check().map_err(refused).map(|()| profile)
        });
    }
    let deployment = settings::parse_checked(path, text, |deployment: Deployment| {
        let mut problems = deployment.problems();
        if let ModelRef::Own(model) = &deployment.model {
            let inside =
                |error: BuildError| BuildError::new(format!("model.{}", error.field), error.why);
            problems.extend(model.problems().into_iter().map(inside));
        }
        if problems.is_empty() { Ok(deployment) } else { Err(refused(problems)) }
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    // The file of a device or a model may have several errors.
    let named = |field: &str, why: String| {
        let (first, more) = why.split_once('\n').unwrap_or((&why, ""));
        let first = explain_field(path, text, field, first);
        if more.is_empty() { first } else { format!("{first}\n{more}") }
    };
    let device = device(&deployment.device, folder).map_err(|why| named("device", why));
    let model = match &deployment.model {
        ModelRef::Named(name) => model(name, folder).map_err(|why| named("model", why)),
        ModelRef::Own(model) => Ok((**model).clone()),
    };
    let (device, model) = match (device, model) {
        (Ok(device), Ok(model)) => (device, model),
        (device, model) => {
            let why: Vec<String> = device.err().into_iter().chain(model.err()).collect();
            return Err(why.join("\n"));
        }
    };
    Profile::build(&device, &model, &deployment)
        .map_err(|error| explain_field(path, text, &error.field, &error.why))
}

fn refused(problems: Vec<BuildError>) -> Vec<Refused> {
    problems.into_iter().map(|error| (error.field, error.why)).collect()
}

/// The device with a built-in name or alias, or from a file in `folder`.
pub fn device(name: &str, folder: &Path) -> Result<Device, String> {
    row("device", DEVICES, name, folder, Device::problems, |device: &Device| {
        device.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    })
}

/// The model with a built-in name or alias, or from a file in `folder`.
pub fn model(name: &str, folder: &Path) -> Result<Model, String> {
    row("model", MODELS, name, folder, Model::problems, |model: &Model| model.is_called(name))
}

/// The text of a device's file, for a copy that keeps its comments.
pub fn device_text(name: &str, folder: &Path) -> Result<String, String> {
    match find(DEVICES, name) {
        Some(text) => Ok(text.to_owned()),
        None if is_path(name) => read(&folder.join(name)),
        None => Err(unknown("device", name, DEVICES)),
    }
}

/// The built-in devices: names and files.
pub const fn devices() -> &'static [Row] {
    DEVICES
}

/// The built-in models: names and files.
pub const fn models() -> &'static [Row] {
    MODELS
}

/// The built-in profiles: names and files.
pub const fn profiles() -> &'static [Row] {
    PROFILES
}

/// The built-in device names.
pub fn device_names() -> impl Iterator<Item = &'static str> {
    DEVICES.iter().map(|(name, _)| *name)
}

/// The built-in model names.
pub fn model_names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, _)| *name)
}

fn row<T: DeserializeOwned>(
    kind: &str,
    rows: &[Row],
    name: &str,
    folder: &Path,
    problems: fn(&T) -> Vec<BuildError>,
    is_called: impl Fn(&T) -> bool,
) -> Result<T, String> {
    let checked = |path: &Path, text: &str| {
        settings::parse_checked(path, text, |row: T| {
            let problems = problems(&row);
            if problems.is_empty() { Ok(row) } else { Err(refused(problems)) }
        })
    };
    if let Some(text) = find(rows, name) {
        return checked(Path::new(&format!("{kind} {name}")), text);
    }
    // Aliases first: Hugging Face's names have a slash, like a path.
    for (known, text) in rows {
        let row = checked(Path::new(&format!("{kind} {known}")), text)?;
        if is_called(&row) {
            return Ok(row);
        }
    }
    if is_path(name) {
        let path = folder.join(name);
        return checked(&path, &read(&path)?);
    }
    Err(unknown(kind, name, rows))
}

fn find(rows: &[Row], name: &str) -> Option<&'static str> {
    rows.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

fn read(path: &Path) -> Result<String, String> {
    bounded::text_of(path)
}

fn unknown(kind: &str, name: &str, rows: &[Row]) -> String {
    names::unknown(kind, name, rows.iter().map(|(name, _)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_file_can_be_used() {
        let here = Path::new("");
        for name in device_names() {
            assert_eq!(device(name, here).unwrap().name, name);
        }
        for name in model_names() {
            assert_eq!(model(name, here).unwrap().name, name);
        }
        assert_eq!(model("meta-llama/Llama-3.1-70B", here).unwrap().name, "llama-3.1-70b");
        for (name, _) in profiles() {
            assert_eq!(load(name, here).unwrap().name, *name);
        }
    }
}
