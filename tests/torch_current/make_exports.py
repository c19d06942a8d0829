#!/usr/bin/env python3
"""Writes files with Ballast for check_here.py, which loads them with a current PyTorch.

    BALLAST_BIN_DIR=build/release/bin /usr/bin/python3 make_exports.py OUT_DIR

OUT_DIR gets the files and expected.json: what must be found in each, made from the bytes of the
sources. The sources are written by hand here, so that they hold dtypes that no older torch knows;
in addition come small files of the corpus (BALLAST_CORPUS, see tests/README.md), if it is there.
"""
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import containers  # noqa: E402
import corpus  # noqa: E402
import harness  # noqa: E402

# dtype: (bytes of one element as torch's shape counts it, code in safetensors, class of storages)
DTYPES = {
    "uint8": (1, "U8", "ByteStorage"), "int8": (1, "I8", "CharStorage"),
    "int16": (2, "I16", "ShortStorage"), "int32": (4, "I32", "IntStorage"),
    "int64": (8, "I64", "LongStorage"), "float16": (2, "F16", "HalfStorage"),
    "float32": (4, "F32", "FloatStorage"), "float64": (8, "F64", "DoubleStorage"),
    "complex32": (4, None, None), "complex64": (8, "C64", "ComplexFloatStorage"),
    "complex128": (16, None, "ComplexDoubleStorage"), "bool": (1, "BOOL", "BoolStorage"),
    "bfloat16": (2, "BF16", "BFloat16Storage"), "float8_e5m2": (1, "F8_E5M2", None),
    "float8_e4m3fn": (1, "F8_E4M3", None), "float8_e5m2fnuz": (1, "F8_E5M2FNUZ", None),
    "float8_e4m3fnuz": (1, "F8_E4M3FNUZ", None), "uint16": (2, "U16", None),
    "uint32": (4, "U32", None), "uint64": (8, "U64", None),
    "float8_e8m0fnu": (1, "F8_E8M0", None), "float4_e2m1fn_x2": (1, "F4", None),
}
WAYS = {
    "pytorch": ("pth", "OrderedDict", ["--to", "pytorch"]),
    "plain": ("pth", "dict", ["--to", "pytorch", "--plain-dict"]),
    "legacy": ("pth", "OrderedDict", ["--to", "pytorch-legacy"]),
    "legacy-plain": ("pth", "dict", ["--to", "pytorch-legacy", "--plain-dict"]),
    "safetensors": ("safetensors", "dict", ["--to", "safetensors"]),
}
LARGE_BYTES = (5 << 19) + 12  # two blocks and a half
CORPUS_FILE_BYTES_MAX = 400 << 10
CORPUS_BYTES_MAX = 16 << 20  # of what is written from it


class Source:
    """A file that is converted, and what is in it: (key, dtype, shape, bytes) in order."""

    def __init__(self, name, path, entries, ties=(), metadata=None):
        self.name, self.path, self.ties, self.metadata = name, path, list(ties), metadata
        self.entries = [{"key": key, "dtype": dtype, "shape": list(shape),
                         "sha256": hashlib.sha256(raw).hexdigest()}
                        for key, dtype, shape, raw in entries]


def count_of(shape):
    out = 1
    for dim in shape:
        out *= dim
    return out


def entry(rng, key, dtype, shape):
    """Any bit pattern, NaNs with payloads too."""
    count = count_of(shape)
    if dtype == "bool":
        return key, dtype, shape, bytes(rng.randrange(2) for _ in range(count))
    return key, dtype, shape, rng.randbytes(count * DTYPES[dtype][0])


def entries_of(rng, dtypes):
    """In an order that is neither that of the keys nor that of the sizes."""
    out = []
    for dtype in dtypes:
        shapes = [("z.matrix", (3, 4)), ("scalar", ()), ("0empty", (2, 0, 3)), ("M.cube", (2, 1, 5)),
                  ("vector", (17,))]
        out += [entry(rng, f"{key}.{dtype}", dtype, shape) for key, shape in shapes
                if shape or dtype != "float4_e2m1fn_x2"]  # F4 has no scalars
    rng.shuffle(out)
    return out


def hard_entries(rng):
    keys = ["schlüssel.重み.🔥", "", "a/../b c", "..", "module.layers.0.self_attn.q_proj.weight",
            "x" * 300, "x" * 255, "x" * 256, "quote\"'\\", "data/0", "_metadata", "10", "9", "é",
            "e\u0301", "keys", "requires_grad", "__class__"]
    out = [entry(rng, key, "float32", (2, 3)) for key in keys]
    out.append(entry(rng, "large", "float32", (LARGE_BYTES // 4,)))
    out.append(entry(rng, "large.half", "bfloat16", (3, 1 << 8)))
    out.append(entry(rng, "exactly one block", "uint8", (1 << 20,)))
    out.append(entry(rng, "dims", "int16", (1, 2, 1, 2, 1, 2, 1, 2, 1)))
    out.append(entry(rng, "after", "float64", ()))
    return out


def tied_entries(rng):
    first, second = entry(rng, "", "float32", (10, 4)), entry(rng, "", "bfloat16", (7,))
    plain = entry(rng, "b.bias", "float32", (4,))
    same = ("b.same bytes", *plain[1:])  # equal, and not tied
    entries = [("z.decoder.weight", *first[1:]), plain, ("tied.2", *second[1:]), same,
               ("a.encoder.weight", *first[1:]), ("tied.1", *second[1:]), ("m.head", *first[1:])]
    return entries, [["z.decoder.weight", "a.encoder.weight", "m.head"], ["tied.2", "tied.1"]]


def safetensors(entries, ties=()):
    header, data = {}, b""
    if ties:
        header["__metadata__"] = {"ballast.ties": json.dumps(ties)}
    for key, dtype, shape, raw in entries:
        shape = list(shape)
        if dtype == "float4_e2m1fn_x2":
            shape[-1] *= 2  # counted in values there, in bytes in torch
        header[key] = {"dtype": DTYPES[dtype][1], "shape": shape,
                       "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return containers.safetensors_from(header, data)


def pth(entries, metadata=None):
    """A state dict as torch.save writes it, with `_metadata` as a module's state_dict() has it."""
    op = containers._Op
    ordered = b"ccollections\nOrderedDict\n)R"
    out = b"\x80\x02" + ordered + b"("
    for index, (key, dtype, shape, raw) in enumerate(entries):
        width, _, name = DTYPES[dtype]
        function, storage, numel = "_rebuild_tensor_v2", f"torch\n{name}", len(raw) // width
        if name is None:
            function, storage, numel = "_rebuild_tensor_v3", "torch.storage\nUntypedStorage", len(raw)
        out += (op.text(key) + f"ctorch._utils\n{function}\n((".encode() + op.text("storage")
                + f"c{storage}\n".encode() + op.text(str(index)) + op.text("cpu")
                + op.integer(numel) + b"tQ" + op.integer(0) + op.numbers(shape)
                + op.numbers(containers.strides_of(shape)) + b"\x89" + ordered
                + (f"ctorch\n{dtype}\n".encode() if name is None else b"") + b"tR")
    out += b"u"
    if metadata is not None:
        inner = b"".join(op.text(k) + b"}" + op.text("version") + op.integer(v) + b"s"
                         for k, v in metadata.items())
        out += b"}" + op.text("_metadata") + ordered + b"(" + inner + b"usb"
    return containers.pth_from(out + b".", [raw for _, _, _, raw in entries])


def sources(folder):
    def made(name, entries, data, **more):
        path = harness.write(os.path.join(folder, name), data)
        return Source(name.split(".")[0], path, entries, **more)

    rng = random.Random("torch_current")
    in_safetensors = [d for d, (_, code, _) in DTYPES.items() if code]
    classic = [d for d, (_, _, storage) in DTYPES.items() if storage]
    entries = entries_of(rng, in_safetensors)
    yield made("dtypes-safetensors.safetensors", entries, safetensors(entries))
    for name, dtypes in (("dtypes-all", DTYPES), ("dtypes-classic", classic)):
        entries = entries_of(rng, dtypes)
        yield made(name + ".pth", entries, pth(entries))
    for dtype in DTYPES:  # so that one dtype which a torch lacks hides no other
        entries = entries_of(rng, [dtype])
        yield made(f"dtype-{dtype}.pth", entries, pth(entries))
    entries = hard_entries(rng)
    yield made("hard.safetensors", entries, safetensors(entries))
    entries, ties = tied_entries(rng)
    yield made("tied.safetensors", entries, safetensors(entries, ties), ties=ties)
    metadata = {"": 1, "0": 1, "0.bn": 2}
    entries = [entry(rng, "0.bn.weight", "float32", (3,)), entry(rng, "0.bn.bias", "float32", (3,)),
               entry(rng, "0.bn.num_batches_tracked", "int64", ())]
    yield made("metadata.pth", entries, pth(entries, metadata), metadata=metadata)
    yield made("none.safetensors", [], safetensors([]))
    entries = [entry(rng, f"layers.{i}.weight", "float16", (2,)) for i in range(3001)]
    yield made("many.safetensors", entries, safetensors(entries))


def can_hold(way, dtypes):
    """What must be refused is known from the table, not from the product."""
    if way == "safetensors":
        return all(DTYPES[d][1] for d in dtypes)
    if way.startswith("legacy"):
        return all(DTYPES[d][2] for d in dtypes)
    return True


class Exports:
    def __init__(self, folder):
        self.folder, self.files, self.refused, self.wrong = folder, [], [], []

    def path(self, name):
        return os.path.join(self.folder, name)

    def add(self, name, way, entries, ties, metadata, may_be_there=()):
        _, kind, _ = WAYS[way]
        self.files.append({
            "file": name, "way": way, "type": kind, "ordered": way != "safetensors",
            "entries": entries, "ties": ties, "may_be_there": sorted(may_be_there),
            "metadata": metadata if way in ("pytorch", "legacy") else None})

    def write(self, source):
        dtypes = {e["dtype"] for e in source.entries}
        for way, (suffix, _, options) in WAYS.items():
            name = f"{source.name}.{way}.{suffix}"
            done = harness.run_cli("convert", "--local", source.path, self.path(name), *options)
            said = done.stderr.decode(errors="replace").strip()
            if can_hold(way, dtypes):
                if done.returncode == harness.OK:
                    self.add(name, way, source.entries, source.ties, source.metadata)
                else:
                    self.wrong.append(f"{name}: exit code {done.returncode}: {said}")
            elif done.returncode == harness.FAILURE and said.count("\n") == 0:
                self.refused.append({"file": name, "why": said})
            else:
                self.wrong.append(f"{name}: want a refusal, got {done.returncode}: {said}")

    def write_sharded(self, source):
        """Shards of 1 MiB and an index; each shard holds some of the entries."""
        for way in ("pytorch", "safetensors"):
            name = f"{source.name}.shards.{way}"
            done = harness.run_cli("convert", "--local", source.path, self.path(name), "--to", way,
                                   "--max-shard-size", "1MiB")
            if done.returncode != harness.OK:
                self.wrong.append(f"{name}: {done.stderr.decode(errors='replace').strip()}")
                continue
            index = [n for n in os.listdir(self.path(name)) if n.endswith(".index.json")]
            with open(os.path.join(self.path(name), index[0]), encoding="utf-8") as f:
                shards = json.load(f)["weight_map"]
            if set(shards) != {e["key"] for e in source.entries}:
                self.wrong.append(f"{name}: the index has other keys")
            for shard in sorted(set(shards.values())):
                entries = [e for e in source.entries if shards.get(e["key"]) == shard]
                self.add(f"{name}/{shard}", way, entries, [], None)
                self.files[-1]["ordered"] = False

    def write_pulled(self, source, work):
        """Through the server: pushed, and pulled in every way."""
        os.mkdir(work)
        with harness.Server(os.path.join(work, "data")) as server:
            done = harness.run_cli("push", source.path, "exports/net", server=server.address)
            if done.returncode != harness.OK:
                self.wrong.append(f"push: {done.stderr.decode(errors='replace').strip()}")
                return
            for way, (suffix, _, options) in WAYS.items():
                name = f"{source.name}.pulled.{way}.{suffix}"
                options = ["--format", options[1], *options[2:]]
                done = harness.run_cli("pull", "exports/net", "-o", self.path(name), *options,
                                       server=server.address)
                if done.returncode == harness.OK:
                    self.add(name, way, source.entries, source.ties, source.metadata)
                elif can_hold(way, {e["dtype"] for e in source.entries}):
                    self.wrong.append(f"{name}: {done.stderr.decode(errors='replace').strip()}")

    def write_corpus(self, path, manifest):
        """Every way that Ballast can; returns the bytes written."""
        keep = ("key", "dtype", "shape", "sha256")
        entries = [{k: e[k] for k in keep} for e in manifest["entries"]]
        may_be_there = {e["key"] for name in ("tensors_outside_state_dict", "numpy_entries")
                        for e in manifest.get(name, [])}
        base = "corpus-" + corpus.name_of(path).replace("/", "_")
        written = 0
        for way, (suffix, _, options) in WAYS.items():
            name = f"{base}.{way}.{suffix}"
            done = harness.run_cli("convert", "--local", path, self.path(name), *options)
            if done.returncode == harness.OK:
                self.add(name, way, entries, None, None, may_be_there)
                self.files[-1]["ordered"] &= manifest.get("order_significant", True)
                written += os.path.getsize(self.path(name))
            elif can_hold(way, {e["dtype"] for e in entries}):
                self.wrong.append(f"{name}: {done.stderr.decode(errors='replace').strip()}")
        return written


def add_corpus(exports):
    if not os.path.isdir(corpus.FOLDER):
        print("no corpus: only files made here (BALLAST_CORPUS names its folder)")
        return
    written, count = 0, 0
    for path, manifest in corpus.loadable():
        if os.path.getsize(path) > CORPUS_FILE_BYTES_MAX or written > CORPUS_BYTES_MAX:
            continue
        written += exports.write_corpus(path, manifest)
        count += 1
    print(f"{count} files of the corpus, {written >> 10} KiB written from them")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    if not os.path.exists(harness.ballast()):
        harness.skip_all(f"no ballast in BALLAST_BIN_DIR ({harness.BIN_DIR!r})")
    os.makedirs(sys.argv[1])
    exports = Exports(sys.argv[1])
    work = tempfile.mkdtemp(prefix="ballast-exports-")
    try:
        made = list(sources(work))
        for source in made:
            exports.write(source)
        by_name = {source.name: source for source in made}
        exports.write_sharded(by_name["hard"])
        for name in ("dtypes-all", "tied"):
            exports.write_pulled(by_name[name], os.path.join(work, name + "-server"))
    finally:
        shutil.rmtree(work)
    add_corpus(exports)
    with open(exports.path("expected.json"), "w", encoding="utf-8") as f:
        json.dump({"files": exports.files, "refused": exports.refused}, f)
    for line in exports.wrong:
        print("WRONG " + line)
    print(f"{len(exports.files)} files written, {len(exports.refused)} refused as they must be, "
          f"{len(exports.wrong)} wrong")
    return 1 if exports.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
