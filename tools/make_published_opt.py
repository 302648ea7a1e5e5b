"""Makes a small OPT in exactly the files that facebook/opt-125m is published in, and what transformers generates from it.

    pip install torch==2.5.1 transformers==4.57.6 tokenizers==0.22.2
    python3 tools/make_published_opt.py

Writes packages/models/src/fixtures/published-opt: a float16 pytorch_model.bin, the files of a slow tokenizer (those of
make_slow_tokenizer_fixtures.py), more rows in the embedding than the tokenizer has tokens, and expected.json.
"""

import json
from pathlib import Path

import torch
from transformers import AutoTokenizer, OPTConfig, OPTForCausalLM

FIXTURES = Path(__file__).parent.parent / "packages/models/src/fixtures"
OUT = FIXTURES / "published-opt"
PROMPT = "The state of the Union"
NEW_TOKENS = 24


def main() -> None:
    OUT.mkdir(exist_ok=True)
    slow = json.loads((FIXTURES / "slow-tokenizers.json").read_text())
    files = slow["cases"]["opt"]["files"]
    (OUT / "vocab.json").write_text(json.dumps(slow["vocab"], ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    (OUT / "merges.txt").write_text(slow["merges"], encoding="utf-8")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (OUT / name).write_text(json.dumps(files[name]))

    # The keys that the published file has. Like opt-125m, the embedding has 7 rows more than there are tokens.
    settings = {
        "_name_or_path": "opt-125m", "activation_dropout": 0.0, "activation_function": "relu", "architectures": ["OPTForCausalLM"],
        "attention_dropout": 0.0, "bos_token_id": 2, "do_layer_norm_before": True, "dropout": 0.1, "eos_token_id": 2, "ffn_dim": 64,
        "hidden_size": 32, "init_std": 0.4, "layerdrop": 0.0, "max_position_embeddings": 64, "model_type": "opt", "num_attention_heads": 4,
        "num_hidden_layers": 2, "pad_token_id": 1, "prefix": "</s>", "torch_dtype": "float16", "transformers_version": "4.21.0.dev0",
        "use_cache": True, "vocab_size": len(slow["vocab"]) + 7, "word_embed_proj_dim": 32,
    }
    generation = {"_from_model_config": True, "bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 1, "transformers_version": "4.27.0.dev0"}
    (OUT / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (OUT / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    torch.manual_seed(3)
    model = OPTForCausalLM(OPTConfig.from_pretrained(OUT, attn_implementation="eager")).half()
    torch.save(model.state_dict(), OUT / "pytorch_model.bin")
    model = model.float().eval()

    tokenizer = AutoTokenizer.from_pretrained(OUT)
    ids = tokenizer(PROMPT, return_tensors="pt")
    with torch.no_grad():
        logits = model(**ids).logits[0, -1]
        out = model.generate(**ids, max_new_tokens=NEW_TOKENS, do_sample=False)[0][ids["input_ids"].shape[1]:].tolist()
    text = tokenizer.decode(out, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    (OUT / "expected.json").write_text(json.dumps({"prompt": PROMPT, "promptIds": ids["input_ids"][0].tolist(), "ids": out, "text": text}, ensure_ascii=False))
    top = logits.topk(2).values.tolist()
    print(len(slow["vocab"]), max(out), text, top)


main()
