"""What the openai package gets from a server: models, a chat whole and in parts, token ids, errors, the cache."""

import sys
import time
import urllib.request

import openai

url = sys.argv[1]
client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def ready():
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5)
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url}: not ready")


def cached(answer):
    return answer.usage.prompt_tokens_details.cached_tokens


def chat(messages, **more):
    return client.chat.completions.create(model="simulated", messages=messages, max_tokens=32, **more)


ready()
request = urllib.request.Request(f"{url}/reset_prefix_cache?reset_external=true", method="POST")
urllib.request.urlopen(request, timeout=5)
assert [model.id for model in client.models.list()] == ["simulated"]

messages = [{"role": "user", "content": "What is a prefix cache? " * 20}]
first = chat(messages)
assert (cached(first), first.usage.completion_tokens) == (0, 32), first.usage
assert first.choices[0].finish_reason == "length"

text, usage = "", None
for part in chat(messages, stream=True, stream_options={"include_usage": True}):
    if part.choices:
        text += part.choices[0].delta.content or ""
    usage = part.usage or usage
assert text == first.choices[0].message.content, "the same prompt has the same answer"
block = 16
prompt = first.usage.prompt_tokens
assert usage.prompt_tokens_details.cached_tokens == (prompt - 1) // block * block, usage

messages += [
    {"role": "assistant", "content": text},
    {"role": "user", "content": "And what is it good for?"},
]
again = chat(messages)
assert cached(again) > prompt, "the answer is in the cache too"

ids = list(range(1, 41))
with_ids = {"return_token_ids": True}
for expected in (0, 32):
    answer = client.completions.create(model="simulated", prompt=ids, max_tokens=4, extra_body=with_ids)
    assert (cached(answer), len(answer.choices[0].token_ids)) == (expected, 4), answer

for wrong, error, param in [
    ({"model": "other"}, openai.NotFoundError, "model"),
    ({"model": "simulated", "n": 3}, openai.BadRequestError, "n"),
    ({"model": "simulated", "logprobs": True}, openai.BadRequestError, "logprobs"),
]:
    try:
        client.chat.completions.create(messages=messages, **wrong)
        raise SystemExit(f"{wrong} was not refused")
    except error as refused:
        assert refused.param == param, refused
print(f"openai {openai.__version__}: chat, stream, turns, token ids, errors")
