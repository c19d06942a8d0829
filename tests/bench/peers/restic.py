"""restic: a backup program that finds equal parts again by content-defined chunks (~1 MiB).

It knows nothing of tensors. Here it tells how many bytes such a program adds for a changed file.
"""
import json
import os

import peers
import processes
import registry


class Restic:
    def __init__(self, bench):
        self.env = registry.clean_env(RESTIC_REPOSITORY=bench.path("restic"), RESTIC_PASSWORD="bench",
                                      RESTIC_CACHE_DIR=bench.path("restic-cache"),
                                      HOME=os.environ.get("HOME", "/root"))
        self._run("init")

    def _run(self, *args):
        return processes.Finished([peers.need("restic"), *args], self.env).stdout.decode()

    def backup(self, path):
        """Bytes that the repository grew by."""
        lines = self._run("backup", "--json", path).splitlines()
        return next(m["data_added"] for m in map(json.loads, reversed(lines))
                    if m["message_type"] == "summary")
