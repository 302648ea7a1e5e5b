"""Writes config.json files as transformers saves them, into packages/models/src/fixtures/configs.

Run once with transformers 4 and once with transformers 5 (any of each); torch is not needed:
    python tools/make_config_fixtures.py
"""

import pathlib

import transformers
from transformers import Gemma2Config, Gemma3TextConfig, LlamaConfig, Olmo2Config, OPTConfig, Qwen3Config

folder = pathlib.Path(__file__).parent.parent / "packages/models/src/fixtures/configs"
version = transformers.__version__.split(".")[0]

small = dict(vocab_size=64, hidden_size=24, num_hidden_layers=3, num_attention_heads=6, max_position_embeddings=96)
gated = dict(num_key_value_heads=3, intermediate_size=36, head_dim=12)
llama3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
rope = {"rope_parameters": {"rope_theta": 500000.0, **llama3}} if version == "5" else {"rope_theta": 500000.0, "rope_scaling": llama3}

linear = dict(rope_type="linear", factor=8.0)
rotations = (
    {"rope_parameters": {"full_attention": {"rope_theta": 100000.0, **linear}, "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0}}}
    if version == "5"
    else {"rope_theta": 100000.0, "rope_scaling": linear, "rope_local_base_freq": 1000.0}
)

configs = {
    "opt": OPTConfig(**small, ffn_dim=40, word_embed_proj_dim=24, dtype="float16", architectures=["OPTForCausalLM"]),
    "llama-3": LlamaConfig(**small, **gated, **rope, tie_word_embeddings=True, dtype="bfloat16", architectures=["LlamaForCausalLM"]),
    "gemma2": Gemma2Config(**small, **gated, query_pre_attn_scalar=7, sliding_window=5, dtype="bfloat16", architectures=["Gemma2ForCausalLM"]),
    "gemma3": Gemma3TextConfig(**small, **gated, **rotations, query_pre_attn_scalar=7, sliding_window=5, dtype="bfloat16", architectures=["Gemma3ForCausalLM"]),
    "qwen3": Qwen3Config(**small, **gated, dtype="bfloat16", architectures=["Qwen3ForCausalLM"]),
    "olmo2": Olmo2Config(**small, num_key_value_heads=3, intermediate_size=36, dtype="float32", architectures=["Olmo2ForCausalLM"]),
}
folder.mkdir(parents=True, exist_ok=True)
for name, config in configs.items():
    # As save_pretrained does, and with every default.
    config.to_json_file(folder / f"{name}-transformers-{version}.json", use_diff=True)
    config.to_json_file(folder / f"{name}-all-transformers-{version}.json", use_diff=False)
