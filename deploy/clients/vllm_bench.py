"""A trace for `vllm bench serve`, and what it reported of it.

    vllm_bench.py trace FILE SALT            40 requests of four conversations that grow, as blocks of 512 tokens
    vllm_bench.py report FILE URL P C        every request was answered, with as many tokens as were asked for; the worker's
                                             counters (before: P prompt tokens, C cached) say what the trace repeats
"""

import json
import pathlib
import sys

from hit_rate import counters

TURNS, CONVERSATIONS, BLOCK, OUTPUT = 10, 4, 512, 4


def prompts():
    for turn in range(TURNS):
        for conversation in range(CONVERSATIONS):
            yield turn, conversation, turn + 1


def trace(path, salt):
    rows = []
    for turn, conversation, blocks in prompts():
        first = (salt * CONVERSATIONS + conversation) * 1000
        rows.append(
            {
                "timestamp": 200 * turn + 20 * conversation,
                "input_length": BLOCK * blocks,
                "output_length": OUTPUT,
                "hash_ids": [first + block for block in range(blocks)],
            }
        )
    pathlib.Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


def report(path, url, before):
    found = json.loads(pathlib.Path(path).read_text())
    count = TURNS * CONVERSATIONS
    if found["completed"] != count or found.get("failed", 0):
        sys.exit(f"{found['completed']} of {count} requests completed")
    if found["total_output_tokens"] != OUTPUT * count:
        sys.exit(f"{found['total_output_tokens']} answer tokens, expected {OUTPUT * count}")
    prompt, cached = (now - then for now, then in zip(counters(url), before))
    if prompt != found["total_input_tokens"]:
        sys.exit(f"{found['total_input_tokens']} prompt tokens reported, {prompt} counted by the worker")
    # All but the last block of a conversation was there before, if the one before it was answered in time.
    repeated = sum(BLOCK * (blocks - 1) for _, _, blocks in prompts()) / sum(BLOCK * blocks for _, _, blocks in prompts())
    hit = cached / prompt
    if abs(hit - repeated) > 0.01:
        sys.exit(f"hit rate {hit:.4f} by the worker, {repeated:.4f} by the trace")
    print(f"vllm bench serve: {count} requests, TTFT {found['mean_ttft_ms']:.1f} ms, hits {100 * hit:.2f} % ({100 * repeated:.2f} % of the trace)")


if __name__ == "__main__":
    if sys.argv[1] == "trace":
        trace(sys.argv[2], int(sys.argv[3]))
    else:
        report(sys.argv[2], sys.argv[3], [float(number) for number in sys.argv[4:6]])
