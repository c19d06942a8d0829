#!/usr/bin/env python3
"""Loads what make_exports.py wrote, and writes what check_imports.py reads; without Ballast.

    python3 check_here.py EXPORTS_DIR OUT_DIR

To be run where a current PyTorch is (and safetensors, numpy, a GPU; what is missing is said).
OUT_DIR gets one file, torch_current.tar.gz: the files, imports.json and log.txt. Exit code 1 if a
file of EXPORTS_DIR does not load exactly as it must.
"""
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import warnings

import torch

import cases
import tensors

LEGACY_WAYS = ("legacy", "legacy-plain")
TAR_BYTES_MAX = 16 << 20
PART_LIMIT_S = 150


class Log:
    def __init__(self):
        self.lines = []

    def __call__(self, line):
        self.lines.append(line)
        say(line)


def say(line):
    print(line, flush=True)


def lacking(want):
    """The dtypes of a file that this torch lacks."""
    lacks = {e["dtype"] for e in want["entries"] if not hasattr(torch, e["dtype"])}
    if want["way"] != "safetensors" and not hasattr(torch._utils, "_rebuild_tensor_v3"):
        lacks |= {e["dtype"] for e in want["entries"] if e["dtype"] == "complex32"}
    return sorted(lacks)


def differences(state, want):
    """Everything in which what was loaded is not what it must be."""
    found = []
    if type(state).__name__ != want["type"]:
        found.append(f"is a {type(state).__name__}, want {want['type']}")
    others = [k for k, t in state.items() if type(t) is not torch.Tensor or t.requires_grad
              or not t.is_contiguous()]
    if others:
        return found + [f"no plain contiguous tensor: {others[:5]}"]
    got = {k: tensors.entry_of(k, t) for k, t in state.items()}
    may_be_there = set(want["may_be_there"])
    keys = [k for k in got if k not in may_be_there]
    wanted = [e["key"] for e in want["entries"] if e["key"] not in may_be_there]
    if sorted(keys) != sorted(wanted):
        found.append(f"keys: missing {sorted(set(wanted) - set(keys))[:5]}, "
                     f"unexpected {sorted(set(keys) - set(wanted))[:5]}")
    elif want["ordered"] and keys != wanted:
        found.append("keys in another order")
    for entry in want["entries"]:
        have = got.get(entry["key"])
        if have is not None and have != entry:
            found.append(f"is {have}, want {entry}")
    if want["ties"] is not None and want["way"] != "safetensors":
        sharing = tensors.sharing_of(state)
        if sorted(map(sorted, sharing)) != sorted(map(sorted, want["ties"])):
            found.append(f"tied: {sharing}, want {want['ties']}")
        if len(tensors.ties_of(state)) != len(want["ties"]):
            found.append("what shares a storage is not the same tensor")
    metadata = getattr(state, "_metadata", None)
    versions = None if metadata is None else {k: v["version"] for k, v in metadata.items()}
    if want["metadata"] is not None and versions != want["metadata"]:
        found.append(f"_metadata is {metadata}, want {want['metadata']}")
    return found


def calculated_offsets(path):
    """torch's own arithmetic of where the records lie, instead of the zip's directory."""
    from torch.utils.serialization import config
    old = config.load.calculate_storage_offsets
    config.load.calculate_storage_offsets = True
    try:
        return torch.load(path, weights_only=True, mmap=True)
    finally:
        config.load.calculate_storage_offsets = old


def from_handle(path):
    with open(path, "rb") as f:
        return torch.load(f, weights_only=True)


def without_globals(path):
    """torch's own list of what weights_only would refuse; must be empty."""
    unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    if unsafe:
        raise ValueError(f"unsafe globals {unsafe}")
    return None


def loaders_of(want):
    """(name, function of a path) of every way to load this file here."""
    if want["way"] == "safetensors":
        from safetensors import torch as st
        return [("load_file", st.load_file)]
    out = [("load", lambda path: torch.load(path, weights_only=True)), ("handle", from_handle)]
    if want["way"] in LEGACY_WAYS:
        return out
    if hasattr(torch.serialization, "set_default_mmap_options"):
        out.append(("mmap", lambda path: torch.load(path, weights_only=True, mmap=True)))
    if hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):
        out.append(("globals", without_globals))
    try:
        from torch.utils.serialization import config
        if hasattr(config.load, "calculate_storage_offsets"):
            out.append(("calculated offsets", calculated_offsets))
    except ImportError:
        pass
    if torch.cuda.is_available():
        out.append(("to the GPU", lambda path: torch.load(path, weights_only=True,
                                                          map_location="cuda:0")))
    return out


def check_export(folder, want):
    """(what is wrong, what was done)."""
    path = os.path.join(folder, want["file"])
    wrong, ways = [], []
    for name, load in loaders_of(want):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                state = load(path)
            found = [] if state is None else differences(state, want)
        except Exception as error:
            found = [f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"]
        wrong += [f"{name}: {what}" for what in found[:3]]
        ways.append(name)
    return wrong, ways


def check_exports(folder, log):
    with open(os.path.join(folder, "expected.json"), encoding="utf-8") as f:
        expected = json.load(f)
    counts = {"exact": 0, "skipped": 0, "failed": 0}
    loads = 0
    for want in expected["files"]:
        lacks = lacking(want)
        if lacks:
            counts["skipped"] += 1
            log(f"SKIP {want['file']}: this torch lacks {', '.join(lacks)}")
            continue
        try:
            wrong, ways = check_export(folder, want)
        except ImportError as error:
            counts["skipped"] += 1
            log(f"SKIP {want['file']}: {error}")
            continue
        except Exception as error:
            wrong, ways = [f"{type(error).__name__}: {error}"], []
        loads += len(ways)
        counts["failed" if wrong else "exact"] += 1
        for what in wrong:
            log(f"FAIL {want['file']}: {what}")
        if not wrong:
            log(f"ok   {want['file']}: {len(want['entries'])} entries ({', '.join(ways)})")
    for refused in expected["refused"]:
        log(f"note {refused['file']}: the format has no such dtype")
    log(f"exports: {counts['exact']} exact in {loads} loads, {counts['skipped']} skipped, "
        f"{counts['failed']} failed")
    return counts["failed"]


def versions():
    out = [f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    for name in ("numpy", "safetensors", "torchvision", "transformers"):
        try:
            out.append(f"{name} {__import__(name).__version__}")
        except Exception:
            out.append(f"no {name}")
    out.append(torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU")
    return ", ".join(out)


def pack(folder, path):
    with tarfile.open(path, "w:gz") as tar:
        for name in sorted(os.listdir(folder)):
            tar.add(os.path.join(folder, name), arcname=name)


def write_part(part, folder):
    torch.manual_seed(1)
    with open(os.path.join(folder, "imports.jsonl"), "a", encoding="utf-8") as notes:

        def note(want):
            notes.write(json.dumps(want) + "\n")
            notes.flush()

        getattr(cases.Cases(folder, say, note), "run_" + part)()
    return 0


def run_part(arguments, log):
    """Another process of this program, so that one which crashes or hangs ends only itself."""
    begin = time.monotonic()
    child = subprocess.Popen([sys.executable, os.path.abspath(__file__), *arguments],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace")
    guard = threading.Timer(PART_LIMIT_S, child.kill)
    guard.start()
    for line in child.stdout:
        log(line.rstrip("\n"))
    code = child.wait()
    guard.cancel()
    log(f"{arguments[0]} {arguments[1]}: exit code {code}, {time.monotonic() - begin:.1f} s")
    return code


def finish(work, out, log):
    """Packs what there is; returns whether it is small enough."""
    notes = os.path.join(work, "imports.jsonl")
    with open(notes, encoding="utf-8") as f:
        files = [json.loads(line) for line in f]
    os.remove(notes)
    with open(os.path.join(work, "imports.json"), "w", encoding="utf-8") as f:
        json.dump({"versions": log.lines[0], "files": files}, f)
    log(f"{len(files)} files written")
    with open(os.path.join(work, "log.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join(log.lines) + "\n")
    os.makedirs(out, exist_ok=True)
    tar = os.path.join(out, "torch_current.tar.gz")
    pack(work, tar)
    size = os.path.getsize(tar)
    say(f"{os.path.basename(tar)}: {size >> 10} KiB, want at most {TAR_BYTES_MAX >> 10}")
    return size <= TAR_BYTES_MAX


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--write":
        return write_part(sys.argv[2], sys.argv[3])
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    if sys.argv[1] == "--load":
        return 1 if check_exports(sys.argv[2], say) else 0
    log = Log()
    log(versions())
    work = tempfile.mkdtemp(prefix="torch-current-")
    try:
        open(os.path.join(work, "imports.jsonl"), "w").close()
        codes = [run_part(["--load", sys.argv[1]], log)]
        codes += [run_part(["--write", part, work], log) for part in ("states", "dtypes")]
        small = finish(work, sys.argv[2], log)
    finally:
        shutil.rmtree(work)
    return 1 if any(codes) or not small else 0


if __name__ == "__main__":
    sys.exit(main())
