"""Checks that AutoTokenizer reads the tokenizers of saved models as their tokenizer.json has them. Needs transformers 4 or 5.

    mixsga convert sotu-mini --attention mixsga:3:1:6 --out FOLDER
    python3 tools/check_saved_tokenizers.py FOLDER …
"""

import json
import sys
from pathlib import Path

import transformers
from tokenizers import Tokenizer
from transformers import AutoTokenizer

TEXTS = ["", " ", "The state of the Union is", "  two  spaces \n\n", "it's they'll", "é日本語 👨‍👩‍👧 \ufeffx", "<s>a</s><pad> <|endoftext|>", "1789 ½ don't , ."]


def check(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    auto = AutoTokenizer.from_pretrained(str(folder))
    for text in TEXTS:
        for special in (True, False):
            expected, got = own.encode(text, add_special_tokens=special).ids, auto(text, add_special_tokens=special).input_ids
            assert got == expected, (text, special, got, expected)
    assert len(auto) == own.get_vocab_size(), (len(auto), own.get_vocab_size())
    for role in ("bos", "eos", "pad"):
        expected = config.get(f"{role}_token_id")
        expected = expected[0] if isinstance(expected, list) else expected
        assert getattr(auto, f"{role}_token_id") == expected, (role, getattr(auto, f"{role}_token_id"), expected)
    print(f"{folder}: as transformers {transformers.__version__} reads it")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        check(Path(name))
