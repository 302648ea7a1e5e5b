"""Makes the fixtures of the parity tests with Hugging Face transformers, the reference.

    pip install torch==2.5.1 transformers==4.57.6 safetensors==0.8.0 numpy==2.4.6
    python3 tools/make_parity_fixtures.py [NAME...]

Writes, for each case or those named, packages/models/src/fixtures/parity/NAME/:

- config.json and weights as they are published: safetensors, shards with an index, or a pytorch_model.bin;
- golden.json: a prompt, its greedy continuation, and for each attention variant the same and the experts;
- golden.safetensors: `logits` [64, V] of every position of prompt and continuation; `hidden.N` [16, D], what layer N puts
  out at every fourth position; and for each variant `VARIANT/prefill` [17, V], logits from the last token of the prompt on,
  under expert choice in the prompt, and `VARIANT/decode` [16, V], every fourth position with each token routed alone;
- routers.safetensors, where a variant routes.

Everything is float32 on one thread, from the seeds below: a second run gives the same bytes. Each case asserts that what is
peculiar to it matters (without it, logits differ by more than 1 %), and that no greedy token and no expert is a close call.
"""

import json
import math
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM, Olmo2Config, Olmo2ForCausalLM,
    OPTConfig, OPTForCausalLM, Qwen3Config, Qwen3ForCausalLM,
)
from transformers.models.gemma2 import modeling_gemma2
from transformers.models.gemma3 import modeling_gemma3
from transformers.models.llama import modeling_llama
from transformers.models.olmo2 import modeling_olmo2
from transformers.models.opt import modeling_opt
from transformers.models.qwen3 import modeling_qwen3

OUT = Path(__file__).parent.parent / "packages/models/src/fixtures/parity"
PROMPT, GREEDY, EVERY = 48, 16, 4
MARGIN = 3e-3  # of greedy tokens and experts, in units of the logits

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def round_factor(config: dict):
    """Gemma multiplies its embeddings by sqrt(D) in the dtype that it runs in: that of the file, not our float32."""
    exact = config["hidden_size"] ** 0.5
    rounded = torch.tensor(exact).to(getattr(torch, config["torch_dtype"])).item()
    return lambda _module, _args, output: output * (rounded / exact)


@dataclass
class Family:
    config: type
    model: type
    module: object  # whose eager_attention_forward the variants replace
    prefix: str  # of a layer's parameters

    def build(self, config: dict, state: dict, rounded: bool = True):
        model = self.model._from_config(self.config(**config), attn_implementation="eager").float().eval()
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert not unexpected and all("lm_head" in name or "final_layer_norm" in name for name in missing), (missing, unexpected)
        model.tie_weights()
        if self.model is Gemma3ForCausalLM:  # it keeps the factor, in the dtype that it was made in
            model.model.embed_tokens.embed_scale = torch.tensor(config["hidden_size"] ** 0.5)
        if self.is_gemma and rounded:
            model.model.embed_tokens.register_forward_hook(round_factor(config))
        return model

    @property
    def is_gemma(self):
        return self.model in (Gemma2ForCausalLM, Gemma3ForCausalLM)

    def layers(self, model):
        return model.model.decoder.layers if self.model is OPTForCausalLM else model.model.layers


FAMILIES = {
    "opt": Family(OPTConfig, OPTForCausalLM, modeling_opt, "model.decoder.layers."),
    "llama": Family(LlamaConfig, LlamaForCausalLM, modeling_llama, "model.layers."),
    "gemma2": Family(Gemma2Config, Gemma2ForCausalLM, modeling_gemma2, "model.layers."),
    "gemma3_text": Family(Gemma3TextConfig, Gemma3ForCausalLM, modeling_gemma3, "model.layers."),
    "qwen3": Family(Qwen3Config, Qwen3ForCausalLM, modeling_qwen3, "model.layers."),
    "olmo2": Family(Olmo2Config, Olmo2ForCausalLM, modeling_olmo2, "model.layers."),
}


@dataclass
class Case:
    config: dict
    dtype: torch.dtype
    write: object  # how the weights are written
    without: list  # changes to the config, each of which must matter
    seed: int
    gain: float = 1.4  # of every matrix, over 1/sqrt(inputs)
    embedding: float = 1.0  # standard deviation of the token embeddings
    variants: list = field(default_factory=list)
    spellings: list = field(default_factory=list)  # changes to the config, none of which may matter
    padded: bool = False


# Weights.


def random_state(family: Family, case: Case, seed: int) -> dict:
    """Weights by the names of the reference, as the file's dtype rounds them, in float32. Tied heads are left out."""
    generator = torch.Generator().manual_seed(seed)
    model = family.model._from_config(family.config(**case.config), attn_implementation="eager")
    tied = model.config.tie_word_embeddings
    state = {}
    for name, parameter in sorted(model.state_dict().items()):
        if tied and name == "lm_head.weight":
            continue
        values = torch.randn(parameter.shape, generator=generator)
        if "embed_tokens" in name:
            values *= case.embedding
        elif "embed_positions" in name:
            values *= 0.5
        elif parameter.dim() == 2:
            values *= case.gain / math.sqrt(parameter.shape[1])
        elif "norm" in name and name.endswith("weight"):
            values = values * 0.3 + 1
        else:
            values *= 0.3
        state[name] = values.to(case.dtype).float()
    return state


def write_single(folder: Path, state: dict, dtype: torch.dtype):
    save_file({name: values.to(dtype) for name, values in state.items()}, folder / "model.safetensors", {"format": "pt"})


def write_shards(folder: Path, state: dict, dtype: torch.dtype):
    """Two shards, with the buffers that older Llama checkpoints carry."""
    state = {name: values.to(dtype) for name, values in state.items()}
    for layer in range(2):
        state[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    weight_map, total = {}, 0
    names = sorted(state)
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: state[name] for name in part}, folder / file, {"format": "pt"})
        weight_map |= {name: file for name in part}
        total += sum(state[name].nbytes for name in part)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_pickle(folder: Path, state: dict, dtype: torch.dtype):
    """A pytorch_model.bin of the model without its head, as facebook/opt-350m was published: no `model.` in the names."""
    torch.save({name.removeprefix("model."): values.to(dtype) for name, values in state.items()}, folder / "pytorch_model.bin")


# Runs of the reference.


@dataclass
class Routing:
    """Routers of a mixSGA model and how many of the first tokens are routed together, by expert choice."""

    routers: dict
    ratios: list
    sizes: list
    prompt: int
    experts: dict = field(default_factory=dict)  # layer to [T]
    margin: float = math.inf

    def decide(self, layer: int, x: torch.Tensor):  # x [T, D], the input of the K and V projections
        logits = x @ self.routers[layer]["weight"].T + self.routers[layer]["bias"]  # [T, E]
        experts = logits.argmax(-1)
        top = logits.sort(-1, descending=True).values
        if self.prompt < len(x):
            self.margin = min(self.margin, (top[self.prompt :, 0] - top[self.prompt :, 1]).min().item())
        free = list(range(self.prompt))  # section 3.2 of the paper: each expert in turn takes its share of what is left
        for expert, ratio in enumerate(self.ratios):
            ranked = sorted(free, key=lambda token: -logits[token, expert].item())
            share = len(free) if expert == len(self.ratios) - 1 else min(math.ceil(ratio * self.prompt), len(free))
            if 0 < share < len(ranked):
                self.margin = min(self.margin, (logits[ranked[share - 1], expert] - logits[ranked[share], expert]).item())
            for token in ranked[:share]:
                experts[token] = expert
            free = [token for token in free if token not in ranked[:share]]
        self.experts[layer] = experts

    def group(self, layer: int, heads: torch.Tensor):  # [1, K, T, d]
        grouped = heads.clone()
        for token, expert in enumerate(self.experts[layer].tolist()):
            size = self.sizes[expert]
            for first in range(0, heads.shape[1], size):
                grouped[:, first : first + size, token] = heads[:, first : first + size, token].mean(1, keepdim=True)
        return grouped


@torch.no_grad()
def run(family: Family, model, tokens: list, routing: Routing | None = None, share: int = 1):
    """Logits [T, V] and what each layer puts out [T, D]. `share`: layers that read the keys and values of the first of them, and rotate
    queries as it does."""
    hidden, shared, hooks = {}, {}, []
    eager = family.module.eager_attention_forward

    def attention(module, query, key, value, *args, **kwargs):
        layer = module.layer_idx
        if routing:
            key, value = routing.group(layer, key), routing.group(layer, value)
        if layer % share == 0:
            shared["kv"] = key, value
        return eager(module, query, *shared["kv"], *args, **kwargs)

    for layer, block in enumerate(family.layers(model)):

        def after(_module, _args, output, layer=layer):
            hidden[layer] = (output[0] if isinstance(output, tuple) else output).reshape(len(tokens), -1).clone()

        hooks.append(block.register_forward_hook(after))
        if share > 1 and family.model is not OPTForCausalLM:

            def rotated(_module, args, kwargs, layer=layer):
                if layer % share == 0:
                    shared["positions"] = kwargs["position_embeddings"]
                return args, kwargs | {"position_embeddings": shared["positions"]}

            hooks.append(block.self_attn.register_forward_pre_hook(rotated, with_kwargs=True))
        if routing:

            def before(_module, args, kwargs, layer=layer):
                x = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
                routing.decide(layer, x[0])

            hooks.append(block.self_attn.register_forward_pre_hook(before, with_kwargs=True))
    family.module.eager_attention_forward = attention
    try:
        logits = model(torch.tensor([tokens]), use_cache=False).logits[0]
    finally:
        family.module.eager_attention_forward = eager
        for hook in hooks:
            hook.remove()
    return logits, hidden


def continue_greedily(family: Family, model, prompt: list, **options):
    """The continuation, its least margin, and the logits of prompt and continuation, by one pass over the text per token."""
    tokens, margin = list(prompt), math.inf
    for _ in range(GREEDY):
        logits, _ = run(family, model, tokens, **options)
        best = logits[-1].topk(2).values
        margin = min(margin, (best[0] - best[1]).item())
        tokens.append(logits[-1].argmax().item())
    return tokens[len(prompt) :], margin


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


# Variants.


def parse_variant(spec: str, kv_heads: int):
    name, _, rest = spec.partition(":")
    if name != "mixsga":
        return name, int(rest), None
    ratios, _, sizes = rest.partition("@")
    ratios = [float(ratio) for ratio in ratios.split(":")]
    sizes = [int(size) for size in sizes.split(",")] if sizes else [2**i for i in range(len(ratios))]
    assert all(kv_heads % size == 0 for size in sizes)
    return name, [ratio / sum(ratios) for ratio in ratios], sizes


def kv_heads_of(config: dict) -> int:
    return config.get("num_key_value_heads", config["num_attention_heads"])


def with_mean_heads(family: Family, case: Case, state: dict, size: int):
    """A model of the reference with K/size KV heads, each the mean of a run of `size`; OPT, which knows none, repeats them."""
    heads = kv_heads_of(case.config)
    repeat = size if family.model is OPTForCausalLM else 1
    grouped = {
        name: values.unflatten(0, (heads // size, size, -1)).mean(1).repeat_interleave(repeat, 0).flatten(0, 1)
        if ".k_proj." in name or ".v_proj." in name or (family.model is Olmo2ForCausalLM and ".k_norm." in name)
        else values
        for name, values in state.items()
    }
    return family.build(case.config | {"num_key_value_heads": heads // size}, grouped)


def random_routers(case: Case, experts: int, seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    width = case.config["hidden_size"]
    return {
        layer: {
            "weight": torch.randn((experts, width), generator=generator) * 2 / math.sqrt(width),
            "bias": torch.randn(experts, generator=generator) * 0.5,
        }
        for layer in range(case.config["num_hidden_layers"])
    }


def variant_golden(family: Family, case: Case, state: dict, model, prompt: list, spec: str, plain: torch.Tensor):
    """Tensors, the JSON part and routers of one variant; None when a decision was close, to try other routers."""
    kind, value, sizes = parse_variant(spec, kv_heads_of(case.config))
    for seed in range(1000):
        routers, options, again = None, {}, {}
        if kind == "mixsga":
            routers = random_routers(case, len(sizes), seed)
            options = {"routing": Routing(routers, value, sizes, PROMPT)}
            again = {"routing": Routing(routers, value, sizes, 0)}
        elif kind == "cla":
            options = again = {"share": value}
        else:
            model = with_mean_heads(family, case, state, value)
        greedy, margin = continue_greedily(family, model, prompt, **options)
        tokens = prompt + greedy
        prefill, _ = run(family, model, tokens, **options)
        decode, _ = run(family, model, tokens, **again)
        if routers:
            margin = min(margin, options["routing"].margin, again["routing"].margin)
        if margin > MARGIN:
            break
        assert routers, f"{spec}: a greedy token is a close call ({margin}); take another seed"
    assert difference(prefill[: len(plain)], plain[: len(prefill)]) > 1e-2
    record = {"greedy": greedy}
    if routers:
        used = options["routing"].experts
        assert all(set(range(len(sizes))) == set(used[layer].tolist()) for layer in used)
        assert difference(prefill, decode) > 1e-2
        record["experts"] = [used[layer].tolist() for layer in sorted(used)]
    tensors = {f"{spec}/prefill": prefill[PROMPT - 1 :], f"{spec}/decode": decode[EVERY - 1 :: EVERY]}
    return record, tensors, routers


# Cases.


def golden(name: str, case: Case):
    family = FAMILIES[case.config["model_type"]]
    state = random_state(family, case, case.seed)
    prompt = torch.randint(4, case.config["vocab_size"], (PROMPT,), generator=torch.Generator().manual_seed(case.seed)).tolist()
    prompt[0] = case.config.get("bos_token_id", prompt[0])
    model = family.build(case.config, state)
    greedy, margin = continue_greedily(family, model, prompt)
    assert margin > MARGIN and len(set(greedy)) >= 6, f"{name}: margin {margin}, {set(greedy)}; take another seed"
    tokens = prompt + greedy
    logits, hidden = run(family, model, tokens)
    probabilities = logits.softmax(-1)
    entropy = -(probabilities * probabilities.log()).sum(-1).mean() / math.log(logits.shape[1])
    assert entropy < 0.9, f"{name}: nearly uniform, {entropy}"
    cached = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones((1, PROMPT), dtype=torch.long), max_new_tokens=GREEDY, do_sample=False,
        eos_token_id=None, pad_token_id=1, use_cache=True,
    )[0].tolist()
    assert cached == tokens, f"{name}: the reference's generate disagrees"
    for change in case.without:
        state_without = change(state) if callable(change) else state
        other = family.build(case.config | (change if isinstance(change, dict) else {}), state_without)
        by = difference(run(family, other, tokens)[0], logits)
        assert by > 1e-2, f"{name}: {change} changes logits by {by} only"
    if family.is_gemma:
        by = difference(run(family, family.build(case.config, state, rounded=False), tokens)[0], logits)
        assert by > 5e-4, f"{name}: rounding sqrt(D) changes logits by {by} only"
    for change in case.spellings:
        assert torch.equal(run(family, family.build(case.config | change, state), tokens)[0], logits), f"{name}: {change}"

    tensors = {"logits": logits} | {f"hidden.{layer}": x[EVERY - 1 :: EVERY] for layer, x in hidden.items()}
    record = {"prompt": prompt, "greedy": greedy}
    if case.padded:
        record["padded"], tensors["padded"] = padded_batch(model, tokens, name)
    routers = {}
    for spec in case.variants:
        part, more, drawn = variant_golden(family, case, state, model, prompt, spec, logits)
        record.setdefault("variants", {})[spec] = part
        tensors |= more
        for layer, parts in (drawn or {}).items():
            routers |= {f"{family.prefix}{layer}.self_attn.router.{key}": values for key, values in parts.items()}

    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(case.config, indent=2) + "\n")
    (folder / "golden.json").write_text(json.dumps(record) + "\n")
    case.write(folder, state, case.dtype)
    save_file({key: values.contiguous() for key, values in tensors.items()}, folder / "golden.safetensors")
    if routers:
        save_file(routers, folder / "routers.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: margin {margin:.3f}, entropy {entropy:.2f}, logits to {logits.abs().max():.1f}, {size / 1000:.0f} kB")


@torch.no_grad()
def padded_batch(model, tokens: list, name: str):
    """The last logits of a short text that shares a batch with a longer one, padded on the left."""
    short = tokens[5:24]
    padding = len(tokens) - len(short)
    ids = torch.tensor([tokens, [1] * padding + short])
    mask = torch.tensor([[1] * len(tokens), [0] * padding + [1] * len(short)])
    logits = model(ids, attention_mask=mask).logits[1, padding:]
    assert difference(logits, model(torch.tensor([short])).logits[0]) < 1e-5
    assert difference(model(ids).logits[1, padding:], logits) > 1e-2, f"{name}: padding does not matter"
    return short, logits


def opt(**changes) -> dict:
    return {
        "_name_or_path": "facebook/opt-125m", "_remove_final_layer_norm": False, "activation_dropout": 0.0,
        "activation_function": "relu", "architectures": ["OPTForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 2,
        "do_layer_norm_before": True, "dropout": 0.1, "eos_token_id": 2, "ffn_dim": 48, "hidden_size": 32, "init_std": 0.02,
        "layerdrop": 0.0, "max_position_embeddings": 72, "model_type": "opt", "num_attention_heads": 4,
        "num_hidden_layers": 2, "pad_token_id": 1, "prefix": "</s>", "torch_dtype": "float16",
        "transformers_version": "4.21.0.dev0", "use_cache": True, "vocab_size": 64, "word_embed_proj_dim": 32,
    } | changes


def llama(**changes) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1,
        "eos_token_id": 2, "head_dim": 8, "hidden_act": "silu", "hidden_size": 32, "initializer_range": 0.02,
        "intermediate_size": 48, "max_position_embeddings": 128, "mlp_bias": False, "model_type": "llama",
        "num_attention_heads": 8, "num_hidden_layers": 2, "num_key_value_heads": 4, "pretraining_tp": 1,
        "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0, "tie_word_embeddings": False,
        "torch_dtype": "float16", "transformers_version": "4.45.0.dev0", "use_cache": True, "vocab_size": 64,
    } | changes


def qwen3(**changes) -> dict:
    return {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
        "head_dim": 8, "hidden_act": "silu", "hidden_size": 32, "initializer_range": 0.02, "intermediate_size": 40,
        "max_position_embeddings": 128, "max_window_layers": 2, "model_type": "qwen3", "num_attention_heads": 8, "num_hidden_layers": 2,
        "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": True,
        "use_sliding_window": False, "vocab_size": 64,
    } | changes


def without_keys(config: dict, *keys: str) -> dict:
    return {key: value for key, value in config.items() if key not in keys}


def rolled_positions(state: dict) -> dict:
    """OPT without its offset of 2."""
    name = "model.decoder.embed_positions.weight"
    return state | {name: state[name].roll(2, 0)}


def without_biases(state: dict) -> dict:
    return {name: values * (not name.endswith("bias")) for name, values in state.items()}


def without_gains(*norms: str):
    """Norms whose gains are all the same, as if they had none."""
    return lambda state: {name: values * 0 + values.mean() if any(f".{norm}." in name for norm in norms) else values for name, values in state.items()}


SCALING = {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 64}

CASES = {
    "opt": Case(
        opt(), torch.float16, write_single, [rolled_positions, {"activation_function": "gelu"}], seed=17, embedding=0.4, padded=True,
        variants=["mixsga:3:1:6", "gqa:2", "cla:2"],
    ),
    "opt-post-norm": Case(
        opt(_name_or_path="opt-350m", do_layer_norm_before=False, word_embed_proj_dim=16), torch.float16, write_pickle,
        [{"do_layer_norm_before": True}, rolled_positions], seed=25, embedding=0.6,
    ),
    "llama": Case(
        # As TinyLlama: half as many keys, and no head_dim.
        without_keys(llama(hidden_size=64, num_hidden_layers=2, intermediate_size=40), "head_dim", "mlp_bias"),
        torch.float16, write_shards, [{"rope_theta": 100.0}], seed=5, variants=["mixsga:3:1:6", "gqa:2", "cla:2"],
    ),
    "llama-3": Case(
        llama(
            head_dim=16, num_attention_heads=4, num_key_value_heads=2, rope_theta=500.0, tie_word_embeddings=True,
            torch_dtype="bfloat16", rope_scaling=SCALING | {"rope_type": "llama3"}, eos_token_id=[61, 62, 63],
        ),
        torch.bfloat16, write_single, [{"rope_scaling": None}, {"rope_scaling": SCALING | {"rope_type": "llama3", "factor": 2.0}}],
        seed=9, spellings=[{"rope_scaling": SCALING | {"type": "llama3"}}],
    ),
    "llama-3-heads": Case(
        # As SmolLM2-135M: 3 KV heads.
        without_keys(
            llama(
                hidden_size=36, num_attention_heads=9, num_key_value_heads=3, intermediate_size=44, tie_word_embeddings=True,
                rope_theta=100000, bos_token_id=0, eos_token_id=0, torch_dtype="float32", is_llama_config=True,
                rope_interleaved=False,
            ),
            "head_dim",
        ),
        torch.float32, write_single, [{"rope_theta": 100.0}], seed=11, variants=["mixsga:1:1@1,3"],
    ),
    "llama-biases": Case(
        # What the config allows beside the published models: biases, and positions scaled linearly.
        llama(
            hidden_size=16, num_attention_heads=2, num_key_value_heads=1, intermediate_size=24, attention_bias=True, mlp_bias=True,
            rope_scaling={"type": "linear", "factor": 4.0},
        ),
        torch.float16, write_single, [{"rope_scaling": None}, without_biases], seed=26,
    ),
    "gemma2": Case(
        {
            "architectures": ["Gemma2ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
            "attn_logit_softcapping": 5.0, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": 1,
            "final_logit_softcapping": 3.0, "head_dim": 8, "hidden_act": "gelu_pytorch_tanh",
            "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 40, "initializer_range": 0.02, "intermediate_size": 40,
            "max_position_embeddings": 128, "model_type": "gemma2", "num_attention_heads": 8, "num_hidden_layers": 3,
            "num_key_value_heads": 4, "pad_token_id": 0, "query_pre_attn_scalar": 3, "rms_norm_eps": 1e-06,
            "rope_theta": 10000.0, "sliding_window": 11, "torch_dtype": "bfloat16", "transformers_version": "4.42.4",
            "use_cache": True, "vocab_size": 64,
        },
        torch.bfloat16, write_single,
        [
            {"attn_logit_softcapping": None}, {"final_logit_softcapping": None}, {"sliding_window": 4096},
            {"query_pre_attn_scalar": 8}, {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
        ],
        seed=23, gain=2.0, embedding=0.2, variants=["mixsga:3:1:6", "gqa:2", "cla:3"],
    ),
    "gemma3": Case(
        # As gemma-3-1b-it, with the scaling of the larger ones.
        {
            "architectures": ["Gemma3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "attn_logit_softcapping": None,
            "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 63], "final_logit_softcapping": None, "head_dim": 8,
            "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 40, "initializer_range": 0.02, "intermediate_size": 32,
            "max_position_embeddings": 128, "model_type": "gemma3_text", "num_attention_heads": 8, "num_hidden_layers": 3,
            "num_key_value_heads": 4, "pad_token_id": 0, "query_pre_attn_scalar": 3, "rms_norm_eps": 1e-06,
            "rope_local_base_freq": 100, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "rope_theta": 1000000,
            "sliding_window": 11, "sliding_window_pattern": 3, "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
            "use_cache": True, "vocab_size": 64,
        },
        torch.bfloat16, write_single,
        [
            {"rope_local_base_freq": 1000000}, {"rope_theta": 100.0}, {"rope_scaling": None}, {"sliding_window": 4096},
            {"query_pre_attn_scalar": 8}, {"sliding_window_pattern": 2}, without_gains("q_norm"), without_gains("k_norm"),
        ],
        seed=42, gain=1.4, embedding=0.2, variants=["mixsga:3:1:6", "gqa:2", "cla:3"],
    ),
    "qwen3": Case(
        qwen3(), torch.bfloat16, write_single, [{"rope_theta": 100.0}, without_gains("q_norm"), without_gains("k_norm")],
        seed=31, embedding=0.4, variants=["mixsga:3:1:6", "gqa:2", "cla:2"],
    ),
    "qwen3-window": Case(
        # What the config allows beside the published models: a window from some layer on, biases, and a head of its own.
        qwen3(
            hidden_size=24, intermediate_size=24, num_attention_heads=4, num_key_value_heads=2, use_sliding_window=True, sliding_window=9,
            max_window_layers=1, attention_bias=True, tie_word_embeddings=False,
        ),
        torch.float16, write_single, [{"sliding_window": 4096}, {"max_window_layers": 0}, without_biases], seed=30,
    ),
    "olmo2": Case(
        {
            "architectures": ["Olmo2ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "eos_token_id": 1, "hidden_act": "silu",
            "hidden_size": 32, "initializer_range": 0.02, "intermediate_size": 48, "max_position_embeddings": 128, "model_type": "olmo2",
            "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 4, "pad_token_id": 0, "rms_norm_eps": 1e-06,
            "rope_scaling": None, "rope_theta": 500000, "tie_word_embeddings": False, "torch_dtype": "float32",
            "transformers_version": "4.47.0", "use_cache": False, "vocab_size": 64,
        },
        torch.float16, write_single, [{"rope_theta": 100.0}, without_gains("q_norm"), without_gains("k_norm")],
        seed=30, variants=["mixsga:3:1:6", "gqa:2", "cla:2"],
    ),
}

if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        golden(name, CASES[name])
