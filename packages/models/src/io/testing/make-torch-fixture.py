"""Makes state-dict.bin with PyTorch: a state dict of the three float types, a scalar, an empty tensor and a tied one.

Run: python make-torch-fixture.py
"""

import torch

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
