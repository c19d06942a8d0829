#!/usr/bin/env python3
"""Makes digits.pth and digits.schema.json, which deploy/quickstart.sh uses.

Run with Debian 12's python3-torch (1.13). A convolution, a BatchNorm (parameters, buffers and a
0-dim counter) and two linear layers that share their bias, so that there is a tie to keep.
"""
import json
import os

import torch
from torch import nn


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(64, 10)
        self.aux = nn.Linear(64, 10)
        self.aux.bias = self.fc.bias


def schema_of(module):
    parameters = {id(p) for p in module.parameters()}
    state = module.state_dict(keep_vars=True)
    return {
        "ballast_schema": 1,
        "entries": [
            {"key": k, "dtype": str(t.dtype)[6:], "shape": list(t.shape),
             "kind": "parameter" if id(t) in parameters else "buffer"}
            for k, t in state.items()
        ],
    }


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    torch.manual_seed(7)
    module = Digits()
    torch.save(module.state_dict(), os.path.join(folder, "digits.pth"))
    with open(os.path.join(folder, "digits.schema.json"), "w") as f:
        json.dump(schema_of(module), f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
