"""What a metric is given: sizes, payloads, the programs, the peers, a folder; all of it ends with it."""
import contextlib
import dataclasses
import os
import shutil
import tempfile

import payload
import processes
import registry

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Profile:
    name: str
    pairs: int
    medium_bytes: int   # M
    large_bytes: int    # L
    many_tensors: int   # T: so many of 4 KiB
    versions: tuple     # P13
    seconds: int        # of a rate
    gateway: bool = False  # P3c too, if Ceph is installed


PROFILES = {
    "tiny": Profile("tiny", 1, 8 * MIB, 16 * MIB, 200, (10, 20), 1),
    "quick": Profile("quick", 3, 256 * MIB, 1024 * MIB, 20_000, (10, 1000), 2),
    "full": Profile("full", 5, 1024 * MIB, 4096 * MIB, 20_000, (10, 1000, 100_000), 5, True),
}


class Bench(contextlib.ExitStack):
    """One metric's world. Leaving it stops what was started and removes what was written."""

    def __init__(self, profile):
        super().__init__()
        self.profile = profile
        self.bin_dir = os.environ["BALLAST_BIN_DIR"]
        self.folder = tempfile.mkdtemp(prefix="ballast-bench-")
        self.callback(shutil.rmtree, self.folder, ignore_errors=True)

    @property
    def pairs(self):
        return self.profile.pairs

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def program(self, name):
        return os.path.join(self.bin_dir, name)

    def medium(self, name="m.safetensors"):
        count = 300 if self.profile.medium_bytes > 64 * MIB else 60
        return payload.Payload(self.path(name), payload.sizes(self.profile.medium_bytes, count))

    def large(self, name="l.safetensors"):
        """The first tensor is the one of 4 MiB that P9 asks for."""
        rest = payload.sizes(self.profile.large_bytes - 4 * MIB, 299)
        return payload.Payload(self.path(name), [("model.head.weight", 4 * MIB)] + rest)

    def many(self, name="t.safetensors"):
        return payload.Payload(self.path(name),
                               payload.even(self.profile.many_tensors * 4096, 4096))

    def helper(self, *argv):
        helper = processes.Helper([self.program(argv[0]), *map(str, argv[1:])])
        self.callback(helper.close)
        return helper

    def ballast(self, name="store", **options):
        """A server with a fresh data folder."""
        server = registry.Server(self, self.path(name), **options)
        self.callback(server.stop)
        return server
