//! Command lines and files that work, and what is done to them.

use super::common::loadgen;
use super::random::Random;
use std::path::Path;

/// A command line with its files.
#[derive(Clone, Debug)]
pub struct Case {
    pub args: Vec<String>,
    pub files: Vec<(String, Vec<u8>)>,
}

/// Values that are at the edge of what a field takes, or of another kind. None of them makes a good run
/// long: a workload of a million requests is good input.
const VALUES: [&str; 26] = [
    "0",
    "-1",
    "1",
    "2",
    "0.5",
    "-0.0",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e-320",
    "nan",
    "inf",
    "-inf",
    "\"x\"",
    "\"\"",
    "true",
    "[]",
    "{}",
    "[1, 2]",
    "{ mean = 1.0, cv = 0.5 }",
    "1979-05-27",
    "\"../../x.toml\"",
    "null",
    "\u{fffd}",
];
const FLAGS: [&str; 22] = [
    "--workers",
    "--seed",
    "--seeds",
    "--rates",
    "--rate-scale",
    "--hbm-tokens",
    "--block-size",
    "--policies",
    "--profile",
    "--workload",
    "--scenario",
    "--baseline",
    "--sharing",
    "--tenants",
    "--format",
    "--json",
    "--csv",
    "--width",
    "--cost",
    "--tick-jitter",
    "--sessions",
    "--arrivals",
];
const PIECES: [&str; 12] =
    ["[", "]", "[[", "{", "}", "\"", "=", ",", "\n", "#", "\u{feff}", "\u{1F600}"];

/// The cases that are mutated. `folder` is for files that the program writes.
pub fn bases(folder: &Path) -> Vec<Case> {
    let printed = |args: &[&str]| {
        let output = loadgen(folder, args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let text = |kind: &str| String::from_utf8(printed(&["init", kind, "-"])).expect("UTF-8");
    let workload = text("workload").replace("requests = 2000", "requests = 20");
    let scenario = text("scenario")
        .replace("\"assistant\"", "\"w.toml\"")
        .replace("workers = 8", "workers = 2")
        .replace(
            "[\"round-robin\", \"session-affinity\", \"dynamo\", \"llm-d-weighted\", \"warmpath\"]",
            "[\"dynamo\", \"warmpath\"]",
        );
    let mix = "name = \"m\"\ntenants = 2\n[[class]]\nworkload = \"w.toml\"\nrate = 0.5\n[[class]]\nname = \"b\"\nworkload = \"w.toml\"\nrequests = 10\n";
    let stages = workload.replace("requests = 20", "").replace("[arrivals.poisson]\nsessions_per_s = 1.0", "[[stage]]\nname = \"a\"\nrate = 1.0\nduration_s = 5.0\n[[stage]]\nrate = 2.0\nduration_s = 2.0\narrivals = \"constant\"\ndrain = false\n");
    let groups = scenario
        .replace("workers = 2\n", "")
        .replace("profile = \"llama-70b-fp8-2xh100\"\n", "")
        + "[[group]]\nworkers = 1\nprofile = \"p.toml\"\n[[group]]\nname = \"b\"\nworkers = 1\nprofile = \"p.toml\"\n[queue]\nrequests = 10\n";
    let hierarchy = text("profile")
        .replace("# [[tier]]", "[[tier]]")
        .replace("# name = \"host\"", "name = \"host\"")
        .replace("# tokens", "tokens")
        .replace("# load_gb_s", "load_gb_s")
        .replace("# store_gb_s", "store_gb_s")
        .replace("# latency_us", "latency_us")
        .replace("# eviction", "eviction")
        .replace("# fill", "fill")
        .replace("# loads", "loads");
    let made_up = include_str!("../../../deploy/profiles/lab-tp2.toml");
    let model = include_str!("../../../deploy/profiles/models/gpt-oss-120b.toml");
    let config = r#"{"architectures": ["DeepseekV3ForCausalLM"], "first_k_dense_replace": 3, "hidden_size": 1024,
"intermediate_size": 2048, "kv_lora_rank": 512, "moe_intermediate_size": 512, "n_routed_experts": 16, "n_shared_experts": 1,
"num_attention_heads": 16, "num_experts_per_tok": 8, "num_hidden_layers": 8, "q_lora_rank": 256, "qk_nope_head_dim": 128,
"qk_rope_head_dim": 64, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}, "v_head_dim": 128,
"tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32000}"#;
    let windowed = r#"{"architectures": ["Gemma3ForConditionalGeneration"], "text_config": {"hidden_size": 512,
"intermediate_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 4, "sliding_window": 1024,
"layer_types": ["full_attention", "sliding_attention"], "quantization_config": {"quant_method": "awq", "bits": 4}}}"#;
    let case = |args: &str, files: &[(&str, &str)]| Case {
        args: args.split(' ').map(str::to_owned).collect(),
        files: files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect(),
    };
    let (profile, device) = (text("profile").replace("\"h100\"", "\"d.toml\""), text("device"));
    let mut all = vec![
        case("sim --policies warmpath --workload w.toml --workers 2", &[("w.toml", &workload)]),
        case(
            "sim --policies random,lpwl+hold --workload w.toml --rates 1,2 --seeds 2",
            &[("w.toml", &workload)],
        ),
        case("sim --scenario s.toml", &[("s.toml", &scenario), ("w.toml", &workload)]),
        case(
            "sim --scenario s.toml",
            &[("s.toml", &groups), ("w.toml", &workload), ("p.toml", made_up)],
        ),
        case("sim --workload m.toml --policies dynamo", &[("m.toml", mix), ("w.toml", &workload)]),
        case("sim --workload w.toml --policies dynamo", &[("w.toml", &stages)]),
        case(
            "sim --profile p.toml --workload w.toml --workers 2 --policies dynamo",
            &[("p.toml", &profile), ("d.toml", &device), ("w.toml", &workload)],
        ),
        case(
            "sim --profile p.toml --workload w.toml --workers 2 --policies dynamo",
            &[("p.toml", &hierarchy), ("w.toml", &workload)],
        ),
        case(
            "sim --profile p.toml --workload w.toml --workers 2 --policies dynamo",
            &[("p.toml", made_up), ("w.toml", &workload)],
        ),
        case(
            "init profile - --model m.toml --device d.toml --precision mxfp4",
            &[("m.toml", model), ("d.toml", &device)],
        ),
        case(
            "init profile - --model config.json --device h100 --tp 2 --name n",
            &[("config.json", config)],
        ),
        case("init profile - --model config.json --device h200", &[("config.json", windowed)]),
        case("init scenario - --force", &[]),
        case("list profiles --format json", &[]),
        case("completions zsh", &[]),
        case("sim --list --help", &[]),
        case(
            "rank a.json --policy warmpath --within 2",
            &[(
                "a.json",
                r#"{"runs": [{"policy": "warmpath", "mode": "sim", "rate_scale": 1.0, "offered": 10, "errors": 0, "ttft_s": {"mean": 1.0, "p99": 2.0}, "e2e_s": {"mean": 1.0, "p99": 2.0}, "goodput_requests_per_s": 1.0}, {"policy": "dynamo", "mode": "sim", "rate_scale": 1.0, "offered": 10, "errors": 0, "ttft_s": {"mean": 1.0, "p99": 2.0}, "e2e_s": {"mean": 1.0, "p99": 2.0}, "goodput_requests_per_s": 1.0}]}"#,
            )],
        ),
    ];
    // An example of every trace format, as the program prints them.
    let formats =
        String::from_utf8(printed(&["trace", "formats", "--width", "10000"])).expect("UTF-8");
    for block in formats.split("\n\n") {
        let Some((name, example)) = block.split_once(":\n") else { continue };
        if name.contains(' ') || example.is_empty() {
            continue;
        }
        let files: [(&str, &str); 1] = [("t", example)];
        all.push(case("sim --policies dynamo --workers 2 --trace t", &files));
        all.push(case("trace check t --json", &files));
        all.push(case("trace convert t --to mooncake --out o.jsonl", &files));
        all.push(case(&format!("trace check t --format {name} --block-size 16"), &files));
    }
    all
}

impl Case {
    /// The case with one to three mutations.
    pub fn mutated(&self, random: &mut Random) -> Self {
        let mut case = self.clone();
        for _ in 0..=random.below(3) {
            if case.files.is_empty() || random.below(3) == 0 {
                mutate_args(&mut case.args, random);
            } else {
                let file = random.below(case.files.len());
                let text = String::from_utf8_lossy(&case.files[file].1).into_owned();
                case.files[file].1 = mutate_text(&text, random);
            }
        }
        case
    }
}

/// Leaves the command itself, which is the first word.
fn mutate_args(args: &mut Vec<String>, random: &mut Random) {
    let at = 1 + random.below(args.len().max(2) - 1);
    let at = at.min(args.len());
    let value = random.of(&VALUES).trim_matches('"').replace('\u{0}', "");
    match random.below(6) {
        0 if at < args.len() => drop(args.remove(at)),
        1 if at < args.len() => args.insert(at, args[at].clone()),
        2 if at < args.len() => args[at] = value,
        3 if at < args.len() => args[at] += &value,
        4 => args.insert(at, random.of(&FLAGS).to_owned()),
        _ => {
            args.insert(at, value);
            args.insert(at, random.of(&FLAGS).to_owned());
        }
    }
}

fn mutate_text(text: &str, random: &mut Random) -> Vec<u8> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return random.of(&VALUES).as_bytes().to_vec();
    }
    let (at, other) = (random.below(lines.len()), random.below(lines.len()));
    match random.below(9) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(other, lines[at].clone()),
        2 => lines.swap(at, other),
        3..=5 => lines[at] = with_value(&lines[at], random),
        6 => {
            let place = nth_char(&lines[at], random);
            lines[at].insert_str(place, random.of(&PIECES));
        }
        7 => {
            let (from, to) = (nth_char(&lines[at], random), nth_char(&lines[at], random));
            lines[at].replace_range(from.min(to)..from.max(to), "");
        }
        _ => {
            let mut bytes = text.as_bytes().to_vec();
            let place = random.below(bytes.len());
            match random.below(2) {
                0 => bytes.truncate(place),
                _ => bytes[place] = random.below(256) as u8,
            }
            return bytes;
        }
    }
    (lines.join("\n") + "\n").into_bytes()
}

/// The line with another value in place of one of its numbers or texts.
fn with_value(line: &str, random: &mut Random) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '"' | '/');
    let mut words = Vec::new();
    let mut start = None;
    for (i, c) in line.char_indices().chain([(line.len(), ' ')]) {
        match (is_part(c), start) {
            (true, None) => start = Some(i),
            (false, Some(from)) => {
                words.push(from..i);
                start = None;
            }
            _ => {}
        }
    }
    if words.is_empty() {
        return line.to_owned() + random.of(&VALUES);
    }
    // The first word is the key.
    let skip = usize::from(words.len() > 1 && random.below(8) > 0);
    let word = words[skip + random.below(words.len() - skip)].clone();
    let mut line = line.to_owned();
    line.replace_range(word, random.of(&VALUES));
    line
}

fn nth_char(line: &str, random: &mut Random) -> usize {
    let places: Vec<usize> = line.char_indices().map(|(i, _)| i).chain([line.len()]).collect();
    places[random.below(places.len())]
}
