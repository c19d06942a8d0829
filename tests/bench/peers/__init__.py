"""What a user could pick instead. One file each; what a peer does not do is said in its file."""
import os
import shutil


def program(name):
    """Path of a peer's program: unpacked by run.sh, or installed. None if it is not here."""
    unpacked = os.environ.get("BALLAST_BENCH_PEERS", "")
    for folder in ("usr/bin", "usr/sbin"):
        path = os.path.join(unpacked, folder, name)
        if unpacked and os.path.exists(path):
            return path
    return shutil.which(name) or next(
        (p for p in (f"/usr/sbin/{name}",) if os.path.exists(p)), None)


def need(name):
    path = program(name)
    if path is None:
        raise RuntimeError(f"{name} is not here; tests/bench/run.sh fetches it")
    return path
