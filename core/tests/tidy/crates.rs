//! What crates depend on, and what belongs to every file.

use crate::files::{members, read, root, rust_files, shown};
use std::path::{Path, PathBuf};

/// A file longer than this is not read in a sitting. It is no target: a file holds one idea.
const LONGEST_FILE: usize = 700;

fn dependencies(manifest: &str, kinds: &[&str]) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let tables = kinds.iter().filter_map(|kind| manifest.get(*kind)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

/// The first of `forbidden` among a crate's dependencies.
fn forbidden_dependency(manifest: &str, kinds: &[&str], forbidden: &[&str]) -> Option<String> {
    let all = dependencies(manifest, kinds);
    all.into_iter().find(|dependency| forbidden.contains(&dependency.as_str()))
}

#[test]
fn crates_depend_only_downwards() {
    let built = ["dependencies", "build-dependencies"];
    let every = ["dependencies", "build-dependencies", "dev-dependencies"];
    let wire = ["tokio", "tonic", "prost", "vllm-proto", "warmpath-proto"];
    let shells = ["warmpath-router", "warmpath-worker-sim", "warmpath-loadgen"];
    let all = [&wire[..], &shells[..]].concat();
    let rules: [(&str, &[&str], &[&str]); 10] = [
        ("core", &every, &[&all[..], &["warmpath-sim"]].concat()),
        ("sim", &every, &all),
        ("proto", &built, &[&shells[..], &["warmpath-openai", "warmpath-sim"]].concat()),
        ("openai", &built, &[&shells[..], &["warmpath-sim"]].concat()),
        (
            "launch",
            &built,
            &[&shells[..], &["tonic", "prost", "warmpath-proto", "warmpath-sim"]].concat(),
        ),
        ("sheet", &every, &[&all[..], &["warmpath-core", "warmpath-sim"]].concat()),
        ("html", &every, &[&all[..], &["warmpath-core", "warmpath-sim"]].concat()),
        ("router", &built, &["warmpath-worker-sim", "warmpath-sim", "warmpath-loadgen"]),
        ("worker-sim", &built, &["warmpath-router", "warmpath-sim", "warmpath-loadgen"]),
        ("loadgen", &built, &["rand"]),
    ];
    for (name, kinds, forbidden) in rules {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        let found = forbidden_dependency(&manifest, kinds, forbidden);
        assert_eq!(found, None, "a dependency of {name}");
    }
    let planted = "[dependencies]\nserde = \"1\"\nwarmpath-sim = { path = \"..\" }\n";
    let found = forbidden_dependency(planted, &built, &["warmpath-sim"]);
    assert_eq!(found.as_deref(), Some("warmpath-sim"));
    let allowed = planted.replace("[dependencies]", "[dev-dependencies]");
    assert_eq!(forbidden_dependency(&allowed, &built, &["warmpath-sim"]), None);
}

#[test]
fn no_file_grows_past_reading() {
    let mut long = Vec::new();
    for member in members() {
        for file in rust_files(&root().join(member).join("src")) {
            let lines = read(&file).lines().count();
            if lines > LONGEST_FILE {
                long.push(format!("{}: {lines} lines", shown(&file)));
            }
        }
    }
    assert!(long.is_empty(), "longer than {LONGEST_FILE} lines:\n{}\n", long.join("\n"));
}

/// A file that no `mod` names is never compiled, so no other check would report it.
#[test]
fn every_file_is_declared_as_a_module() {
    let mut forgotten = Vec::new();
    for member in members() {
        for file in rust_files(&root().join(member).join("src")) {
            if !is_declared(&file) {
                forgotten.push(shown(&file));
            }
        }
    }
    assert!(forgotten.is_empty(), "no `mod` names:\n{}\n", forgotten.join("\n"));
    assert!(!is_declared(&root().join("core/src/engine/nowhere.rs")), "a planted one is found");
}

/// Whether the file's parent declares it: `lib.rs`, `main.rs` or `mod.rs` beside it, or the file that is
/// called as its folder.
fn is_declared(file: &Path) -> bool {
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let name = stem(file);
    if ["lib", "main"].contains(&name.as_str()) {
        return true;
    }
    // A folder's `mod.rs` is declared where the folder is.
    let (name, folder) = match name.as_str() {
        "mod" => (stem(file.parent().unwrap()), file.parent().unwrap().parent().unwrap()),
        _ => (name, file.parent().unwrap()),
    };
    let declares = |parent: PathBuf| {
        let text = std::fs::read_to_string(parent).unwrap_or_default();
        let names = text.lines().filter_map(|line| line.trim().strip_suffix(';'));
        names.filter_map(|line| line.rsplit_once("mod ")).any(|(_, declared)| declared == name)
    };
    let beside = ["lib.rs", "main.rs", "mod.rs"].map(|parent| folder.join(parent));
    beside.into_iter().chain([folder.with_extension("rs")]).any(declares)
}

#[test]
fn core_and_sim_have_the_same_clippy_bans() {
    assert_eq!(read(&root().join("core/clippy.toml")), read(&root().join("sim/clippy.toml")));
}
