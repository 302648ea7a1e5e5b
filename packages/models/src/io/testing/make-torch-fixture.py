"""Makes, with PyTorch:

- state-dict.bin: a state dict of three float types, a scalar, an empty tensor and a tied one;
- views.bin: parameters and views of one storage (fused rows and columns, a transposed matrix), float64, buffers of integers;
- views-legacy.bin: the same as PyTorch wrote before 1.6.

Run: python make-torch-fixture.py [state-dict] [views]
"""

import sys

import torch


def state_dict():
    module = torch.nn.Module()
    module.embed = torch.nn.Embedding(4, 3)
    module.head = torch.nn.Linear(3, 4, bias=False)
    module.head.weight = module.embed.weight
    module.short = torch.nn.Parameter(torch.tensor([[0.5, -2.0], [65504.0, 6e-8]], dtype=torch.float16))
    module.brain = torch.nn.Parameter(torch.tensor([1.0, -3.0, 1e38], dtype=torch.bfloat16))
    module.scalar = torch.nn.Parameter(torch.tensor(7.0))
    module.empty = torch.nn.Parameter(torch.empty(0, 3))
    module.embed.weight.data = torch.arange(12, dtype=torch.float32).reshape(4, 3) / 8
    module.head.weight = module.embed.weight
    torch.save(module.state_dict(), "state-dict.bin")


def views():
    rows = torch.arange(20, dtype=torch.float32).reshape(5, 4)
    columns = torch.arange(24, dtype=torch.float16).reshape(4, 6)
    cube = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4) / 3
    tensors = {
        "parameter": torch.nn.Parameter(torch.tensor([1.5, -2.5])),
        "q": rows[:2],
        "k": rows[2:3],
        "v": torch.nn.Parameter(rows[3:]),
        "left": columns[:, :2],
        "right": columns[:, 2:],
        "transposed": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3).t(),
        "cube": cube.permute(2, 0, 1),
        "positions": torch.arange(3),
        "mask": torch.tensor([True, False]),
    }
    torch.save(tensors, "views.bin")
    torch.save(tensors, "views-legacy.bin", _use_new_zipfile_serialization=False)


asked = sys.argv[1:] or ["state-dict", "views"]
if "state-dict" in asked:
    state_dict()
if "views" in asked:
    views()
