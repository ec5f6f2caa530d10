"""Checks what aiperf wrote: all requests answered, and cached tokens seen."""

import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
report = json.loads(next(folder.rglob("profile_export_aiperf.json")).read_text())
requests = report["request_count"]["avg"]
errors = (report.get("error_request_count") or {}).get("avg", 0)
assert (requests, errors) == (20, 0), (requests, errors)
ttft = report["time_to_first_token"]["avg"]
cache = {name: value["avg"] for name, value in report.items() if "cache" in name and isinstance(value, dict)}
assert cache, "cached tokens are not reported"
print(f"aiperf: {requests:.0f} requests, time to first token {ttft:.1f} ms, {cache}")
