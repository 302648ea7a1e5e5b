"""Makes the fixture of slow GPT-2 tokenizers, with what transformers' AutoTokenizer reads of them.

    pip install transformers==4.57.6 tokenizers==0.22.2 sentencepiece==0.2.3 protobuf==7.36.2
    python3 tools/make_slow_tokenizer_fixtures.py

Writes packages/models/src/fixtures/slow-tokenizers.json: `vocab` and `merges`, which all cases share, and for each case the other
files, the tokenizer.json that AutoTokenizer makes (its vocabulary and merges left out), and the ids of the texts of
make_tokenizer_fixtures.py. Transformers 5 gives the same ids, which `--check` holds in a Python that has it.
"""

import json
import sys
import tempfile
from pathlib import Path

from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

from make_tokenizer_fixtures import TEXTS, byte_level_bpe

OUT = Path(__file__).parent.parent / "packages/models/src/fixtures/slow-tokenizers.json"


def token(content: str, **flags) -> dict:
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "__type": "AddedToken", **flags}


def listed(content: str, **flags) -> dict:
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}


OPT_TOKENS = {"bos_token": token("</s>"), "eos_token": token("</s>"), "unk_token": token("</s>"), "pad_token": token("<pad>")}

CASES = {
    # The files of facebook/opt-125m.
    "opt": {
        "tokenizer_config.json": {
            "errors": "replace", **OPT_TOKENS, "add_prefix_space": False, "add_bos_token": True, "special_tokens_map_file": None,
            "name_or_path": "patrickvonplaten/opt-30b", "tokenizer_class": "GPT2Tokenizer",
        },
        "special_tokens_map.json": OPT_TOKENS,
    },
    "names": {
        "tokenizer_config.json": {"add_bos_token": True, "tokenizer_class": "GPT2Tokenizer"},
        "special_tokens_map.json": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
    },
    # <|endoftext|> is not in this vocabulary: it becomes a token after it.
    "defaults": {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"}},
    "added": {
        "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", "eos_token": "<|im_end|>", "unk_token": "<unk>"},
        "special_tokens_map.json": {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>", "<h1>"]},
        "added_tokens.json": {"<|im_end|>": 481, "<|im_start|>": 480, "start_of": 482},
    },
    "listed": {
        "tokenizer_config.json": {
            "tokenizer_class": "GPT2Tokenizer", "bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": None, "add_bos_token": True,
            "added_tokens_decoder": {"0": listed("<s>"), "2": listed("</s>", normalized=True), "480": listed("<|im_end|>"), "481": listed("word", special=False)},
        },
        "special_tokens_map.json": {"eos_token": "ignored"},
    },
    "prefix-space": {"tokenizer_config.json": {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": True, "add_bos_token": False, **OPT_TOKENS}},
}


def read(folder: str):
    return AutoTokenizer.from_pretrained(folder)


def write(folder: str, vocab: dict, merges: str, files: dict) -> None:
    (Path(folder) / "config.json").write_text('{"model_type": "opt"}')
    (Path(folder) / "vocab.json").write_text(json.dumps(vocab))
    (Path(folder) / "merges.txt").write_text(merges)
    for name, content in files.items():
        (Path(folder) / name).write_text(json.dumps(content))


def make() -> None:
    trained = byte_level_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<s>", "<pad>", "</s>", "<unk>"], 480)
    with tempfile.TemporaryDirectory() as folder:
        trained.model.save(folder)
        vocab = json.loads((Path(folder) / "vocab.json").read_text())
        merges = (Path(folder) / "merges.txt").read_text()
    fixture = {"vocab": dict(sorted(vocab.items(), key=lambda item: item[1])), "merges": merges, "texts": TEXTS, "cases": {}}
    for name, files in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            write(folder, vocab, merges, files)
            tokenizer = read(folder)
        made = json.loads(tokenizer.backend_tokenizer.to_str())
        del made["model"]["vocab"], made["model"]["merges"]
        fixture["cases"][name] = {"files": files, "json": made, "ids": [tokenizer(text).input_ids for text in TEXTS]}
    OUT.write_text(json.dumps(fixture, ensure_ascii=False, separators=(",", ":")) + "\n")


def check() -> None:
    fixture = json.loads(OUT.read_text())
    for name, case in fixture["cases"].items():
        with tempfile.TemporaryDirectory() as folder:
            write(folder, fixture["vocab"], fixture["merges"], case["files"])
            tokenizer = read(folder)
        wrong = [text for text, ids in zip(TEXTS, case["ids"]) if tokenizer(text).input_ids != ids]
        print(name, "same" if not wrong else f"{len(wrong)} other: {wrong[:3]}")


if __name__ == "__main__":
    check() if "--check" in sys.argv else make()
