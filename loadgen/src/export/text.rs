//! An exported configuration as text with comments, and as JSON.

use super::deployment::{About, Deployment, File};
use serde_json::{Value, json};

/// The flags, one a line, or the file. Comments before it say what it is, how it is used and what is not carried over.
pub fn of(rule: &str, about: &About, deployment: &Deployment) -> String {
    let About { title, version, command, .. } = about;
    let Deployment { flags, file, notes } = deployment;
    let mut text = format!("# {rule} for {title}, with the names of {version}\n");
    match file {
        None => text.push_str(&format!("# Flags of: {command}\n")),
        Some(File { flag, in_flags: None, .. }) => {
            text.push_str(&format!("# This is FILE of: {command}{} {flag} FILE\n", flags.line()));
        }
        Some(File { flag, in_flags: Some(other), .. }) => {
            text.push_str(&format!("# This is FILE of: {command} {flag} FILE\n"));
            text.push_str(&format!("# The same as flags: {other}{}\n", flags.line()));
        }
    }
    for note in notes {
        text.push_str(&format!("# Note: {note}\n"));
    }
    match file {
        Some(File { content, .. }) => text.push_str(&content.document()),
        None => {
            flags.0.iter().for_each(|(flag, value)| text.push_str(&format!("{flag} {value}\n")))
        }
    }
    text
}

pub fn json(rule: &str, project: &str, about: &About, deployment: &Deployment) -> String {
    let Deployment { flags, file, notes } = deployment;
    let flags: Vec<&str> =
        flags.0.iter().flat_map(|(flag, value)| [*flag, value.as_str()]).collect();
    let file = file.as_ref().map_or(Value::Null, |File { flag, content, in_flags }| {
        json!({ "flag": flag, "content": content.json(), "same_as_flags_of": in_flags })
    });
    let About { version, command, .. } = about;
    let all = json!({
        "rule": rule,
        "project": project,
        "version": version,
        "command": command,
        "flags": flags,
        "file": file,
        "notes": notes,
    });
    let text = serde_json::to_string_pretty(&all).expect("JSON of texts can be written");
    text + "\n"
}
