#!/usr/bin/env python3
"""Reads with Ballast what check_here.py wrote with a current PyTorch.

    BALLAST_BIN_DIR=build/release/bin /usr/bin/python3 check_imports.py torch_current.tar.gz

Each file must be read exactly (keys, order, dtypes, shapes, bytes, ties), and again after Ballast
has written it as .pth; or refused in one line where that is what must be. Nothing is unpickled.
Exit code 1 if something is otherwise.
"""
import json
import os
import shutil
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import harness  # noqa: E402

MEMBERS_MAX = 2000
BYTES_MAX = 256 << 20
COMPARED = ("key", "dtype", "shape", "sha256")


def unpack(path, folder):
    """Plain files alone, each below `folder`, within limits."""
    total = 0
    with tarfile.open(path, "r:gz") as tar:
        for count, member in enumerate(tar):
            parts = member.name.split("/")
            total += member.size
            if count >= MEMBERS_MAX or total > BYTES_MAX:
                raise ValueError("the archive is too large")
            if member.isdir():
                continue
            if not member.isreg() or any(p in ("", ".", "..") for p in parts):
                raise ValueError(f"{member.name!r} is no plain file inside of the archive")
            target = os.path.join(folder, *parts)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "xb") as f:
                shutil.copyfileobj(tar.extractfile(member), f)


def refusal(done):
    """(the line, what is wrong with how it was said)."""
    text = done.stderr.decode(errors="replace")
    if done.returncode != harness.FAILURE:
        return text.strip()[:200], f"exit code {done.returncode}"
    if done.stdout or text.count("\n") != 1 or not text.startswith("ballast: "):
        return text.strip()[:200], "not one line of reason"
    return text.strip(), None


def brief(entries):
    return [f"{e['key'][:60]!r} {e['dtype']} {e['shape']} {e['sha256'][:8]}" for e in entries[:3]]


def groups(ties, entries):
    """Ties of what has elements, in no order."""
    some = {e["key"] for e in entries if 0 not in e["shape"]}
    return sorted(sorted(g) for g in ties if set(g) <= some)


def differences(document, want, ordered, ties):
    got = [{k: e[k] for k in COMPARED} for e in document["entries"]]
    wanted = want["entries"]
    if not ordered:
        got, wanted = (sorted(x, key=lambda e: e["key"]) for x in (got, wanted))
    found = []
    if got != wanted:
        missing = [e for e in wanted if e not in got]
        more = [e for e in got if e not in wanted]
        found.append(f"missing {brief(missing)}, unexpected {brief(more)}"
                     if missing or more else "entries in another order")
    if ties is not None and groups(document["ties"], wanted) != groups(ties, wanted):
        found.append(f"ties {document['ties']}, want {ties}")
    return found


def inspect(path):
    done = harness.run_cli("inspect", "--json", "--digests", path)
    return done, json.loads(done.stdout) if done.returncode == harness.OK else None


def check(path, want, work):
    """(outcome, what is wrong or said)."""
    done, document = inspect(path)
    if document is None:
        said, wrong = refusal(done)
        if wrong or want["outcome"] == "exact":
            return "failed", f"{wrong or 'refused'}: {said}"
        return "refused", said
    if want["outcome"] == "refused":
        return "failed", "was read, must be refused"
    found = differences(document, want, want["ordered"], want["ties"])
    if found:
        return "failed", "; ".join(found)
    out = os.path.join(work, "again.pth")
    done = harness.run_cli("convert", "--local", path, out, "--to", "pytorch", "--force")
    if done.returncode != harness.OK:
        return "failed", "convert: " + refusal(done)[0]
    found = differences(inspect(out)[1], want, want["ordered"], want["ties"])
    if found:
        return "failed", "written again: " + "; ".join(found)
    warned = document.get("warnings", [])
    return "exact", f"{len(want['entries'])} entries" + "".join(f"; {w}" for w in warned)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    if not os.path.exists(harness.ballast()):
        harness.skip_all(f"no ballast in BALLAST_BIN_DIR ({harness.BIN_DIR!r})")
    work = tempfile.mkdtemp(prefix="ballast-imports-")
    counts = {"exact": 0, "refused": 0, "failed": 0}
    try:
        folder = os.path.join(work, "files")
        os.mkdir(folder)
        unpack(sys.argv[1], folder)
        with open(os.path.join(folder, "imports.json"), encoding="utf-8") as f:
            document = json.load(f)
        print(document["versions"])
        for want in document["files"]:
            try:
                outcome, said = check(os.path.join(folder, want["file"]), want, work)
            except Exception as error:  # a crash or an endless run of one file must not end the check
                outcome, said = "failed", f"{type(error).__name__}: {error}"
            counts[outcome] += 1
            word = "FAIL" if outcome == "failed" else outcome
            print(f"{word:7} {want['file']}: {said.replace(folder + os.sep, '')[:400]}")
    finally:
        shutil.rmtree(work)
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if counts["failed"] or not counts["exact"] else 0


if __name__ == "__main__":
    sys.exit(main())
