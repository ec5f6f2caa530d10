//! What the crates of others must keep to, as far as it can be seen without a network: where they come from, which are
//! banned, and their licences. The rules are those of `deny.toml`. Advisories need a database, and so `cargo deny`.

use crate::files::{members, read, root};
use std::process::Command;

/// The rules of `deny.toml` that are checked here.
struct Rules {
    /// A crate, and the version below which it is banned; None: every version.
    banned: Vec<(String, Option<Version>)>,
    registries: Vec<String>,
    licences: Vec<String>,
}

type Version = [u64; 3];

fn version(text: &str) -> Version {
    let numbers = text.split(['-', '+']).next().unwrap_or(text).split('.');
    let mut numbers = numbers.map(|number| number.parse().unwrap());
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

fn texts(value: &toml::Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

impl Rules {
    fn read() -> Self {
        let file: toml::Table = read(&root().join("deny.toml")).parse().unwrap();
        let banned = file["bans"]["deny"].as_array().unwrap().iter().map(|ban| {
            let text = ban["crate"].as_str().unwrap();
            match text.split_once(":<") {
                None => (text.to_owned(), None),
                Some((name, below)) => (name.to_owned(), Some(version(below))),
            }
        });
        assert!(texts(&file["sources"]["allow-git"]).is_empty(), "a rule that is not checked here");
        Self {
            banned: banned.collect(),
            registries: texts(&file["sources"]["allow-registry"]),
            licences: texts(&file["licenses"]["allow"]),
        }
    }

    /// What is wrong with the crates of a lock file. Those of this workspace have no source.
    fn offences(&self, lock: &str) -> Vec<String> {
        let lock: toml::Table = lock.parse().unwrap();
        let mut found = Vec::new();
        for package in lock["package"].as_array().unwrap() {
            let (name, own) =
                (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
            let Some(source) = package.get("source").map(|source| source.as_str().unwrap()) else {
                continue;
            };
            let registry = source.strip_prefix("registry+");
            if !registry.is_some_and(|url| self.registries.iter().any(|allowed| allowed == url)) {
                found.push(format!("{name} {own} is from {source}"));
            } else if package.get("checksum").is_none() {
                found.push(format!("{name} {own} has no checksum"));
            }
            let is_banned = |(banned, below): &(String, Option<Version>)| {
                banned == name && below.is_none_or(|below| version(own) < below)
            };
            if self.banned.iter().any(is_banned) {
                found.push(format!("{name} {own} is banned"));
            }
        }
        found
    }

    /// Whether a crate may be used under licences that are allowed.
    fn allows(&self, licence: &str) -> bool {
        let text = licence.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let mut words: Vec<&str> = text.split_whitespace().rev().collect();
        let allowed = self.any_of(&mut words);
        allowed && words.is_empty()
    }

    /// Reads words from the end of the list: what they mean is not cut short.
    fn any_of(&self, words: &mut Vec<&str>) -> bool {
        let mut any = self.all_of(words);
        while words.pop_if(|word| *word == "OR").is_some() {
            any |= self.all_of(words);
        }
        any
    }

    fn all_of(&self, words: &mut Vec<&str>) -> bool {
        let mut all = self.one(words);
        while words.pop_if(|word| *word == "AND").is_some() {
            all &= self.one(words);
        }
        all
    }

    fn one(&self, words: &mut Vec<&str>) -> bool {
        let Some(first) = words.pop() else { return false };
        if first == "(" {
            let inner = self.any_of(words);
            return words.pop() == Some(")") && inner;
        }
        let name = match words.pop_if(|word| *word == "WITH") {
            Some(_) => format!("{first} WITH {}", words.pop().unwrap_or_default()),
            None => first.to_owned(),
        };
        self.licences.contains(&name)
    }
}

/// Each crate that this machine builds, and its licence.
fn licences() -> Vec<(String, Option<String>)> {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let rustc = String::from_utf8(rustc.stdout).unwrap();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--offline", "--format-version", "1", "--filter-platform", host]);
    let output = command.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
        let name = format!("{} {}", package["name"], package["version"]);
        (name, package["license"].as_str().map(str::to_owned))
    });
    packages.collect()
}

#[test]
fn crates_of_others_keep_to_the_rules() {
    let rules = Rules::read();
    let offences = rules.offences(&read(&root().join("Cargo.lock")));
    assert!(offences.is_empty(), "{offences:#?}");
    let all = licences();
    assert!(all.len() > 100, "{} crates", all.len());
    let wrong: Vec<_> = all
        .iter()
        .filter(|(_, licence)| !licence.as_deref().is_some_and(|licence| rules.allows(licence)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_own_crate_may_be_unsafe() {
    let forbids = |manifest: &str, workspace: &str| {
        let [manifest, workspace]: [toml::Table; 2] =
            [manifest, workspace].map(|text| text.parse().unwrap());
        let own = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        own.and_then(toml::Value::as_bool) == Some(true)
            && workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str() == Some("forbid")
    };
    let workspace = read(&root().join("Cargo.toml"));
    for member in members() {
        assert!(forbids(&read(&root().join(&member).join("Cargo.toml")), &workspace), "{member}");
    }
    let manifest = read(&root().join("core/Cargo.toml"));
    assert!(!forbids(&manifest.replace("[lints]\nworkspace = true", ""), &workspace));
    assert!(!forbids(
        &manifest,
        &workspace.replace("unsafe_code = \"forbid\"", "unsafe_code = \"warn\"")
    ));
}

/// The control of both checks.
#[test]
fn a_crate_that_must_be_refused_is_found() {
    let rules = Rules::read();
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    let offences = |name: &str, version: &str, source: &str| {
        let lock = format!(
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\nchecksum = \"0\"\n"
        );
        rules.offences(&lock)
    };
    assert_eq!(offences("h2", "0.4.19", registry), [""; 0]);
    assert_eq!(offences("h2", "0.4.15", registry), ["h2 0.4.15 is banned"]);
    assert_eq!(offences("openssl-sys", "0.9.100", registry), ["openssl-sys 0.9.100 is banned"]);
    for source in ["git+https://github.com/a/b#c", "registry+https://example.org/index"] {
        assert_eq!(offences("serde", "1.0.0", source), [format!("serde 1.0.0 is from {source}")]);
    }
    let lock = format!("[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"{registry}\"\n");
    assert_eq!(rules.offences(&lock), ["a 1.0.0 has no checksum"]);
    for allowed in ["MIT", "GPL-3.0-only OR MIT", "Unlicense/MIT", "(MIT OR X) AND Unicode-3.0"] {
        assert!(rules.allows(allowed), "{allowed}");
    }
    for refused in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR X) AND Y", "", "(MIT"] {
        assert!(!rules.allows(refused), "{refused}");
    }
    assert!(
        rules.allows("Apache-2.0 WITH LLVM-exception") && !rules.allows("MIT WITH LLVM-exception")
    );
}
