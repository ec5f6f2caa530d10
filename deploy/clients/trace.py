"""Writes a small trace for aiperf: prompts as token ids, in four conversations that grow."""

import json
import pathlib
import sys

path = pathlib.Path(sys.argv[1])
salt = int(sys.argv[2])
rows = []
for turn in range(10):
    for conversation in range(4):
        ids = [(salt * 7919 + conversation * 1009 + i * 31) % 120000 + 300 for i in range(96 * (turn + 1))]
        payload = {
            "model": "simulated",
            "prompt": ids,
            "max_tokens": 4,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        rows.append({"timestamp": 200 * turn + 20 * conversation, "payload": payload})
path.write_text("".join(json.dumps(row) + "\n" for row in rows))
