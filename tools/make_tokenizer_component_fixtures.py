"""Makes the fixture of tokenizers that each try one component or option of a tokenizer.json, with the ids of the Python tokenizers.

    pip install transformers==4.57.6 tokenizers==0.22.2 sentencepiece==0.2.3 protobuf==7.36.2
    python3 tools/make_tokenizer_component_fixtures.py

Writes packages/models/src/fixtures/tokenizer-components.json: the texts, the models that tokenizers share, and for each tokenizer
its other parts, the ids of each text, and the texts of these ids. Those in REFUSED are not read: the fixture has the field that
the error names, and no ids.
"""

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

OUT = Path(__file__).parent.parent / "packages/models/src/fixtures/tokenizer-components.json"

TEXTS = [
    "", " ", "a", "ab", "  two  spaces ", "We the People, in Order", "it's they'll I'M", "a.b,c!?(d)", "x><y--z__w", "1789 ½ ٣ Ⅷ 2nd",
    "tab\tnew\nline\r\n", "\n\nlead", "trail \n ", "\ufeffbom a\ufeffb", "a\u0085b\u2028c\u00a0d", "café naïve É", "e\u0301a\u0308 cafe\u0301", "ΣΊΣΥΦΟΣ Σ",
    "İI ß ẞ ſ K", "日本語の文", "中文abc中", "한국어", "عربي ١٢", "👨‍👩‍👧 😀", "zero\u200bw\u200dj", "ctl\x01\x1f\0.", "\ufffd?", "ﬁ ① Ａ", "abab aaaa bbbb",
    "<s>ab</s>", "abc ab cab ab", " <pad>  <pad> x", "word-word_word", "ABab aBAb", "aaaaaaaaaaaaaaaaaaaaaaaa", "the theory of thee", "▁a▁b ▁", "<0x41><0x0A>",
    "$1 $& \\n", "https://a.b/c?d=e", "𝒜𐍈𠜎", "\u1680\u3000x\u180e", "don 't do not , .", "##b [UNK]", "a\u0300\u0301b", "ЁЖ ёж",
]
# Some of the characters of the texts are in no vocabulary.
CORPUS = ["We the People of the United States, in Order to form a more perfect Union, ab abab aaa bb the theory café 1789 日本語 don't ##"] * 3 + TEXTS[:12]


def trained(pre_tokenizer, trainer, model) -> dict:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(CORPUS, trainer)
    return json.loads(tokenizer.to_str())["model"]


WORDS = pre_tokenizers.Split(" ", "merged_with_next")


def bpe(size: int, pre_tokenizer=WORDS, **options) -> dict:
    made = trained(pre_tokenizer, trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=options.pop("alphabet", []), special_tokens=options.pop("special", ["<unk>"]), show_progress=False,
        min_frequency=2, **options,
    ), models.BPE(unk_token="<unk>", **{key: options[key] for key in ("continuing_subword_prefix", "end_of_word_suffix") if key in options}))
    if not any(" " in part for merge in made["merges"] for part in merge):
        made["merges"] = [" ".join(merge) for merge in made["merges"]]
    return made


def fallback(model: dict, **options) -> dict:
    """With tokens of all bytes, or but for one."""
    vocab = dict(model["vocab"])
    for byte in range(256):
        vocab[f"<0x{byte:02X}>"] = len(vocab)
    return {**model, **options, "vocab": vocab, "byte_fallback": True}


def without_byte(model: dict) -> dict:
    # é as a whole then has no bytes.
    gone = {**model["vocab"]}
    last = gone.pop("<0xC3>")
    top = max(gone, key=gone.get)
    if gone[top] > last:
        gone[top] = last
    return {**model, "vocab": gone}


plain = bpe(170)
whole = {**plain, "vocab": {**plain["vocab"], "People": len(plain["vocab"]), "theory": len(plain["vocab"]) + 1, " <pad>": len(plain["vocab"]) + 2}}
byte_level = bpe(330, pre_tokenizers.ByteLevel(add_prefix_space=False), alphabet=pre_tokenizers.ByteLevel.alphabet(), special=["<s>", "</s>", "<pad>"])
byte_level["unk_token"] = None
meta = bpe(170, pre_tokenizers.Metaspace())
meta_whole = bpe(190, pre_tokenizers.Metaspace(split=False))
tiny = {"type": "BPE", "unk_token": "<unk>", "vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3, "aa": 4, " ": 5, "c": 6, "abc": 7, "x": 8}, "merges": ["a b", "ab c", "a a"]}
LETTERS = "abcdehilmnoprstuwyWPIO.,!?'-é日"


def made_bpe(tokens: list, merges: list, result, **options) -> dict:
    vocab = {token: i for i, token in enumerate(dict.fromkeys(["<unk>", *tokens, *(result(*merge) for merge in merges)]))}
    return {"type": "BPE", "unk_token": "<unk>", **options, "vocab": vocab, "merges": [" ".join(merge) for merge in merges]}


prefixed = made_bpe(
    [*LETTERS, *("##" + letter for letter in LETTERS)],
    [("t", "##h"), ("th", "##e"), ("a", "##b"), ("##o", "##r"), ("##a", "##b"), ("ab", "##ab"), ("the", "##or"), ("##a", "##a"), ("W", "##e")],
    lambda left, right: left + right[2:], continuing_subword_prefix="##",
)
suffixed = made_bpe(
    [*LETTERS, *(letter + "</w>" for letter in LETTERS)],
    [("t", "h"), ("th", "e</w>"), ("a", "b"), ("a", "b</w>"), ("o", "r"), ("ab", "ab</w>"), ("th", "e"), ("the", "or"), ("a", "a"), ("W", "e</w>")],
    lambda left, right: left + right, end_of_word_suffix="</w>",
)
pieces = ["[UNK]", "[CLS]", "[SEP]", *LETTERS, *("##" + letter for letter in LETTERS), "the", "##ory", "##or", "ab", "##ab", "##a", "We", "Peop", "##le", "word", "##rd", "日本"]
word_piece = {
    "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
    "vocab": {piece: i for i, piece in enumerate(dict.fromkeys(pieces))},
}
word_level = trained(pre_tokenizers.Whitespace(), trainers.WordLevelTrainer(vocab_size=60, special_tokens=["<unk>"], show_progress=False), models.WordLevel(unk_token="<unk>"))
# Scores of the length and the place, so that paths differ and seldom tie.
PIECES = ["▁", *"abcdehilmnoprstuwy.,!é", "▁the", "the", "th", "he", "ab", "aba", "bab", "aa", "aaa", "▁a", "▁ab", "ory", "▁We", "People", "lead", "日本", "語", "a\u0300"]
unigram = {
    "type": "Unigram", "unk_id": 0, "byte_fallback": False,
    "vocab": [["<unk>", 0.0]] + [[piece, round(-7.0 + 1.7 * len(piece) ** 0.8 - 0.013 * (i * 37 % 53), 4)] for i, piece in enumerate(PIECES)],
}
unigram_bytes = {**unigram, "byte_fallback": True, "vocab": unigram["vocab"] + [[f"<0x{byte:02X}>", -9.0 - byte / 1000] for byte in range(256)]}

MODELS = {
    "plain": plain, "whole": whole, "byte_level": byte_level, "meta": meta, "meta_whole": meta_whole, "tiny": tiny, "prefixed": prefixed, "suffixed": suffixed,
    "word_piece": word_piece, "word_level": word_level, "unigram": unigram, "unigram_bytes": unigram_bytes, "fallback": fallback(plain),
    "fallback_lacking": without_byte(fallback(plain)),
}


def added(content: str, id_: int, **flags) -> dict:
    return {"id": id_, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags}


def tokens(model: str, *contents: str, **flags) -> list:
    """With the ids that Python gives: the vocabulary's, else the next."""
    vocab = MODELS[model]["vocab"]
    free = iter(range(len(vocab), len(vocab) + len(contents)))
    return [added(content, vocab[content] if content in vocab else next(free), **flags) for content in contents]


def sequence(kind: str, *parts) -> dict:
    return {"type": "Sequence", {"n": "normalizers", "p": "pretokenizers", "o": "processors", "d": "decoders"}[kind]: list(parts)}


def split(pattern, behavior="Isolated", invert=False) -> dict:
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def regex(source: str) -> dict:
    return {"Regex": source}


def string(text: str) -> dict:
    return {"String": text}


NORMALIZER = {
    **{kind: {"type": kind} for kind in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")},
    "nfd-strip-accents": sequence("n", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}),
    **{f"strip-{left}-{right}": {"type": "Strip", "strip_left": left, "strip_right": right} for left in (True, False) for right in (True, False)},
    "prepend": {"type": "Prepend", "prepend": "▁"},
    "strip-prepend": sequence("n", {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Prepend", "prepend": "x"}),
    "replace-string": {"type": "Replace", "pattern": string(" "), "content": "▁"},
    "replace-dollar": {"type": "Replace", "pattern": string("a"), "content": "$&b"},
    "replace-regex": {"type": "Replace", "pattern": regex(r"\s{2,}|[\d.]+"), "content": " "},
    "replace-optional": {"type": "Replace", "pattern": regex("a?b?"), "content": "x"},
    "bert": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
    "bert-cased": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False, "strip_accents": None, "lowercase": False},
    "bert-accents": {"type": "BertNormalizer", "clean_text": False, "handle_chinese_chars": True, "strip_accents": True, "lowercase": False},
    "bert-accents-kept": {"type": "BertNormalizer", "clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": True},
}
BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
PRE_TOKENIZER = {
    **{f"split-{behavior}-{invert}": split(regex("[ab]+"), behavior, invert) for behavior in BEHAVIORS for invert in (False, True)},
    **{f"split-space-{behavior}": split(string(" "), behavior) for behavior in BEHAVIORS},
    **{f"split-one-{behavior}": split(regex("a"), behavior) for behavior in ("MergedWithPrevious", "MergedWithNext", "Contiguous")},
    **{f"punctuation-{behavior}": {"type": "Punctuation", "behavior": behavior} for behavior in BEHAVIORS},
    "split-words": split(regex(r"\w+|[^\w\s]+"), "Removed", True),
    "split-lookahead": split(regex(r"\s+(?!\S)|\s+|\S+(?=\s)")),
    "split-lazy": split(regex(r"a+?b??|\d{2,3}?")),
    "split-boundary": split(regex(r"\bthe\b|^.|.$")),
    "split-nested": split(regex(r"(?:(?:ab|a)+|[^\s&&[^aeiou]]+)*c?")),
    "split-classes": split(regex(r"[[:alpha:]]+|\p{Lu}\p{Ll}*|[\p{L}&&[^a-z]]+|\h+")),
    "split-case": split(regex(r"(?i:the|PEOPLE)|\p{Han}")),
    "whitespace": {"type": "Whitespace"},
    "whitespace-split": {"type": "WhitespaceSplit"},
    "bert": {"type": "BertPreTokenizer"},
    "delimiter": {"type": "CharDelimiterSplit", "delimiter": "a"},
    "digits": {"type": "Digits", "individual_digits": True},
    "digit-runs": {"type": "Digits", "individual_digits": False},
    "fixed-length": {"type": "FixedLength", "length": 3},
    "sequence": sequence("p", {"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "MergedWithNext"}, {"type": "Digits", "individual_digits": True}),
}


def metaspace(scheme: str, cut: bool) -> dict:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}


def bytes_(prefix: bool, use_regex: bool) -> dict:
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}


BYTE_DECODER = bytes_(True, True)
CASES: dict = {}


def case(name: str, model: str, **parts) -> None:
    CASES[name] = {"model": model, **parts}


for name, part in NORMALIZER.items():
    case(f"normalizer {name}", "plain", normalizer=part)
for name, part in PRE_TOKENIZER.items():
    case(f"pre-tokenizer {name}", "plain", pre_tokenizer=part)
for scheme in ("always", "first", "never"):
    for cut in (True, False):
        case(f"metaspace {scheme} {cut}", "meta_whole", pre_tokenizer=metaspace(scheme, cut), decoder=metaspace(scheme, cut), added_tokens=tokens("meta_whole", "<s>", special=True))
case("metaspace of before", "meta", pre_tokenizer={"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}, decoder={"type": "Metaspace", "replacement": "▁", "add_prefix_space": True})
case("metaspace after words", "meta", pre_tokenizer=sequence("p", {"type": "WhitespaceSplit"}, metaspace("first", True)))
for prefix in (True, False):
    for use_regex in (True, False):
        case(f"byte level {prefix} {use_regex}", "byte_level", pre_tokenizer=bytes_(prefix, use_regex), decoder=BYTE_DECODER)
case("byte level after digits", "byte_level", pre_tokenizer=sequence("p", {"type": "Digits", "individual_digits": True}, bytes_(True, True)), decoder=BYTE_DECODER)
case("byte level normalizer", "byte_level", normalizer=sequence("n", {"type": "NFC"}, {"type": "ByteLevel"}), decoder=BYTE_DECODER)
# Models
case("bpe unknown", "tiny")
case("bpe unknown fused", "tiny", options={"fuse_unk": True})
case("bpe unknown fused words", "tiny", options={"fuse_unk": True}, pre_tokenizer=split(string(" ")))
case("bpe without unknown", "tiny", options={"unk_token": None})
case("bpe merges", "whole", pre_tokenizer={"type": "Whitespace"})
case("bpe ignore merges", "whole", options={"ignore_merges": True}, pre_tokenizer={"type": "Whitespace"})
case("bpe ignore merges fused", "whole", options={"ignore_merges": True, "fuse_unk": True})
case("bpe dropout of zero", "plain", options={"dropout": 0.0})
case("bpe prefix", "prefixed", pre_tokenizer={"type": "Whitespace"}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True})
case("bpe suffix", "suffixed", pre_tokenizer={"type": "Whitespace"}, decoder={"type": "BPEDecoder", "suffix": "</w>"})
case("bpe byte fallback", "fallback", decoder=sequence("d", {"type": "ByteFallback"}, {"type": "Fuse"}))
case("bpe byte fallback fused", "fallback", options={"fuse_unk": True})
case("bpe byte fallback lacking a byte", "fallback_lacking")
case("bpe byte fallback lacking a byte fused", "fallback_lacking", options={"fuse_unk": True})
case("word piece", "word_piece", pre_tokenizer={"type": "BertPreTokenizer"}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True})
case("word piece uncleaned", "word_piece", normalizer=NORMALIZER["bert"], pre_tokenizer={"type": "BertPreTokenizer"}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": False})
case("word piece long words", "word_piece", options={"max_input_chars_per_word": 5}, pre_tokenizer={"type": "WhitespaceSplit"})
case("word level", "word_level", pre_tokenizer={"type": "Whitespace"})
case("unigram", "unigram", pre_tokenizer=metaspace("always", True), decoder=metaspace("always", True))
case("unigram whole", "unigram")
case("unigram byte fallback", "unigram_bytes", pre_tokenizer=metaspace("always", True), decoder=sequence("d", {"type": "ByteFallback"}, metaspace("always", True)))
# Added tokens
for flags in ({"single_word": True}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"normalized": True}, {"special": True}, {"single_word": True, "normalized": True, "lstrip": True}):
    case(f"added {' '.join(flags)}", "plain", added_tokens=tokens("plain", "abc", "ab", "<pad>", **flags), normalizer={"type": "Lowercase"})
case("added overlapping", "plain", added_tokens=tokens("plain", "abab", "aba", "b a", "the", rstrip=True))
case("added normalized capitals", "plain", added_tokens=tokens("plain", "ABa", "The", normalized=True), normalizer={"type": "Lowercase"})
case("added of the vocabulary", "plain", added_tokens=tokens("plain", "a", "<unk>", "É", special=True), pre_tokenizer={"type": "Whitespace"})
case("added between metaspaces", "meta", added_tokens=tokens("meta", "ab", "<s>", special=True), pre_tokenizer=metaspace("first", False))
case("added to byte level", "byte_level", added_tokens=tokens("byte_level", "<s>", special=True) + tokens("byte_level", "日本", "Ġx"), pre_tokenizer=bytes_(False, True), decoder=BYTE_DECODER)
# Post-processors
bos, eos = ("<s>", byte_level["vocab"]["<s>"]), ("</s>", byte_level["vocab"]["</s>"])
template = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"x": {"id": "x", "ids": [0, 2], "tokens": ["<s>", "<pad>"]}, "</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
}
roberta = {"type": "RobertaProcessing", "sep": eos, "cls": bos, "trim_offsets": True, "add_prefix_space": False}
case("template", "byte_level", pre_tokenizer=bytes_(False, True), post_processor=template, decoder=BYTE_DECODER)
case("roberta", "byte_level", pre_tokenizer=bytes_(False, True), post_processor=roberta)
case("bert processing", "word_piece", pre_tokenizer={"type": "BertPreTokenizer"}, post_processor={"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]})
case("processors", "byte_level", pre_tokenizer=bytes_(False, True), post_processor=sequence("o", bytes_(True, False), template))
# Decoders
case("decoder replace strip", "fallback", normalizer=NORMALIZER["replace-string"], decoder=sequence("d", {"type": "Replace", "pattern": string("▁"), "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}))
case("decoder strip", "plain", decoder={"type": "Strip", "content": "a", "start": 2, "stop": 0})
case("decoder strip end", "plain", decoder={"type": "Strip", "content": "b", "start": 0, "stop": 1})
case("decoder ctc", "plain", decoder={"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True})
case("decoder ctc uncleaned", "plain", decoder={"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": False})
case("truncation and padding", "plain", truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}, padding={"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"})

REFUSED = {
    "dropout": ("model.dropout", {"model": "plain", "options": {"dropout": 0.5}}),
    "nmt": ("normalizer.type", {"model": "plain", "normalizer": {"type": "Nmt"}}),
    "unicode scripts": ("pre_tokenizer.type", {"model": "plain", "pre_tokenizer": {"type": "UnicodeScripts"}}),
    "possessive": ("pre_tokenizer.pattern", {"model": "plain", "pre_tokenizer": split(regex("a++b"))}),
    "atomic": ("pre_tokenizer.pattern", {"model": "plain", "pre_tokenizer": split(regex("(?>a+)b"))}),
    "back-reference": ("pre_tokenizer.pattern", {"model": "plain", "pre_tokenizer": split(regex(r"(a|b)\1"))}),
    "long lookbehind": ("pre_tokenizer.pattern", {"model": "plain", "pre_tokenizer": split(regex("(?<=ab)c"))}),
}


def tokenizer_json(parts: dict) -> dict:
    model = {**MODELS[parts["model"]], **parts.get("options", {})}
    empty = {key: None for key in ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")}
    return {"version": "1.0", **empty, "added_tokens": [], **{key: value for key, value in parts.items() if key not in ("model", "options")}, "model": model}


def main() -> None:
    fixture = {"texts": TEXTS, "models": MODELS, "cases": {}}
    for name, parts in CASES.items():
        tokenizer = Tokenizer.from_str(json.dumps(tokenizer_json(parts)))
        # As transformers has it.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        ids = [tokenizer.encode(text).ids for text in TEXTS]
        decoded = [tokenizer.decode(each, skip_special_tokens=True) for each in ids]
        fixture["cases"][name] = {**parts, "ids": [" ".join(map(str, each)) for each in ids], **({"decoded": decoded} if parts.get("decoder") else {})}
    for name, (field, parts) in REFUSED.items():
        Tokenizer.from_str(json.dumps(tokenizer_json(parts)))
        fixture["cases"][f"refused {name}"] = {**parts, "refused": field}
    OUT.write_text(json.dumps(fixture, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(len(CASES), "tokenizers,", len(TEXTS), "texts")


if __name__ == "__main__":
    main()
