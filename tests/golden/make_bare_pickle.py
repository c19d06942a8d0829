#!/usr/bin/env python3
"""Makes bare_pickle.pkl, which the tests of storage/formats read.

Run with Debian 12's python3-torch (1.13) and Python 3.11: a state dict pickled by the pickle
module itself, so that every storage is a small file of its own inside. A view, a tie, a scalar, an
empty tensor and a number. Storages are numbered instead of named by their addresses, so that the
file is the same every time.
"""
import collections
import os
import pickle

import torch


class Numbered(str):
    """Stands in for str() in torch.serialization."""
    numbers = {}

    def __new__(cls, address):
        return "%02d" % cls.numbers.setdefault(address, len(cls.numbers))


def main():
    wide = torch.arange(12, dtype=torch.float32)
    state = collections.OrderedDict()
    state["view"] = wide[2:6]
    state["transposed"] = wide.view(3, 4).t()
    state["half"] = torch.tensor([1.5], dtype=torch.bfloat16)
    state["tied"] = torch.tensor([1, 2], dtype=torch.int64)
    state["again"] = state["tied"].view(2)
    state["scalar"] = torch.tensor(True)
    state["empty"] = torch.zeros(0, 3)
    state["epoch"] = 3
    folder = os.path.dirname(os.path.abspath(__file__))
    torch.serialization.str = Numbered
    with open(os.path.join(folder, "bare_pickle.pkl"), "wb") as f:
        pickle.dump(state, f, 4)


if __name__ == "__main__":
    main()
