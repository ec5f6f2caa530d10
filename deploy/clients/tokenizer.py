"""Writes a small byte-level tokenizer for clients that need a folder with one.

With `ascii` each printable character is a token and no two are joined: any row of tokens then is a text that has the
same tokens again, which inference-perf needs for prompts of an exact length.
"""

import json
import pathlib
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
special = ["<s>", "</s>"]
is_ascii = sys.argv[2:] == ["ascii"]
alphabet = [chr(i) for i in range(33, 127)] if is_ascii else pre_tokenizers.ByteLevel.alphabet()
size = len(alphabet) + len(special) if is_ascii else 400
trainer = trainers.BpeTrainer(
    vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
)
tokenizer.train_from_iterator([] if is_ascii else ["the cache has the prefix of the prompt"] * 4, trainer)
tokenizer.save(str(folder / "tokenizer.json"))
config = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "model_max_length": 1000000,
    "chat_template": "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] ",
}
(folder / "tokenizer_config.json").write_text(json.dumps(config))
