"""PyTorch itself: `torch.save` and `torch.load` of files on the local disk, each save fsynced.

No network, no versions; a zip's CRC-32 is its only checksum. The interpreter and the import are
started before the measured time (torch_worker.py).
"""
import os
import sys

import pairs
import processes

PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's torch
WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_worker.py")


class PyTorch:
    def __init__(self, bench):
        python = PYTHON if os.path.exists(PYTHON) else sys.executable
        self.helper = processes.Helper([python, WORKER])
        bench.callback(self.helper.close)

    def take(self, path):
        """The tensors of a safetensors file into memory, for `save`."""
        self.helper.ask("take", path)

    def save(self, target):
        """A Sample; the file is removed."""
        return self._sample("save", target)

    def convert(self, source, target):
        """Load and save, as it has to be done to change a file."""
        return self._sample("convert", source, target)

    def _sample(self, *words):
        numbers = self.helper.ask(*words)
        size = os.path.getsize(words[-1])
        os.remove(words[-1])
        return pairs.Sample(numbers["seconds"], numbers["cpu_s"], 0, size)
