"""Compares the hit rate that aiperf reports with the worker's own counters: they may differ by one point."""

import json
import pathlib
import re
import sys
import urllib.request


def counters(url):
    """Prompt tokens so far, and those of them that were cached."""
    text = urllib.request.urlopen(f"{url}/metrics", timeout=5).read().decode()

    def total(name):
        return sum(float(value) for value in re.findall(rf"^{name}{{[^}}]*}} (\S+)$", text, re.M))

    return total("vllm:prompt_tokens_total"), total("vllm:prompt_tokens_cached_total")


if __name__ == "__main__":
    if sys.argv[1] == "before":
        print(*counters(sys.argv[2]))
    else:
        folder, url, prompt_before, cached_before = sys.argv[2:]
        report = json.loads(next(pathlib.Path(folder).rglob("profile_export_aiperf.json")).read_text())
        told = report["overall_usage_prompt_cache_read_pct"]["avg"]
        prompt, cached = counters(url)
        own = 100 * (cached - float(cached_before)) / (prompt - float(prompt_before))
        assert abs(told - own) < 1 and own > 50, (told, own)
        print(f"aiperf: hit rate {told:.2f} %, by the worker's counters {own:.2f} %")
