#!/usr/bin/env python3
"""Makes legacy_state_dict.pth, which the tests of storage/formats write anew byte for byte.

Run with Debian 12's python3-torch (1.13): the stream of torch before 1.6. torch gives storages
their addresses as keys; here they are numbered in the order of first use, so that the file is the
same every time. Every dtype that has a storage class, a 0-dim and an empty tensor, a tie, and
`_metadata`.
"""
import collections
import os

import torch

DTYPES = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
          torch.float32, torch.float64, torch.complex64, torch.complex128, torch.bool,
          torch.bfloat16]


class Numbered(str):
    """Stands in for str() in torch.serialization."""
    numbers = {}

    def __new__(cls, address):
        return "%02d" % cls.numbers.setdefault(address, len(cls.numbers))


def main():
    state = collections.OrderedDict()
    for i, dtype in enumerate(DTYPES):
        state["layer.%s" % str(dtype)[6:]] = torch.arange(6).add(i).remainder(5).to(dtype).view(2, 3)
    state["tied.again"] = state["layer.float32"][:]
    state["empty"] = torch.zeros(0, 4)
    state["num_batches_tracked"] = torch.tensor(70000)
    state["deep"] = torch.arange(24, dtype=torch.float32).view(1, 2, 3, 4)
    state._metadata = collections.OrderedDict([("", {"version": 1}), ("layer", {"version": 2})])
    folder = os.path.dirname(os.path.abspath(__file__))
    torch.serialization.str = Numbered
    with open(os.path.join(folder, "legacy_state_dict.pth"), "wb") as f:
        torch.save(state, f, _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
