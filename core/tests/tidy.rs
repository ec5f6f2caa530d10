//! What may stand where. The rules are those of ARCHITECTURE.md; a ban that cannot fire is worth
//! nothing, so each is tried on a planted line first.

// The core may not read files. Its tests must, to read the core.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};

/// Names that must not stand in some place, and why.
struct Ban {
    names: &'static [&'static str],
    why: &'static str,
}

const PURE: &[Ban] = &[
    Ban { names: &["tokio"], why: "the core and the simulation have no runtime" },
    Ban {
        names: &["tonic", "prost", "vllm_proto", "warmpath_proto"],
        why: "generated types stay outside",
    },
    Ban { names: &["std::time", "core::time"], why: "the core is told the time" },
    Ban { names: &["std::thread", "thread_local", "static mut"], why: "no threads, no globals" },
    Ban {
        names: &["std::fs", "std::env", "std::net", "std::process"],
        why: "files, environment and sockets belong to the shells",
    },
    Ban {
        names: &["std::collections::HashMap", "std::collections::HashSet", "RandomState"],
        why: "their order differs from run to run",
    },
    Ban { names: &["thread_rng", "getrandom"], why: "chance comes from a seed" },
    Ban {
        names: &[
            ".ln()",
            ".exp()",
            ".exp2()",
            ".powf(",
            ".powi(",
            ".log(",
            ".log2()",
            ".log10()",
            ".sin()",
            ".cos()",
            "f64::ln",
            "f64::exp",
            "f64::powf",
            "f64::powi",
            "f64::log10",
        ],
        why: "they differ by platform; libm does not",
    },
];

const NO_UNSAFE: Ban = Ban { names: &["unsafe"], why: "nothing here needs it" };

/// The rooms of the core that do not know each other.
const ROOMS: &[(&str, &[Ban])] = &[
    (
        "routing",
        &[Ban {
            names: &["crate::engine", "crate::workload", "crate::pool"],
            why: "a router knows a worker by what it says",
        }],
    ),
    (
        "engine",
        &[Ban {
            names: &["crate::routing", "crate::workload"],
            why: "a worker knows a request, not who sent it or why",
        }],
    ),
    (
        "workload",
        &[Ban {
            names: &["crate::routing", "crate::engine", "crate::pool"],
            why: "a client knows neither router nor worker",
        }],
    ),
    (
        "pool",
        &[Ban {
            names: &["crate::routing", "crate::workload"],
            why: "a pool knows blocks, not who asks for them or why",
        }],
    ),
];

const LONGEST_FILE: usize = 450;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn members() -> Vec<String> {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

/// All Rust files below a folder, sorted. A crate that is there has some.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "{} has no Rust files", folder.display());
    files.sort();
    files
}

/// Each line's code, without its comment. A `//` inside a string ends the line here too, which can
/// only hide a name, and none that is banned stands behind one.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or(line))
}

/// Every path that the `use` declarations name, groups spelled out: `a::{b, c::{d, e}}` is `a::b`,
/// `a::c::d` and `a::c::e`. With the line where the declaration begins.
fn used_paths(text: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut declaration: Option<(usize, String)> = None;
    for (i, line) in code(text).enumerate() {
        let line = line.trim();
        let begins = line
            .strip_prefix("pub ")
            .or_else(|| line.strip_prefix("pub(crate) "))
            .or_else(|| line.strip_prefix("pub(super) "))
            .unwrap_or(line)
            .strip_prefix("use ");
        match (&mut declaration, begins) {
            (Some((_, so_far)), _) => so_far.push_str(line),
            (None, Some(rest)) => declaration = Some((i + 1, rest.to_owned())),
            (None, None) => continue,
        }
        if line.contains(';')
            && let Some((first, whole)) = declaration.take()
        {
            let tree = whole.split(';').next().unwrap_or_default();
            spell_out("", tree, &mut |path| paths.push((first, path)));
        }
    }
    paths
}

fn spell_out(before: &str, tree: &str, found: &mut impl FnMut(String)) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        return found(format!("{before}{tree}"));
    };
    let before = format!("{before}{}", tree[..open].trim());
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut start) = (0, 0);
    for (i, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                spell_out(&before, &inner[start..i], found);
                start = i + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        spell_out(&before, &inner[start..], found);
    }
}

/// Whether `name` stands in `line`, not as a part of a longer name.
fn names(line: &str, name: &str) -> bool {
    let part_of_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(name).any(|(i, _)| {
        let (before, after) = (&line[..i], &line[i + name.len()..]);
        let open = part_of_name(name.chars().next()) && part_of_name(before.chars().next_back());
        let goes_on = part_of_name(name.chars().next_back()) && part_of_name(after.chars().next());
        !open && !goes_on
    })
}

/// The lines of `text` that name what `bans` forbid, as "line: why".
fn offences(text: &str, bans: &[Ban]) -> Vec<String> {
    let lines = code(text).enumerate().map(|(i, line)| (i + 1, line.to_owned()));
    let mut found: Vec<String> = Vec::new();
    for (line, code) in lines.chain(used_paths(text)) {
        for ban in bans {
            for name in ban.names.iter().filter(|name| names(&code, name)) {
                found.push(format!("{line}: {name} ({})", ban.why));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn assert_tidy(folder: &Path, bans: &[Ban]) {
    let mut found = Vec::new();
    for file in rust_files(folder) {
        for offence in offences(&read(&file), bans) {
            found.push(format!("{}:{offence}", file.strip_prefix(root()).unwrap().display()));
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn core_and_sim_are_pure() {
    assert_tidy(&root().join("core/src"), PURE);
    assert_tidy(&root().join("sim/src"), PURE);
}

#[test]
fn the_rooms_of_the_core_do_not_know_each_other() {
    for (room, bans) in ROOMS {
        let folder = root().join("core/src").join(room);
        // The pool is not built yet.
        if *room != "pool" || folder.exists() {
            assert_tidy(&folder, bans);
        }
    }
}

#[test]
fn nothing_is_unsafe() {
    for member in members() {
        assert_tidy(&root().join(member).join("src"), &[NO_UNSAFE]);
    }
}

#[test]
fn every_ban_can_fire() {
    let rooms = ROOMS.iter().flat_map(|(_, bans)| *bans);
    for ban in PURE.iter().chain(rooms).chain([&NO_UNSAFE]) {
        for name in ban.names {
            let planted = format!(
                "fn a() {{\n    x{}{name};\n}}\n",
                if name.starts_with('.') { "" } else { " = " }
            );
            let found = offences(&planted, std::slice::from_ref(ban));
            assert_eq!(found, [format!("2: {name} ({})", ban.why)], "{planted}");
        }
    }
}

#[test]
fn a_ban_sees_through_groups_and_not_into_longer_names_or_comments() {
    let fires = |text: &str| !offences(text, PURE).is_empty();
    assert!(fires("use std::{fmt, fs};\n"));
    assert!(fires(
        "use std::{\n    collections::{\n        BTreeMap, // sorted\n        HashMap,\n    },\n};\n"
    ));
    assert!(fires("pub use std::collections::HashSet as Set;\n"));
    assert!(fires("    use std::time::{self, Duration};\n"));
    assert!(!fires("use std::collections::{BTreeMap, VecDeque};\nuse std::{fmt, sync::Arc};\n"));
    assert!(!fires("// tokio would sleep here\nlet tokios = 1; /// std::time\n"));
    assert!(!fires("let x = libm::log(2.0); let y = crate::time::Instant::START;\n"));
    assert!(!fires("use hashbrown::HashMap;\n"));
    let found = offences("\n\nuse std::{\n    fmt,\n    env,\n};\n", PURE);
    assert!(found.len() == 1 && found[0].starts_with("3: std::env"), "{found:?}");
}

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
    let rules: [(&str, &[&str], &[&str]); 6] = [
        ("core", &every, &[&all[..], &["warmpath-sim"]].concat()),
        ("sim", &every, &all),
        ("proto", &built, &[&shells[..], &["warmpath-sim"]].concat()),
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
                long.push(format!(
                    "{}: {lines} lines",
                    file.strip_prefix(root()).unwrap().display()
                ));
            }
        }
    }
    assert!(long.is_empty(), "more than {LONGEST_FILE}:\n{}\n", long.join("\n"));
}

/// A file that no `mod` names is never compiled, so nothing else would say that it is dead.
#[test]
fn every_file_is_somebodys_module() {
    let mut forgotten = Vec::new();
    for member in members() {
        for file in rust_files(&root().join(member).join("src")) {
            if !is_declared(&file) {
                forgotten.push(file.strip_prefix(root()).unwrap().display().to_string());
            }
        }
    }
    assert!(forgotten.is_empty(), "no `mod` names:\n{}\n", forgotten.join("\n"));
    assert!(!is_declared(&root().join("core/src/engine/nowhere.rs")), "a planted one is found");
}

/// Whether the file's parent declares it: `lib.rs`, `main.rs` or `mod.rs` beside it, or the file
/// that is called as its folder.
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
