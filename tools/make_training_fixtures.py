"""Makes what the training tests hold the models of packages/models/src/fixtures/parity against, with PyTorch and transformers.

    pip install torch==2.5.1 transformers==4.57.6 safetensors==0.8.0 numpy==2.4.6
    python3 tools/make_training_fixtures.py [NAME...]

Writes packages/models/src/fixtures/parity/NAME/training.json, of all or those named: a batch of three texts padded on the right, of which the second
has its first half, as it were a prompt, left out of the loss (target -100, like padding); the norm of the gradient of each
parameter; and the losses of a few steps of AdamW on that batch, the first before any step. float32 on one thread, dropout off.
"""

import json
import sys
from pathlib import Path

import torch
from make_parity_fixtures import FAMILIES, OUT
from safetensors.torch import load_file

LENGTHS, SEED, STEPS = (24, 17, 9), 7, 4
OPTIMIZER = {"learningRate": 1e-3, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weightDecay": 0.01}


def state_of(folder: Path) -> dict:
    files = sorted(folder.glob("model*.safetensors"))
    states = [load_file(file) for file in files] or [torch.load(folder / "pytorch_model.bin", weights_only=True)]
    state = {name: values.float() for part in states for name, values in part.items() if "inv_freq" not in name}
    return {name if name.startswith(("model.", "lm_head.")) else f"model.{name}": values for name, values in state.items()}


def batch_of(vocabulary: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randint(3, vocabulary, (len(LENGTHS), max(LENGTHS)), generator=generator)
    targets = torch.roll(inputs, -1, 1)
    targets[:, -1] = 3
    mask = torch.zeros_like(inputs)
    for row, length in enumerate(LENGTHS):
        mask[row, :length] = 1
        targets[row, length:] = -100
    targets[1, : LENGTHS[1] // 2] = -100
    return inputs, targets, mask


def main():
    for folder in [OUT / name for name in sys.argv[1:]] or sorted(OUT.iterdir()):
        config = json.loads((folder / "config.json").read_text())
        model = FAMILIES[config["model_type"]].build(config, state_of(folder))
        inputs, targets, mask = batch_of(config["vocab_size"])
        named = dict(model.named_parameters())
        optimizer = torch.optim.AdamW(
            named.values(), lr=OPTIMIZER["learningRate"], betas=(OPTIMIZER["beta1"], OPTIMIZER["beta2"]),
            eps=OPTIMIZER["epsilon"], weight_decay=OPTIMIZER["weightDecay"],
        )
        losses, norms = [], {}
        for step in range(STEPS):
            logits = model(input_ids=inputs, attention_mask=mask).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
            optimizer.zero_grad()
            loss.backward()
            losses.append(round(loss.item(), 7))
            if step == 0:
                norms = {name: float(f"{p.grad.norm().item():.7g}") for name, p in named.items()}
            optimizer.step()
        assert losses[-1] < losses[0], losses
        fixture = {
            "inputs": inputs.tolist(), "targets": targets.tolist(), "mask": mask.tolist(), "optimizer": OPTIMIZER, "losses": losses,
            "gradientNorms": norms,
        }
        (folder / "training.json").write_text(json.dumps(fixture) + "\n")
        print(folder.name, losses)


if __name__ == "__main__":
    main()
