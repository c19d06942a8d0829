"""Sharded checkpoints, both ways: pushed as one version, pulled as shards, through PyTorch."""
import collections
import json
import os
import shutil
import signal
import struct
import subprocess

import containers
import harness

try:
    import torch
except ImportError:
    harness.skip_all("no python3-torch")

DTYPES = {torch.float32: "float32", torch.float16: "float16", torch.int64: "int64",
          torch.uint8: "uint8"}


def split(state, limit):
    """The shards of huggingface_hub's split_state_dict_into_shards_factory: lists of keys."""
    shards, current, size, first = [], [], 0, {}
    for key, tensor in state.items():
        pointer = tensor.data_ptr()
        if pointer in first:
            first[pointer].append(key)
            continue
        first[pointer] = [key]
        bytes_ = tensor.numel() * tensor.element_size()
        if bytes_ > limit:
            shards.append([key])
            continue
        if size + bytes_ > limit:
            shards.append(current)
            current, size = [], 0
        current.append(key)
        size += bytes_
    if current:
        shards.append(current)
    for keys in first.values():
        for shard in shards:
            if keys[0] in shard:
                shard.extend(keys[1:])
    return shards


def total_size(state):
    unique = {t.data_ptr(): t.numel() * t.element_size() for t in state.values()}
    return sum(unique.values())


def entries(state, keys):
    return [(k, DTYPES[state[k].dtype], tuple(state[k].shape), raw(state[k])) for k in keys]


def raw(tensor):
    return tensor.contiguous().numpy().tobytes()


def read_safetensors(path):
    data = harness.read(path)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    names = {containers.SAFETENSORS_DTYPES[name]: dtype for dtype, name in DTYPES.items()}
    out = {}
    for key, info in header.items():
        if key == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        piece = bytearray(data[8 + length + begin:8 + length + end])
        flat = torch.frombuffer(piece, dtype=names[info["dtype"]]) if piece else \
            torch.empty(0, dtype=names[info["dtype"]])
        out[key] = flat.reshape(info["shape"])
    return out


def example_state():
    generator = torch.Generator().manual_seed(7)

    def noise(*shape):
        return torch.randn(shape, generator=generator)

    state = collections.OrderedDict()
    state["embed.weight"] = noise(3000, 30)  # above the limit of a shard
    for number in range(6):
        state[f"block{number}.weight"] = noise(50, 40)
        state[f"block{number}.bias"] = noise(40).half()
    state["steps"] = torch.tensor(12)
    state["empty"] = torch.empty(0, 4)
    state["head.weight"] = state["embed.weight"]
    state["schlüssel[*]?"] = torch.arange(9, dtype=torch.uint8)
    return state


class ShardsTest(harness.TestCase):
    LIMIT = 20_000

    def save(self, state, folder, form):
        """As save_torch_state_dict would, with one writer per container."""
        os.makedirs(folder)
        shards = split(state, self.LIMIT)
        stem, extension = ("model", ".safetensors") if form == "safetensors" else \
            ("pytorch_model", ".bin")
        weight_map = {}
        for number, keys in enumerate(shards, 1):
            name = f"{stem}-{number:05d}-of-{len(shards):05d}{extension}"
            weight_map.update({key: name for key in keys})
            path = os.path.join(folder, name)
            if form == "safetensors":
                harness.write(path, containers.safetensors(entries(state, keys), {"format": "pt"}))
            else:
                torch.save({key: state[key] for key in keys}, path,
                           _use_new_zipfile_serialization=form == "pytorch")
        index = {"metadata": {"total_size": total_size(state)}, "weight_map": weight_map}
        with open(os.path.join(folder, stem + extension + ".index.json"), "w") as f:
            json.dump(index, f, indent=2, sort_keys=True)
        return folder

    def assert_same(self, got, want):
        self.assertEqual(sorted(got), sorted(want))
        for key, tensor in want.items():
            self.assertEqual(got[key].dtype, tensor.dtype, key)
            self.assertEqual(got[key].shape, tensor.shape, key)
            self.assertEqual(raw(got[key]), raw(tensor), key)

    def load_shards(self, folder, form):
        out = {}
        for name in sorted(os.listdir(folder)):
            if name.endswith(".json"):
                continue
            path = os.path.join(folder, name)
            part = read_safetensors(path) if form == "safetensors" else \
                torch.load(path, weights_only=True)
            self.assertFalse(set(part) & set(out))
            out.update(part)
        return out

    def test_shards_are_pushed_as_one_version_and_pulled_as_one_file(self):
        state = example_state()
        torch.save(state, self.path("whole.pth"))
        whole = self.push(self.path("whole.pth"), "shards/whole")
        for form in ("safetensors", "pytorch", "pytorch-legacy"):
            with self.subTest(form=form):
                folder = self.save(state, self.path(form), form)
                for what in (folder, self.index_of(folder)):
                    pushed = self.push(what, "shards/in")
                    self.assertEqual((pushed["digest"], pushed["bytes_new"]), (whole["digest"], 0))
                    self.assertEqual(pushed["entries"], len(state))
                pulled = self.pull(pushed["reference"], form + ".pth", "--format", "pytorch")
                self.assert_same(torch.load(pulled, weights_only=True), state)
                pulled = self.pull(pushed["reference"], form + ".st", "--format", "safetensors")
                self.assert_same(read_safetensors(pulled), state)

    def index_of(self, folder):
        (name,) = [n for n in os.listdir(folder) if n.endswith(".index.json")]
        return os.path.join(folder, name)

    def test_a_version_is_pulled_as_the_shards_of_hugging_face(self):
        state = example_state()
        torch.save(state, self.path("whole.pth"))
        whole = self.push(self.path("whole.pth"), "shards/out")
        for form in ("safetensors", "pytorch"):
            with self.subTest(form=form):
                out = self.path("out-" + form)
                answer = self.json("pull", "shards/out", "-o", out, "--format", form,
                                   "--max-shard-size", "20KB", "--verify=sha256")
                self.assertEqual(sorted(answer["files"]), sorted(os.listdir(out)))
                self.assertEqual(answer["bytes"], sum(os.path.getsize(os.path.join(out, n))
                                                      for n in os.listdir(out)))
                self.assert_same(self.load_shards(out, form), state)
                want = self.save(state, self.path("want-" + form), form)
                with open(self.index_of(out)) as a, open(self.index_of(want)) as b:
                    self.assertEqual(json.load(a), json.load(b))
                self.assertEqual(sorted(os.listdir(out)), sorted(os.listdir(want)))
                if form == "pytorch":
                    self.assert_ties_hold(out)
                again = self.push(out, "shards/again")
                self.assertEqual((again["digest"], again["bytes_new"]), (whole["digest"], 0))
                twin = self.path("twin-" + form)
                self.ok("pull", "shards/out", "-o", twin, "--format", form, "--max-shard-size",
                        "20000")
                for name in os.listdir(out):
                    self.assertEqual(harness.read(os.path.join(out, name)),
                                     harness.read(os.path.join(twin, name)), name)

    def assert_ties_hold(self, folder):
        for name in os.listdir(folder):
            if name.endswith(".bin"):
                part = torch.load(os.path.join(folder, name), weights_only=True)
                if "head.weight" in part:
                    self.assertEqual(part["head.weight"].data_ptr(),
                                     part["embed.weight"].data_ptr())

    def test_one_shard_has_no_number_and_no_index(self):
        torch.save(example_state(), self.path("whole.pth"))
        self.push(self.path("whole.pth"), "shards/one")
        out = self.path("one")
        self.ok("pull", "shards/one", "-o", out, "--max-shard-size", "5GB")
        self.assertEqual(os.listdir(out), ["pytorch_model.bin"])
        self.ok("pull", "shards/one", "--max-shard-size", "1.5GiB", "--format", "safetensors",
                cwd=harness.tempfile.mkdtemp(dir=self.folder))
        (default,) = [f for f, names, _ in os.walk(self.folder) if f.endswith("/one") and f != out]
        self.assertEqual(os.listdir(default), ["model.safetensors"])

    def test_rules_hold_over_all_shards(self):
        state = example_state()
        folder = self.save(state, self.path("in"), "safetensors")
        pushed = self.push(folder, "shards/rules", "--include", "block*", "--rename",
                           r"block(\d)\.(.*)=layer.\1.\2")
        want = {k.replace("block", "layer."): t for k, t in state.items() if k.startswith("block")}
        self.assertEqual(pushed["entries"], len(want))
        out = self.path("out")
        self.ok("pull", "shards/rules", "-o", out, "--max-shard-size", "10KB", "--select", "layer")
        self.assert_same(self.load_shards(out, "safetensors"),
                         {k[len("layer."):]: t for k, t in want.items()})

    def test_inspect_validate_schema_and_convert_read_folders(self):
        state = example_state()
        folder = self.save(state, self.path("in"), "pytorch")
        described = self.json("inspect", folder, "--digests")
        self.assertEqual([e["key"] for e in described["entries"] if e["key"] == "head.weight"],
                         ["head.weight"])
        self.assertEqual(described["ties"], [["embed.weight", "head.weight"]])
        schema = harness.write(self.path("s.json"), self.ok("schema", self.index_of(folder)))
        self.ok("validate", folder, "--schema", schema)
        for target in (folder, self.index_of(folder)):
            self.ok("convert", target, self.path("x.pth"), "--to", "pytorch", "--local", "--force")
            self.assert_same(torch.load(self.path("x.pth"), weights_only=True), state)
        self.fails(harness.FAILURE, "convert", folder, self.path("y.pth"), "--to", "pytorch",
                   says="--local only")
        out = self.path("resharded")
        answer = self.json("convert", folder, out, "--to", "safetensors", "--local",
                           "--max-shard-size", "30KB")
        self.assertEqual(sorted(answer["files"]), sorted(os.listdir(out)))
        self.assert_same(self.load_shards(out, "safetensors"), state)

    def test_what_is_wrong_is_refused_and_leaves_no_version(self):
        state = example_state()
        folder = self.save(state, self.path("in"), "safetensors")
        missing = shutil.copytree(folder, self.path("missing"))
        os.remove(os.path.join(missing, sorted(os.listdir(missing))[0]))
        self.fails(harness.FAILURE, "push", missing, "shards/bad",
                   says=["missing", "model-00001-of-"])
        both = shutil.copytree(folder, self.path("both"))
        torch.save(state, os.path.join(both, "pytorch_model.bin"))
        self.fails(harness.FAILURE, "push", both, "shards/bad", says="name the one that is meant")
        escape = self.path("escape.index.json")
        with open(escape, "w") as f:
            json.dump({"weight_map": {"a": "../../../etc/passwd"}}, f)
        self.fails(harness.FAILURE, "push", escape, "shards/bad", says="plain file name")
        self.fails(harness.FAILURE, "push", "--raw", folder, "shards/bad", says="is a folder")
        self.fails(harness.NOT_FOUND, "versions", "shards/bad")

    def test_a_folder_that_is_there_stays(self):
        torch.save(example_state(), self.path("whole.pth"))
        self.push(self.path("whole.pth"), "shards/there")
        out = self.path("out")
        self.ok("pull", "shards/there", "-o", out, "--max-shard-size", "20KB")
        before = sorted(os.listdir(out))
        args = ["pull", "shards/there", "-o", out, "--max-shard-size", "1MB"]
        self.fails(harness.FAILURE, *args, says="--force")
        self.assertEqual(sorted(os.listdir(out)), before)
        self.ok(*args, "--force")
        self.assertEqual(os.listdir(out), ["pytorch_model.bin"])
        harness.write(os.path.join(out, "config.json"), b"{}")
        self.fails(harness.FAILURE, *args, "--force", says="config.json")
        self.assertEqual(sorted(os.listdir(out)), ["config.json", "pytorch_model.bin"])
        self.assertEqual([n for n in os.listdir(self.folder) if n.startswith(".ballast")], [])

    def test_a_pull_that_is_ended_between_shards_leaves_no_folder(self):
        big = harness.write(self.path("big.dat"), containers.dat(
            [(f"t{i}", "uint8", (8 << 20,), harness.rng(f"s{i}").randbytes(8 << 20))
             for i in range(8)]))
        self.push(big, "shards/big")
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(signal=number):
                out = self.path(f"out{number}")
                process = subprocess.Popen(
                    [harness.ballast(), "--server", self.address(), "pull", "shards/big", "-o", out,
                     "--max-shard-size", "8MiB"], env=harness.clean_env(), stderr=subprocess.DEVNULL)
                harness.wait_until(lambda: self.first_shard() or process.poll() is not None, 60,
                                   "the first shard or the end")
                process.send_signal(number)
                process.wait(timeout=harness.CLI_LIMIT_S)
                if process.returncode != 0:  # ended before it was done
                    self.assertFalse(os.path.exists(out))
                if number == signal.SIGTERM:
                    self.assertFalse(self.hidden())
                for name in self.hidden():
                    shutil.rmtree(self.path(name))

    def hidden(self):
        return [n for n in os.listdir(self.folder) if n.startswith(".ballast-tmp-")]

    def first_shard(self):
        return any(n.startswith("model-") for h in self.hidden()
                   for n in (os.listdir(self.path(h)) if os.path.isdir(self.path(h)) else []))


if __name__ == "__main__":
    harness.main()
