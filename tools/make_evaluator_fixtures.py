"""Makes the fixtures that hold the evaluators against lm-evaluation-harness, which defines them.

    pip install torch==2.5.1 transformers==4.57.6 lm_eval==0.4.13
    python3 tools/make_evaluator_fixtures.py

Reads packages/training/src/evaluation/fixtures/harness/rows/TASK.jsonl, items made by hand in the form of each data set, and writes beside rows/:

- llama/, gemma2/: tiny random checkpoints that fit the tokenizers of packages/models/src/fixtures/tokenizers (the third model is
  sotu-mini of packages/models/zoo, an OPT);
- expected.json: for each model and task the harness's results, and of each document what its samples file has: log-likelihoods,
  whether they are greedy, metrics and hashes;
- results_lm_eval.json: the results file of one run, less what tells of the machine and the code of the tasks.

All runs are float32 on the CPU. Rows are read by the harness itself from the local files; nothing is downloaded.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from lm_eval import simple_evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from lm_eval import tasks as harness_tasks
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

ROOT = Path(__file__).parent.parent
OUT = ROOT / "packages/training/src/evaluation/fixtures/harness"
TOKENIZERS = ROOT / "packages/models/src/fixtures/tokenizers"
TASKS = {
    "hellaswag": ("hellaswag/hellaswag.yaml", "validation"),
    "piqa": ("piqa/piqa.yaml", "validation"),
    "winogrande": ("winogrande/default.yaml", "validation"),
    "arc_easy": ("arc/arc_easy.yaml", "test"),
    "arc_challenge": ("arc/arc_challenge.yaml", "test"),
    "wikitext": ("wikitext/wikitext.yaml", "test"),
}
SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def checkpoint(name: str, model: type, config, tokenizer: str) -> Path:
    """A random model whose likelihoods are far from uniform, in f16, with a tokenizer."""
    torch.manual_seed(7)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    built = model(config)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(torch.randn(parameter.shape) * (0.5 if parameter.dim() == 2 else 0.2) + (parameter.dim() == 1 and model is LlamaForCausalLM))
    built.half().save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    shutil.copy(TOKENIZERS / f"{tokenizer}.json", folder / "tokenizer.json")
    return folder


def opened(folder: Path, bos: str, eos: str, scratch: Path) -> HFLM:
    """The harness's model, its tokenizer exactly that of tokenizer.json."""
    copy = scratch / folder.name
    shutil.copytree(folder, copy)
    special = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": eos, "pad_token": eos}
    (copy / "tokenizer_config.json").write_text(json.dumps(special))
    # Only the eager attention of transformers caps Gemma 2's logits as its config says.
    return HFLM(pretrained=str(copy), device="cpu", dtype="float32", batch_size=4, attn_implementation="eager")


def task_manager(scratch: Path) -> TaskManager:
    """The harness's own tasks over the local rows."""
    folder = scratch / "tasks"
    folder.mkdir()
    for name, (file, split) in TASKS.items():
        path = Path(harness_tasks.__file__).parent / file
        source = json.dumps(str(OUT / "rows" / f"{name}.jsonl"))
        (folder / f"{name}.yaml").write_text(
            f"include: {path}\ntask: {name}\ndataset_path: json\ndataset_name: null\n"
            f"dataset_kwargs:\n  data_files:\n    {split}: {source}\ntraining_split: null\n"
            + ("validation_split: null\n" if split == "test" else "")
        )
    return TaskManager(include_path=str(folder), include_defaults=False)


def documents(folder: Path, task: str) -> list[dict]:
    """What the harness wrote of each document; of the first one what it asked, which the tests make anew, too."""
    lines = [json.loads(line) for line in next(folder.rglob(f"samples_{task}_*.jsonl")).read_text().splitlines()]
    keys = ("filtered_resps", "doc_hash", "prompt_hash", "target_hash")
    of = lambda line: {key: line[key] for key in (*keys, *line["metrics"])}
    return [lines[0], *map(of, lines[1:])]


def main() -> None:
    opt = ROOT / "packages/models/zoo/sotu-mini"
    llama = checkpoint(
        "llama", LlamaForCausalLM,
        LlamaConfig(vocab_size=520, max_position_embeddings=96, bos_token_id=1, eos_token_id=2, rope_theta=10000.0, **SIZES), "llama-2",
    )
    gemma2 = checkpoint(
        "gemma2", Gemma2ForCausalLM,
        Gemma2Config(
            vocab_size=560, max_position_embeddings=96, head_dim=8, sliding_window=32, query_pre_attn_scalar=8,
            bos_token_id=2, eos_token_id=1, pad_token_id=0, **SIZES,
        ),
        "gemma-2",
    )
    expected = {}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        manager = task_manager(scratch)
        for folder, bos, eos in [(opt, "</s>", "</s>"), (llama, "<s>", "</s>"), (gemma2, "<bos>", "<eos>")]:
            tracker = EvaluationTracker(output_path=str(scratch / "results"))
            results = simple_evaluate(
                model=opened(folder, bos, eos, scratch), tasks=list(TASKS), task_manager=manager, log_samples=True,
                bootstrap_iters=1000, evaluation_tracker=tracker,
            )
            samples = results.pop("samples")
            tracker.save_results_aggregated(results=results, samples=samples)
            for task in TASKS:
                tracker.save_results_samples(task_name=task, samples=samples[task])
            expected[folder.name] = {
                task: {"results": results["results"][task], "samples": documents(scratch / "results", task)} for task in TASKS
            }
            if folder is llama:
                whole = json.loads(next((scratch / "results").rglob("results_*.json")).read_text())
            shutil.rmtree(scratch / "results")
    for key in ("pretty_env_info", "git_hash", "upper_git_hash", "date"):
        whole.pop(key)
    for task, config in whole["configs"].items():
        whole["configs"][task] = {key: config[key] for key in ("task", "output_type", "num_fewshot", "metric_list")}
    whole["config"]["model"] = whole["model_name"] = whole["model_name_sanitized"] = "llama"
    (OUT / "results_lm_eval.json").write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    (OUT / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
