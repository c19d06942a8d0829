"""State dicts written by real PyTorch come back bit for bit."""
import argparse
import collections
import pickle
import zipfile

import harness

try:
    import numpy
    import torch
except ImportError:
    harness.skip_all("no python3-torch or python3-numpy")

DTYPES = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
          torch.float32, torch.float64, torch.complex64, torch.complex128, torch.bool,
          torch.bfloat16]
NOT_IN_SAFETENSORS = {torch.complex128}
ROUNDS = 40 if harness.LONG else 6


# row F26
def random_bytes_tensor(random, dtype, shape):
    """Any bit pattern, NaNs with payloads too."""
    count = 1
    for dim in shape:
        count *= dim
    if dtype == torch.bool:
        return torch.tensor([random.random() < 0.5 for _ in range(count)], dtype=dtype).reshape(shape)
    width = torch.empty(0, dtype=dtype).element_size()
    raw = bytearray(random.randbytes(count * width))
    if not raw:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(raw, dtype=dtype).reshape(shape).clone()


def random_state_dict(random, dtypes=DTYPES):
    state = collections.OrderedDict()
    for number, dtype in enumerate(dtypes):
        name = str(dtype)[6:]
        state[f"block{number}.{name}"] = random_bytes_tensor(random, dtype, (3, random.randint(1, 9)))
        state[f"scalar.{name}"] = random_bytes_tensor(random, dtype, ())
        state[f"empty.{name}"] = random_bytes_tensor(random, dtype, (2, 0, 3))
        base = random_bytes_tensor(random, dtype, (7, 5))
        state[f"transposed.{name}"] = base.t()
        state[f"sliced.{name}"] = base[1:6:2, 1:4]
    state["schlüssel.重み.🔥"] = random_bytes_tensor(random, torch.float32, (4,))
    state[""] = random_bytes_tensor(random, torch.float32, (1,))
    state["a/../b c"] = random_bytes_tensor(random, torch.float32, (1,))
    state["large"] = random_bytes_tensor(random, torch.float32, (600_001,))
    tied = random_bytes_tensor(random, torch.float32, (10, 4))
    state["encoder.weight"] = tied
    state["decoder.weight"] = tied
    return state


def bits(tensor):
    data = tensor.contiguous()
    if data.dtype == torch.bfloat16:
        data = data.view(torch.int16)
    return data.numpy().tobytes()


class TorchTest(harness.TestCase):
    def save(self, state, name="in.pth"):
        path = self.path(name)
        torch.save(state, path)
        return path

    def load(self, path):
        return torch.load(path, weights_only=True)

    def assert_same(self, got, want, ordered=True):
        keys = list if ordered else sorted
        self.assertEqual(keys(got.keys()), keys(want.keys()))
        for key, tensor in want.items():
            self.assertEqual(got[key].dtype, tensor.dtype, key)
            self.assertEqual(got[key].shape, tensor.shape, key)
            self.assertEqual(bits(got[key]), bits(tensor), key)

    def test_every_dtype_and_layout_comes_back_bit_for_bit(self):
        for seed in range(ROUNDS):
            with self.subTest(seed=seed):
                state = random_state_dict(harness.rng(f"torch{seed}"))
                self.push(self.save(state), "torch/all")
                self.assert_same(self.load(self.pull("torch/all", "out.pth", "--force")), state)

    def test_ties_are_still_tied_and_nothing_else_is(self):
        state = random_state_dict(harness.rng("ties"))
        self.push(self.save(state), "torch/ties")
        back = self.load(self.pull("torch/ties", "out.pth"))
        self.assertEqual(back["encoder.weight"].data_ptr(), back["decoder.weight"].data_ptr())
        pointers = [t.storage().data_ptr() for t in back.values() if t.numel()]
        self.assertEqual(len(pointers) - len(set(pointers)), 1)

    def test_ties_survive_safetensors(self):
        state = random_state_dict(harness.rng("ties"), dtypes=[torch.float32])
        self.push(self.save(state), "torch/ties-st")
        middle = self.pull("torch/ties-st", "m.safetensors", "--format", "safetensors")
        self.push(middle, "torch/ties-st")
        back = self.load(self.pull("torch/ties-st", "out.pth", "--format", "pytorch"))
        self.assertEqual(back["encoder.weight"].data_ptr(), back["decoder.weight"].data_ptr())
        self.assert_same(back, state, ordered=False)

    def test_dat_and_back_is_equal(self):
        state = random_state_dict(harness.rng("dat"))
        first = self.push(self.save(state), "torch/dat")
        dat = self.pull("torch/dat", "m.dat", "--format", "torchsharp")
        second = self.push(dat, "torch/dat")
        self.assertEqual(second["digest"], first["digest"])
        self.assertEqual(second["bytes_new"], 0)
        self.assert_same(self.load(self.pull("torch/dat", "out.pth", "--format", "pytorch")), state,
                         ordered=False)

    def test_the_digest_is_that_of_the_values(self):
        usable = [d for d in DTYPES if d not in NOT_IN_SAFETENSORS]
        state = random_state_dict(harness.rng("digest"), dtypes=usable)
        first = self.push(self.save(state), "torch/digest")["digest"]
        safetensors = self.pull("torch/digest", "m.safetensors", "--format", "safetensors")
        self.assertEqual(self.push(safetensors, "torch/digest")["digest"], first)
        reordered = collections.OrderedDict(sorted(state.items(), reverse=True))
        self.assertEqual(self.push(self.save(reordered), "torch/digest")["digest"], first)
        contiguous = {k: t.contiguous().clone() for k, t in state.items()}
        self.assertEqual(self.push(self.save(contiguous), "torch/digest")["digest"], first)

    def test_metadata_is_kept(self):
        module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        state = module.state_dict()
        self.push(self.save(state), "torch/metadata")
        back = self.load(self.pull("torch/metadata", "out.pth"))
        self.assertEqual(getattr(back, "_metadata", None), state._metadata)

    def test_metadata_of_a_selected_subtree_loses_its_path(self):
        module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        state = module.state_dict()
        saved = self.save({"state_dict": state, "epoch": 3})
        self.push(saved, "torch/selected", "--select", "state_dict")
        back = self.load(self.pull("torch/selected", "selected.pth"))
        self.assertEqual(getattr(back, "_metadata", None), state._metadata)
        self.push(saved, "torch/whole")
        back = self.load(self.pull("torch/whole", "whole.pth", "--select", "state_dict"))
        self.assertEqual(getattr(back, "_metadata", None), state._metadata)

    def test_a_module_loads_what_is_pulled_strictly(self):
        torch.manual_seed(1)
        def make():
            return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4),
                                       torch.nn.ReLU(), torch.nn.LSTM(4, 3))
        module = make()
        self.push(self.save(module.state_dict()), "torch/module")
        for name in ("pytorch", "torchsharp", "safetensors"):
            pulled = self.pull("torch/module", "m." + name, "--format", name)
            as_pth = self.path(name + ".pth")
            self.ok("convert", pulled, as_pth, "--to", "pytorch", "--local")
            fresh = make()
            fresh.load_state_dict(self.load(as_pth), strict=True)
            self.assert_same(fresh.state_dict(), module.state_dict())

    def test_parameters_and_buffers_are_told_apart(self):
        module = torch.nn.BatchNorm1d(3)
        state = module.state_dict(keep_vars=True)
        self.push(self.save(state), "torch/kinds")
        for subject in (self.path("in.pth"), "torch/kinds"):
            kinds = {e["key"]: e["kind"] for e in self.json("inspect", subject)["entries"]}
            self.assertEqual(kinds["weight"], "parameter")
            self.assertNotEqual(kinds["running_mean"], "parameter")

    def test_a_checkpoint_keeps_its_optimizer_apart(self):
        module = torch.nn.Linear(3, 2)
        optimizer = torch.optim.Adam(module.parameters())
        module(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        checkpoint = {"epoch": 3, "model": module.state_dict(), "optimizer": optimizer.state_dict()}
        pushed = self.push(self.save(checkpoint), "torch/checkpoint")
        self.assertTrue(any("--select model" in w for w in pushed["warnings"]), pushed["warnings"])
        weights = self.load(self.pull("torch/checkpoint", "w.pth"))
        self.assertFalse([k for k in weights if "exp_avg" in k])
        everything = self.load(self.pull("torch/checkpoint", "all.pth", "--with-optimizer"))
        self.assertTrue([k for k in everything if "exp_avg" in k])
        selected = self.load(self.pull("torch/checkpoint", "s.pth", "--select", "model"))
        self.assert_same(selected, module.state_dict(), ordered=False)

    def test_what_is_no_tensor_is_said_and_kept_beside_the_version(self):
        checkpoint = {"w": torch.ones(2), "epoch": 3, "betas": (0.9, 0.999), "best": float("inf"),
                      "args": argparse.Namespace(lr=0.1, name="größe"), "rng": b"\0\1",
                      "seed": 2 ** 70, "dtype": torch.float16, "size": torch.Size([2, 3]),
                      "tags": {"a"}, "score": numpy.float64(0.5), "table": numpy.zeros((3, 4)),
                      "device": torch.device("cuda", 1)}
        path = self.save(checkpoint)
        values = {"epoch": 3, "betas": [0.9, 0.999], "args": {"lr": 0.1, "name": "größe"},
                  "seed": str(2 ** 70), "dtype": "torch.float16", "size": [2, 3], "tags": ["a"],
                  "score": 0.5, "device": "cuda:1"}
        texts = {"best": "inf", "rng": "b'\\x00\\x01'", "table": "array of float64 [3, 4]"}
        for raw in ((), ("--raw",)):
            pushed = self.push(path, "torch/leaves", *raw)
            said = [w for w in pushed["warnings"] if "not tensors" in w]
            self.assertEqual(len(said), 2, pushed["warnings"])
            self.assertTrue(said[0].startswith("9 values that are not tensors are kept as JSON"), said)
            self.assertIn("epoch (int)", said[0])
            self.assertTrue(said[1].startswith("3 values that are not tensors are left out"), said)
            self.assertIn("best (float)", said[1])
            for document in (self.json("inspect", path), self.json("inspect", "torch/leaves"),
                             self.json("show", "torch/leaves")):
                leaves = {leaf["path"]: leaf for leaf in document["leaves"]}
                self.assertEqual({k: v["value"] for k, v in leaves.items() if "value" in v}, values)
                self.assertEqual({k: v["text"] for k, v in leaves.items() if "text" in v}, texts)
            for command in ("inspect", "show"):
                text = self.ok(command, "torch/leaves").decode()
                self.assertIn("  epoch: int 3\n", text)
                self.assertIn("  best: float inf\n", text)

    def test_a_plain_safetensors_file_loses_nothing(self):
        path = self.path("in.pth")
        torch.save({"w": torch.ones(2)}, path)
        self.push(path, "torch/safetensors")
        out = self.pull("torch/safetensors", "plain.safetensors", "--format", "safetensors")
        self.assertEqual(self.push(out, "torch/safetensors")["warnings"], [])
        self.assertEqual(self.push(out, "torch/safetensors", "--raw")["warnings"], [])

    def test_state_dicts_that_python_pickled_are_read(self):
        state = random_state_dict(harness.rng("pickled"))
        path = self.path("state.pkl")
        for protocol in (3, 4, 5):
            with open(path, "wb") as f:
                pickle.dump(state, f, protocol)
            self.push(path, "torch/pickled")
            self.assert_same(self.load(self.pull("torch/pickled", "out.pth", "--force",
                                                 "--format", "pytorch")), state)
        with open(path, "wb") as f:
            pickle.dump(state, f, 2)
        self.fails(harness.FAILURE, "push", path, "torch/pickled",
                   says=("bytes are pickled as text", "torch.save"))

    def test_tensors_that_are_not_dense_are_refused_with_advice(self):
        dense = torch.eye(3)
        for tensor, advice in [
                (torch.quantize_per_tensor(dense, 0.5, 3, torch.qint8), "t.dequantize()"),
                (torch.quantize_per_channel(dense, torch.ones(3), torch.zeros(3), 0, torch.quint8),
                 "t.int_repr()"),
                (dense.to_sparse(), "sparse: torch.sparse_coo), want a plain dense tensor; "
                 "save t.to_dense()"),
                (dense.to_sparse_csr(), "t.to_dense()"), (dense.to("meta"), "without data")]:
            path = self.save({"some.key": tensor})
            for command in (["push", path, "torch/refused"], ["inspect", path]):
                self.fails(harness.FAILURE, *command, says=('"some.key"', advice))

    def test_the_stream_from_before_1_6_comes_and_goes(self):
        state = random_state_dict(harness.rng("legacy"))
        path = self.path("legacy.pth")
        torch.save(state, path, _use_new_zipfile_serialization=False)
        self.push(path, "torch/legacy")
        for reference, *options in [("torch/legacy",), ("torch/legacy", "--format", "pytorch"),
                                    ("torch/legacy", "--plain-dict")]:
            out = self.pull(reference, "out.pth", "--force", *options)
            with open(out, "rb") as f:
                self.assertEqual(f.read(2), b"PK" if "pytorch" in options else b"\x80\x02")
            back = self.load(out)
            self.assertIs(type(back), dict if "--plain-dict" in options else collections.OrderedDict)
            self.assert_same(back, state)
            self.assertEqual(back["encoder.weight"].data_ptr(), back["decoder.weight"].data_ptr())

    def test_legacy_keeps_metadata(self):
        state = torch.nn.BatchNorm1d(4).state_dict()
        self.push(self.save(state), "torch/legacy-metadata")
        back = self.load(self.pull("torch/legacy-metadata", "l.pth", "--format", "pytorch-legacy"))
        self.assertEqual(back._metadata, state._metadata)

    def test_plain_dicts_are_pickled_as_torch_does(self):
        for count in (1, 2, 1000, 1001):
            state = {f"key {i}": torch.tensor([i], dtype=torch.int16) for i in range(count)}
            path, out = self.save(state), self.path("out.pth")
            self.ok("convert", path, out, "--to", "pytorch", "--plain-dict", "--local", "--force")
            pickles = []
            for file, name in ((path, "in"), (out, "archive")):
                with zipfile.ZipFile(file) as archive:
                    pickles.append(archive.read(name + "/data.pkl"))
            self.assertEqual(pickles[0], pickles[1], count)

    def test_a_plain_dict_warns_of_metadata_only_where_there_is_some(self):
        module = torch.nn.Linear(2, 2)
        for state, warned in ((module.state_dict(), True), (dict(module.state_dict()), False)):
            path = self.save(state)
            self.push(path, "torch/plain")
            pulled = self.json("pull", "torch/plain", "--plain-dict", "-o", self.path("p"), "--force")
            converted = self.json("convert", path, self.path("c"), "--to", "pytorch", "--force",
                                  "--plain-dict")
            for done in (pulled, converted):
                self.assertEqual(any("_metadata" in w for w in done["warnings"]), warned, done)
            self.assertIs(type(self.load(self.path("p"))), dict)


if __name__ == "__main__":
    harness.main()
