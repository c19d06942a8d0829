"""State dicts written by real PyTorch come back bit for bit."""
import collections

import harness

try:
    import torch
except ImportError:
    harness.skip_all("no python3-torch")

DTYPES = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
          torch.float32, torch.float64, torch.complex64, torch.complex128, torch.bool,
          torch.bfloat16]
NOT_IN_SAFETENSORS = {torch.complex128}
ROUNDS = 40 if harness.LONG else 6


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

    def test_a_legacy_file_is_read_or_refused_by_name(self):
        state = random_state_dict(harness.rng("legacy"), dtypes=[torch.float32, torch.int64])
        path = self.path("legacy.pth")
        torch.save(state, path, _use_new_zipfile_serialization=False)
        done = self.cli("push", path, "torch/legacy", "--json")
        if done.returncode == harness.OK:
            self.assert_same(self.load(self.pull("torch/legacy", "out.pth", "--format", "pytorch")),
                             state)
        else:
            self.fails(harness.FAILURE, "push", path, "torch/legacy", says="legacy")


if __name__ == "__main__":
    harness.main()
