"""`cp` to a fresh file and fsync: no network, no checksum, no names; the page cache is warm."""
import os
import time

import pairs
import processes


def fsync(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sample(source, target):
    """A Sample of copying; the copy is removed afterwards."""
    begin = time.monotonic()
    _, cpu = processes.timed(["cp", "--reflink=never", source, target])
    fsync(target)
    seconds = time.monotonic() - begin
    size = os.path.getsize(target)
    os.remove(target)
    return pairs.Sample(seconds, cpu, 0, size)
