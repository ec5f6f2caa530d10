//! Names that must not stand in some place: clocks and threads in the core, one room's names in another.

use crate::files::{members, read, root, rust_files, shown};
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
    Ban { names: &["std::thread", "thread_local"], why: "no threads, no globals" },
    Ban {
        names: &["std::sync::atomic", "core::sync::atomic", "OnceLock", "LazyLock", "OnceCell"],
        why: "what changes has one owner, and no globals",
    },
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
        "routing/policy",
        &[Ban {
            names: &["max_new_tokens"],
            why: "a rule does not learn how long an answer may be",
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

fn offences_in(files: &[PathBuf], bans: &[Ban]) -> Vec<String> {
    let of = |file: &PathBuf| {
        let path = shown(file);
        offences(&read(file), bans).into_iter().map(move |offence| format!("{path}:{offence}"))
    };
    files.iter().flat_map(of).collect()
}

fn assert_tidy(folder: &Path, bans: &[Ban]) {
    let found = offences_in(&rust_files(folder), bans);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// A room of the core is a file, a folder or both. One that is neither fails the test.
fn room_files(room: &str) -> Vec<PathBuf> {
    let folder = root().join("core/src").join(room);
    let file = folder.with_extension("rs");
    let mut files = if folder.is_dir() { rust_files(&folder) } else { Vec::new() };
    files.extend(file.exists().then_some(file));
    assert!(!files.is_empty(), "the core has no room {room}");
    files
}

#[test]
fn core_and_sim_are_pure() {
    assert_tidy(&root().join("core/src"), PURE);
    assert_tidy(&root().join("sim/src"), PURE);
}

#[test]
fn the_rooms_of_the_core_do_not_know_each_other() {
    for (room, bans) in ROOMS {
        let found = offences_in(&room_files(room), bans);
        assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    }
}

#[test]
fn nothing_is_unsafe() {
    for member in members() {
        assert_tidy(&root().join(member).join("src"), &[NO_UNSAFE]);
    }
}

/// The lines of a file where a `static` stands: state that every part of a program shares.
fn statics(text: &str) -> Vec<usize> {
    let is_static = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let line =
            line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub(super) ")).unwrap_or(line);
        line.starts_with("static ")
    };
    code(text).enumerate().filter(|(_, line)| is_static(line)).map(|(i, _)| i + 1).collect()
}

#[test]
fn core_and_sim_have_no_globals() {
    let mut found = Vec::new();
    for file in ["core/src", "sim/src"].iter().flat_map(|folder| rust_files(&root().join(folder))) {
        let lines = statics(&read(&file)).into_iter();
        found.extend(lines.map(|line| format!("{}:{line}: a static", shown(&file))));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    let planted = "fn f(x: &'static str) {\n    static NEXT: AtomicU64 = AtomicU64::new(0);\n}\n\
                   pub(crate) static ALL: [u8; 0] = [];\npub static mut X: u8 = 0;\n// static\n";
    assert_eq!(statics(planted), [2, 4, 5]);
}

#[test]
fn every_room_of_the_core_is_read() {
    let pool = room_files("pool");
    assert_eq!(pool, [root().join("core/src/pool.rs")]);
    let planted = "use crate::routing::Router;\n";
    let bans = ROOMS.iter().find(|(room, _)| *room == "pool").expect("the pool is a room").1;
    assert_eq!(offences(planted, bans).len(), 1);
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
