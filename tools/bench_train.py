"""Training speed of an OPT-shaped model in PyTorch eager, the peer of `mixsga bench train`.

Runs as a server: the first line written is a JSON object that names torch, its BLAS and its threads; for each line
read, a number of seconds, it trains for at least that long and writes {"steps": n, "seconds": s}. By hand:

    echo 10 | python3 tools/bench_train.py '{"layers": 4, "hiddenSize": 128, "heads": 4, "ffnSize": 512,
        "vocabularySize": 2048, "sequenceLength": 128, "batchSize": 8}'
"""

import json
import os
import re
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before torch loads its BLAS

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, width: int, heads: int, inner: int):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x, mask):  # x [B, T, D]
        batch, length, width = x.shape
        y = self.attention_norm(x)
        q, k, v = (
            projection(y).view(batch, length, self.heads, -1).transpose(1, 2)  # [B, H, T, d]
            for projection in (self.q, self.k, self.v)
        )
        if hasattr(F, "scaled_dot_product_attention"):
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5
            mixed = scores.masked_fill(mask, float("-inf")).softmax(-1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.fc2(F.relu(self.fc1(self.mlp_norm(x))))


class Model(nn.Module):
    def __init__(self, shape: dict):
        super().__init__()
        width, length = shape["hiddenSize"], shape["sequenceLength"]
        self.tokens = nn.Embedding(shape["vocabularySize"], width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, shape["heads"], shape["ffnSize"]) for _ in range(shape["layers"]))
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.dim() >= 2:
                nn.init.normal_(parameter, std=0.02)
        self.register_buffer("mask", torch.ones(length, length, dtype=torch.bool).triu(1))

    def forward(self, inputs, targets):
        x = self.tokens(inputs) + self.positions.weight
        for block in self.blocks:
            x = block(x, self.mask)
        logits = self.norm(x) @ self.tokens.weight.T  # tied head
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def blas() -> str:
    """The BLAS library in use: what is loaded says more than what torch was built against."""
    try:
        with open("/proc/self/maps") as maps:
            loaded = re.findall(r"lib(openblas|mkl_core|mkl_rt|blis|atlas|blas)[^/\s]*\.so", maps.read())
    except OSError:
        loaded = []
    for name in ("openblas", "mkl_rt", "mkl_core", "blis", "atlas", "blas"):
        if name in loaded:
            return {"blas": "reference BLAS", "mkl_rt": "MKL", "mkl_core": "MKL", "openblas": "OpenBLAS"}.get(name, name)
    built = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    return built.group(1) if built else "unknown"


def main() -> None:
    shape = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Model(shape)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=1e-3,
        betas=(0.9, 0.95),
    )
    size = (shape["batchSize"], shape["sequenceLength"])
    inputs, targets = (torch.randint(shape["vocabularySize"], size) for _ in range(2))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = model(inputs, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()

    step()
    print(json.dumps({"torch": torch.__version__, "blas": blas(), "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        start, steps = time.perf_counter(), 0
        while steps == 0 or time.perf_counter() - start < float(line):
            step()
            steps += 1
        print(json.dumps({"steps": steps, "seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    main()
