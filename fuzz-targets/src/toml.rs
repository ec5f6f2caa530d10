//! TOML files of every kind: an error for each thing that is wrong, at its line, or settings that the
//! program can use.

use crate::errors::check_lines;
use crate::scratch::with_file;
use crate::seeds::tagged;
use clap::Parser;
use std::path::Path;
use warmpath_core::engine::Engine;
use warmpath_core::id::WorkerId;
use warmpath_launch::profiles;
use warmpath_loadgen::fuzzing;
use warmpath_router::cli as router;
use warmpath_worker_sim::{cli as worker, pool::cli as pool};

type Read = fn(&Path) -> Result<(), String>;
type Kind = (Read, fn() -> Vec<String>);

/// The kinds of files, each with its examples.
const KINDS: [Kind; 8] = [
    (fuzzing::workload, workloads),
    (fuzzing::scenario, scenarios),
    (read_profile, profiles_by_name),
    (read_device, || vec![file("device"), texts(profiles::devices()).remove(0)]),
    (read_model, || texts(profiles::models())),
    (read_router, routers),
    (read_worker, workers),
    (read_pool, pools),
];

/// The first byte says which kind of file it is. The rest is the text.
pub fn run(bytes: &[u8]) {
    let Some((&kind, text)) = bytes.split_first() else { return };
    let (read, _) = KINDS[usize::from(kind) % KINDS.len()];
    if let Err(why) = with_file("f.toml", text, read) {
        check_lines(&why);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let of = |(kind, (_, texts)): (usize, &Kind)| -> Vec<Vec<u8>> {
        // A key and a text may have line breaks in them.
        let broken = "\"a\\nb\" = 1\nname = \"c\\nd\"\n".to_owned();
        let all = texts().into_iter().chain([broken]);
        all.map(|text| tagged(kind as u8, text.as_bytes())).collect()
    };
    KINDS.iter().enumerate().flat_map(of).collect()
}

/// A profile that is accepted is one that an engine can be made of.
fn read_profile(path: &Path) -> Result<(), String> {
    let (profile, _) = profiles::from_file(path)?;
    profile.check().expect("it was checked");
    let _ = Engine::new(WorkerId(0), 1, profile);
    Ok(())
}

fn named(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn read_device(path: &Path) -> Result<(), String> {
    profiles::device(named(path), Path::new("")).map(drop)
}

fn read_model(path: &Path) -> Result<(), String> {
    profiles::model(named(path), Path::new("")).map(drop)
}

fn read_router(path: &Path) -> Result<(), String> {
    let cli = router::Cli::try_parse_from(["router", "--config", named(path)]);
    let settings = router::settings(cli.expect("a command line").serve)?;
    settings.config.check().expect("it was checked");
    Ok(())
}

fn read_worker(path: &Path) -> Result<(), String> {
    let cli = worker::Cli::try_parse_from(["worker-sim", "--config", named(path)]);
    worker::settings(cli.expect("a command line").serve)?.config.check().expect("it was checked");
    Ok(())
}

fn read_pool(path: &Path) -> Result<(), String> {
    let cli = pool::Cli::try_parse_from(["pool", "--config", named(path)]);
    pool::settings(cli.expect("a command line").serve)?.config.check().expect("it was checked");
    Ok(())
}

fn file(name: &str) -> String {
    let files = fuzzing::files();
    let found = files.iter().find(|(known, _)| *known == name);
    found.expect("a file that loadgen prints").1.to_owned()
}

fn texts(rows: &[profiles::Row]) -> Vec<String> {
    rows.iter().map(|(_, text)| (*text).to_owned()).collect()
}

fn workloads() -> Vec<String> {
    let mix = "name = \"m\"\ntenants = 2\n[[class]]\nworkload = \"assistant\"\nrate = 0.5\n\
               [[class]]\nname = \"b\"\nworkload = \"chat\"\nrequests = 10\n";
    let stages = file("workload").replace(
        "[arrivals.poisson]\nsessions_per_s = 1.0",
        "[[stage]]\nname = \"a\"\nrate = 1.0\nduration_s = 5.0\n[[stage]]\nrate = 2.0\n\
         duration_s = 2.0\narrivals = \"constant\"\ndrain = false\n",
    );
    vec![
        file("workload"),
        mix.to_owned(),
        stages,
        include_str!("../../deploy/workloads/coding-agents.toml").to_owned(),
        include_str!("../../deploy/workloads/tree-search.toml").to_owned(),
        include_str!("../../deploy/workloads/llm-d-73-capacity.toml").to_owned(),
    ]
}

fn scenarios() -> Vec<String> {
    vec![
        file("scenario"),
        include_str!("../../deploy/scenarios/mixed-fleet.toml").to_owned(),
        include_str!("../../deploy/scenarios/failing-workers.toml").to_owned(),
        include_str!("../../deploy/scenarios/pool-faults.toml").to_owned(),
        include_str!("../../deploy/scenarios/hybrid.toml").to_owned(),
        include_str!("../../deploy/scenarios/prefill-decode.toml").to_owned(),
        include_str!("../../deploy/scenarios/sharing.toml").to_owned(),
    ]
}

fn profiles_by_name() -> Vec<String> {
    let mut all = vec![file("profile")];
    for (name, text) in profiles::profiles() {
        if ["lab-tp2", "llama-70b-fp8-4xh100-tiers", "llama-70b-fp8-4xh100-shared"].contains(name) {
            all.push((*text).to_owned());
        }
    }
    all
}

fn routers() -> Vec<String> {
    let all = "listen = \"127.0.0.1:0\"\nworkers = [\"http://127.0.0.1:1\", \"http://[::1]:2\"]\n\
               pools = [\"http://h:3\"]\npolicy = \"warmpath+hold(order=wspt)\"\nseed = 7\n\
               speedup = 2.0\nblock_size = 16\nmodel = \"m\"\nsharing = \"group\"\n\
               secret = \"a-secret-of-some-length\"\nconnections_per_worker = 2\n\
               drain_timeout_ms = 100\nexplain_last = 16\n[queue]\nrequests = 10\n\
               prompt_tokens = 1000\nlongest_wait_s = 5.0\n[reliability]\nretry = false\n\
               health = { failures = 3 }\n[listener]\nconnections = 10\n\
               [[tenants]]\nname = \"a\"\ntoken = \"a-token-of-some-length\"\ngroup = \"g\"\n\
               [[tenants]]\nname = \"b\"\ntoken = \"b-token-of-some-length\"\n";
    vec!["policy = \"kv-aware\"\nworkers = [\"http://h:1\"]\n".to_owned(), all.to_owned()]
}

const LINEAR: &str = "name = \"tiny\"\nvalidated = false\nblock_size = 16\n\
    kv_bytes_per_token = 1000\nmax_num_seqs = 8\nmax_num_batched_tokens = 512\n";
const STEP: &str = "base_ns = 1e6\nweights_ns = 1e6\nns_per_token = 1e3\nns_per_pair = 0.0\n\
    ns_per_context_token = 0.0\nns_per_seq = 0.0\n";

fn workers() -> Vec<String> {
    let inline = format!(
        "name = \"w\"\nmodel = \"m\"\nrole = \"prefill\"\nspeedup = 20.0\nflush_ms = 5\n\
         report_interval_ms = 100\nheartbeat_ms = 500\ndigest_interval_ms = 1000\n\
         [kv_transfer]\ngb_s = 100.0\nlatency_us = 50.0\ntimeout_ms = 20.0\nhold_ms = 1e9\n\
         [profile]\n{LINEAR}[profile.step]\n{STEP}"
    );
    vec!["profile = \"llama-8b-bf16-h100\"\n".to_owned(), inline]
}

fn pools() -> Vec<String> {
    let named = "profile = \"llama-70b-fp8-4xh100-shared\"\nname = \"p\"\nspeedup = 2.0\n\
                 heartbeat_ms = 100\n[pool]\ntokens = 160000\ngb_s = 1.0\nstore_gb_s = 1.0\n\
                 eviction = \"arc\"\ntenant_quota = 0.5\n";
    vec![named.to_owned()]
}
