"""Real PyTorch loads every .pth that is written from every real file, and finds its bytes.

torch.load runs with weights_only=True, and only on what Ballast wrote.
"""
import hashlib
import os

import corpus
import harness

try:
    import torch
except ImportError:
    harness.skip_all("no python3-torch")

WAYS = {"zip": ("pytorch",), "legacy": ("pytorch-legacy",), "plain": ("pytorch", "--plain-dict"),
        "plain legacy": ("pytorch-legacy", "--plain-dict")}
FILES_MIN = 90  # that load


def sha256_of(tensor):
    data = tensor.contiguous()
    if data.dtype == torch.bfloat16:
        data = data.view(torch.int16)
    return hashlib.sha256(data.numpy().tobytes()).hexdigest()


def lines_of(state):
    return {(key, str(tensor.dtype)[6:], tuple(tensor.shape), sha256_of(tensor))
            for key, tensor in state.items()}


class CorpusTorchTest(harness.TestCase):
    WITH_SERVER = False

    def convert(self, path, way):
        out = self.path("out.pth")
        target, *options = WAYS[way]
        self.ok("convert", "--local", path, out, "--to", target, "--force", *options)
        return out

    def check(self, path, manifest):
        want = {(e["key"], e["dtype"], tuple(e["shape"]), e["sha256"]) for e in manifest["entries"]}
        may_be_there = {e["key"] for name in ("tensors_outside_state_dict", "numpy_entries")
                        for e in manifest.get(name, [])}
        for way in WAYS:
            with self.subTest(file=corpus.name_of(path), way=way):
                state = torch.load(self.convert(path, way), weights_only=True)
                self.assertEqual(type(state) is dict, way.startswith("plain"))
                got = lines_of(state)
                self.assertEqual(want - got, set())
                self.assertEqual({line[0] for line in got - want} - may_be_there, set())
                os.remove(self.path("out.pth"))

    def test_torch_loads_what_is_written_from_every_file(self):
        count = 0
        for path, manifest in corpus.loadable():
            self.check(path, manifest)
            count += 1
        self.assertGreaterEqual(count, FILES_MIN)


if __name__ == "__main__":
    corpus.require()
    harness.main()
