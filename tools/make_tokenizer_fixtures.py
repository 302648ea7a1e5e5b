"""Makes the fixtures of the tokenizer tests with the Python tokenizers, the reference.

    pip install transformers==4.57.6 tokenizers==0.22.2 sentencepiece==0.2.3 protobuf==7.36.2
    python3 tools/make_tokenizer_fixtures.py

Writes packages/models/src/fixtures/tokenizers/KIND.json, a tokenizer of some hundred tokens with the components of the
published ones, and expected.json: the texts; for each kind and text `ids` with special tokens, `plain` without; and `decoded`,
the texts of runs of ids, some of them no text at all, as they are and without special tokens. A second run gives the same bytes.
"""

import json
import random
import tempfile
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GemmaTokenizerFast, GPT2Tokenizer, LlamaTokenizerFast
from transformers.convert_slow_tokenizer import GPT2Converter

OUT = Path(__file__).parent.parent / "packages/models/src/fixtures/tokenizers"

CORPUS = """We the People of the United States, in Order to form a more perfect Union, establish Justice, insure domestic
Tranquility, provide for the common defence, promote the general Welfare, and secure the Blessings of Liberty to ourselves and
our Posterity, do ordain and establish this Constitution for the United States of America.
It's what they'd said: we'll see, I'm sure you've heard; they're here.
def main(arguments):
    for index in range(10):
        if index % 2 == 0:
            print(f"{index}: {arguments[index]}")
    return None
日本語の文章と日本の言葉。中文也在这里，中国的文字。 한국어 문장입니다.
Ελληνικά και ελληνικά, Русский язык и русские слова. هذا نص عربي، وهذا أيضا.
§ £ ° « » ± ½ ¼ § £ ° « » ± \ufeff \ufeff \ufeff \u0085 \u0085 \u0085 ٣٣ ٣٣ ½½ ½½
café naïve Ångström straße señor. 1789 2021 3.14 100 1000 10000.
""".replace("Tranquility,\n", "Tranquility, ")

TEXTS = [
    "", " ", "  ", "\n", "\t", "a", "▁", "▁▁", "\u00a0",
    "We the People of the United States, in Order to form a more perfect Union",
    "  leading, trailing  and   multiple    spaces     ",
    "The year 1789, 12345678 and 3.14159; -7 ½ ² Ⅷ ٣ 一二三",
    "a ! \ufeff! \ufeffx \ufeff\ufeff \u0085x  \u0085 x\u0085\u0085 y \x1c\x1d \u180e ½½ ٣٣ ②②", "it'ſ IT'ſ 'K",
    "it's IT'S They'LL we'D 'tis ’s I'M don't",
    "def f(x):\n    return x ** 2  # squared\n\n\nif __name__ == '__main__':\n\tprint(f(3))\r\n",
    "line\n\nline\r\nline\rline \n line\t\ttabs\n\n\n\n\n\n",
    "\n\n leading newlines", "trailing newlines \n\n", "space before newline   \n  x",
    "👨‍👩‍👧 🇫🇷 😀! 👍🏽 🏳️‍🌈❤️", "👩🏿‍🚀" * 5,
    "日本語の文章。 中文,没有空格 한국어 ㍿",
    "هذا نص عربي، ١٢٣. עברית עם ניקוד: שָׁלוֹם",
    "हिन्दी में देवनागरी, ภาษาไทย",
    "e\u0301 a\u0308\u0304 n\u0303 Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d café cafe\u0301",
    "Å Å Å ﬁ ﬀ ① Ａ ａ ｱ", "İstanbul ıI ſ ß ẞ Ǆ",
    "nul \0 and \x01\x02\x1f and \x7f\x80\x9f", "\0", "\u2028line\u2029separators\u0085next\x0bvertical\x0cform",
    "\ufeffbyte order mark \ufffe \uffff \ufffd", "\u200bzero\u200dwidth\u2060\u00adsoft\u202edirection\u202c",
    "\u00a0no-break\u2003em\u3000wide\u1680ogham\u180e\u205f", "\U0010ffff\U000e0001 private \ue000",
    "x" * 200, "States" * 30, "é" * 30, "😀" * 20, "ab" * 30 + " " * 30 + "!" * 40, "0" * 30,
    "<s>text</s> <pad> <unk> </s", "<bos>text<eos><start_of_turn>user\nhi<end_of_turn>", "<h1>▁▁▁x</h1>",
    "<|begin_of_text|>text<|eot_id|> <|start_header_id|>user<|end_header_id|>\n\n", "<|endoftext|><|im_start|>a<|im_end|>",
    "a <s> b", "a  <s>  b", "<s>", "<s> a", "<0x41><0xFF> <0x00>", "Ġ Ċ Ã©", "http://example.org/a?b=c&d=%20#e_f-g",
    "!!! ... ?! --- *** ((())) [[]] {{}} \\\\ // ~~ `` '' \"\" ,,, ;;:: @#$%^&*",
    "a\u0300\u0301\u0302 \u0301 \u0301", "MiXeD CaSe ΑΒΓ αβγς ΣΊΣΥΦΟΣ", "𝒜𝓁𝑔 𐍈 𠜎𠜱", "word-word_word.word/word", "$100 €5 ₿1 50%",
]


def byte_level_bpe(pre_tokenizer, special: list, size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(
        [CORPUS],
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


def opt(folder: Path) -> Tokenizer:
    """facebook/opt-125m has vocab.json and merges.txt alone: what transformers makes of them."""
    trained = byte_level_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<s>", "<pad>", "</s>", "<unk>"], 480)
    trained.model.save(str(folder))
    slow = GPT2Tokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), bos_token="</s>", eos_token="</s>", unk_token="</s>",
        pad_token="<pad>", add_bos_token=True,
    )
    tokenizer = GPT2Converter(slow).converted()
    tokenizer.add_special_tokens([AddedToken(token, normalized=True, special=True) for token in ("</s>", "<pad>")])
    return tokenizer


LLAMA_3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def llama_3(_folder: Path) -> Tokenizer:
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_3_SPLIT), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
        ]
    )
    trained = byte_level_bpe(split, [], 480)
    parts = json.loads(trained.to_str())["model"]
    # As published: whole words of the vocabulary need no merges.
    whole = parts["vocab"] | {"ĠConstitution": len(parts["vocab"])}
    tokenizer = Tokenizer(models.BPE(whole, [tuple(merge) for merge in parts["merges"]], ignore_merges=True))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    bos = ("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(add_prefix_space=True, trim_offsets=False, use_regex=True),
            processors.TemplateProcessing(single=f"{bos[0]} $A", pair=f"{bos[0]} $A {bos[0]}:1 $B:1", special_tokens=[bos]),
        ]
    )
    return tokenizer


def smollm(_folder: Path) -> Tokenizer:
    """SmolLM2, a plain Llama: digits apart, no BOS."""
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    special = [AddedToken(token, normalized=False, special=True) for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    tokenizer = byte_level_bpe(split, special, 440)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    return tokenizer


def sentencepiece_bpe(folder: Path, **options) -> str:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines()), model_prefix=str(folder / "sp"), model_type="bpe", byte_fallback=True,
        split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False, num_threads=1,
        allow_whitespace_only_pieces=True, character_coverage=0.98, minloglevel=2, **options,
    )
    return str(folder / "sp.model")


def llama_tokenizer(folder: Path, legacy: bool) -> Tokenizer:
    file = sentencepiece_bpe(folder, vocab_size=520)
    return LlamaTokenizerFast(vocab_file=file, legacy=legacy, add_prefix_space=True, from_slow=True).backend_tokenizer


def llama_2(folder: Path) -> Tokenizer:
    """Llama 2 and TinyLlama: `▁` put in front by the normalizer."""
    return llama_tokenizer(folder, legacy=True)


def llama_2_metaspace(folder: Path) -> Tokenizer:
    """The same as newer conversions have it: a Metaspace pre-tokenizer, with `▁` before the first word only."""
    return llama_tokenizer(folder, legacy=False)


def gemma_2(folder: Path) -> Tokenizer:
    file = sentencepiece_bpe(
        folder, vocab_size=560, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>",
        add_dummy_prefix=False,
        user_defined_symbols=[
            "<mask>", "<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "\n\n\n", "▁▁", "▁▁▁", "▁▁▁▁", "<h1>", "</h1>", "\t",
        ],
    )
    return GemmaTokenizerFast(vocab_file=file).backend_tokenizer


KINDS = {
    "opt": opt, "llama-3": llama_3, "smollm": smollm, "llama-2": llama_2, "llama-2-metaspace": llama_2_metaspace, "gemma-2": gemma_2,
}


def runs_of_ids(tokenizer: Tokenizer, kind: str) -> list:
    """Texts, cut off where a character is whole and where not, and ids at random, most of them bytes."""
    drawn = random.Random(kind)
    runs = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=True).ids
        if len(ids) < 40:
            runs.append(ids)
        begin = drawn.randrange(len(ids) + 1)
        runs.append(ids[begin : begin + drawn.randrange(1, 9)])
    size = tokenizer.get_vocab_size()
    runs += [[drawn.randrange(size) for _ in range(8)] for _ in range(15)]
    runs += [[drawn.randrange(min(size, 270)) for _ in range(10)] for _ in range(30)]
    return [run for run in runs if run]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    expected = {"texts": TEXTS, "kinds": {}}
    for kind, make in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = make(Path(folder))
        (OUT / f"{kind}.json").write_text(tokenizer.to_str(pretty=False) + "\n")
        decoded = [
            [run, tokenizer.decode(run, skip_special_tokens=False), tokenizer.decode(run, skip_special_tokens=True)]
            for run in runs_of_ids(tokenizer, kind)
        ]
        expected["kinds"][kind] = {
            "size": tokenizer.get_vocab_size(),
            "ids": [tokenizer.encode(text).ids for text in TEXTS],
            "plain": [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS],
            "decoded": decoded,
        }
        print(f"{kind}: {tokenizer.get_vocab_size()} tokens")
    (OUT / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
