//! What a project is and can deploy, and what deploys a rule in it.

use crate::yaml::Node;

/// A project that rules are exported to.
#[derive(Debug)]
pub struct About {
    /// In a sentence.
    pub title: &'static str,
    /// The version whose names are used, and where it is from.
    pub version: &'static str,
    /// What takes the flags or the file.
    pub command: &'static str,
    /// The rules that it can deploy, and what each is called there.
    pub deploys: &'static [(&'static str, &'static str)],
    /// For rules that it cannot deploy: what it has that is nearest.
    pub nearest: &'static [(&'static str, &'static str)],
}

/// What deploys a rule.
#[derive(Default, Debug)]
pub struct Deployment {
    pub flags: Flags,
    pub file: Option<File>,
    /// What is not carried over, and what the user must set.
    pub notes: Vec<String>,
}

/// A configuration file.
#[derive(Debug)]
pub struct File {
    /// How the command takes it.
    pub flag: &'static str,
    pub content: Node,
    /// Whether the flags say the same as the file, for another command. None: they go beside it.
    pub in_flags: Option<&'static str>,
}

/// Flags of a command, each with its value.
#[derive(Default, Debug)]
pub struct Flags(pub Vec<(&'static str, String)>);

impl Flags {
    pub fn set(&mut self, flag: &'static str, value: impl Into<String>) {
        self.0.push((flag, value.into()));
    }

    /// Sets the flag unless the project has the value built in.
    pub fn unless(&mut self, built_in: &str, flag: &'static str, value: String) {
        if value != built_in {
            self.set(flag, value);
        }
    }

    /// On one line.
    pub fn line(&self) -> String {
        self.0.iter().map(|(flag, value)| format!(" {flag} {value}")).collect()
    }
}

impl Deployment {
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl About {
    /// What the rule is called there. None: it cannot be deployed.
    pub fn setting(&self, rule: &str) -> Option<&'static str> {
        self.deploys.iter().find(|(name, _)| *name == rule).map(|(_, setting)| *setting)
    }
}
