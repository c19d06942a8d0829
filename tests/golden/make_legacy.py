#!/usr/bin/env python3
"""Makes legacy.pth, which the tests of storage/formats read.

Run with Debian 12's python3-torch (1.13): the stream of torch before 1.6, which torch.save still
writes when asked. A checkpoint with a state dict (parameters, buffers, a view of a bigger storage,
a transposed tensor, a tie), a whole module and numbers.
"""
import os

import torch
from torch import nn


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    wide = torch.arange(12, dtype=torch.float32)
    shared = torch.tensor([1, 2], dtype=torch.int64)
    module = nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.5, -2.0]]))
        module.bias.copy_(torch.tensor([4.0]))
    checkpoint = {
        "epoch": 3,
        "model": module,
        "weights": {
            "view": wide[2:6],
            "transposed": wide.view(3, 4).t(),
            "shared.a": shared,
            "shared.b": shared,
            "half": torch.tensor([1.5], dtype=torch.bfloat16),
            "scalar": torch.tensor(True),
            "empty": torch.zeros(0, 3),
        },
    }
    torch.save(checkpoint, os.path.join(folder, "legacy.pth"), _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
