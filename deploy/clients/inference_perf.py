"""Writes a configuration of inference-perf, or compares its report with the worker's own counters.

    inference_perf.py config FOLDER URL TOKENIZER SEED > inference-perf.yml
    inference_perf.py report FOLDER WORKER_URL PROMPT_BEFORE CACHED_BEFORE
"""

import json
import pathlib
import sys

from hit_rate import counters

CONFIG = """\
api: {{type: completion, streaming: true}}
data:
  type: shared_prefix
  shared_prefix:
    num_unique_system_prompts: 4
    num_users_per_system_prompt: 10
    system_prompt_len: 400
    question_len: 40
    output_len: 16
    seed: {seed}
load: {{type: constant, num_workers: 1, stages: [{{rate: 20, duration: 3}}]}}
server: {{type: vllm, model_name: simulated, base_url: "{url}", ignore_eos: true}}
tokenizer: {{pretrained_model_name_or_path: "{tokenizer}"}}
storage: {{local_storage: {{path: "{folder}"}}}}
report: {{request_lifecycle: {{summary: true, per_stage: false, per_request: false}}}}
"""

if sys.argv[1] == "config":
    folder, url, tokenizer, seed = sys.argv[2:]
    print(CONFIG.format(folder=folder, url=url, tokenizer=tokenizer, seed=seed), end="")
else:
    folder, url, prompt_before, cached_before = sys.argv[2:]
    report = json.loads((pathlib.Path(folder) / "summary_lifecycle_metrics.json").read_text())
    done = report["successes"]
    tokens = done["prompt_tokens"]
    told = 100 * tokens["cached"] / tokens["total"]
    prompt, cached = counters(url)
    own = 100 * (cached - float(cached_before)) / (prompt - float(prompt_before))
    assert (done["count"], report["failures"]["count"]) == (60, 0), report["failures"]
    assert tokens["total"] == 60 * 440 and done["output_tokens"]["total"] == 60 * 16, tokens
    assert abs(told - own) < 1 and own > 50, (told, own)
    print(f"inference-perf: hit rate {told:.2f} %, by the worker's counters {own:.2f} %")
