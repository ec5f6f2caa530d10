//! An object store instead of a context-memory pool, as in `docs/pools.md`.

use crate::common::loadgen;
use crate::common::object_store::{SCENARIO, finds_as_much_and_gives_less, play};

#[test]
fn an_object_store_has_the_hits_of_a_context_memory_and_gains_less() {
    let (table, runs) = play(&[]);
    finds_as_much_and_gives_less(&runs);
    for part in ["Links busy, in %", "kv-aware, +object store"] {
        assert!(table.contains(part), "{table}");
    }
    assert!(runs[1]["engine"]["pool"].is_null() && runs[2]["engine"]["peers"].is_null());
}

#[test]
fn a_bad_pool_of_a_variant_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let text = std::fs::read_to_string(SCENARIO).expect("the scenario is there");
    let refused = |from: &str, to: &str, part: &str| {
        assert!(text.contains(from), "{from}");
        let path = folder.path().join("scenario.toml");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("a file can be written");
        crate::common::refused(folder.path(), &["sim", "--scenario", "scenario.toml"], part);
    };
    let of = "variant \"+object store\": instead.";
    refused("gb_s = 4.6 ", "gb_s = -1.0 ", &format!("{of}link.gb_s: -1, expected more than 0"));
    refused("tokens = 1_000_000_000", "tokens = 3", &format!("{of}pool.tokens"));
    let last = text.rfind("pool = true").expect("the last variant has a pool");
    let without = format!("{}pool = false{}", &text[..last], &text[last + 11..]);
    let path = folder.path().join("without.toml");
    std::fs::write(&path, without).expect("a file can be written");
    let output = loadgen(folder.path(), &["sim", "--scenario", "without.toml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("pool = false, expected pool = true"), "{said}");
}
