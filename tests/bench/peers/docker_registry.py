"""docker-registry with its file system driver: a blob upload as docker and oras make it.

It hashes the blob (SHA-256) and finds whole blobs again, but not parts of them; it does not fsync.
The client's own hashing is left out of the measured time, the fsync of the blob is in it.
"""
import hashlib
import os
import subprocess
import time

import pairs
import peers
import peers.plain_copy
import processes

CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {dir}/data}}}}
http: {{addr: "127.0.0.1:{port}", secret: bench}}
"""


class DockerRegistry:
    def __init__(self, bench):
        self.folder = bench.path("docker-registry")
        os.makedirs(self.folder)
        self.port = processes.free_port()
        config = os.path.join(self.folder, "config.yml")
        with open(config, "w") as f:
            f.write(CONFIG.format(dir=self.folder, port=self.port))
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen([peers.need("docker-registry"), "serve", config],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        bench.callback(processes.stop, self.process)
        processes.wait_for_port(self.port, self.process)
        self.url = f"http://127.0.0.1:{self.port}/v2/bench/model/blobs/uploads/"

    def upload(self, source):
        """A Sample of POST and PUT of one blob and its fsync; it is removed afterwards."""
        with open(source, "rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
        server = processes.cpu_seconds(self.process.pid)
        begin = time.monotonic()
        start, cpu_a = processes.timed(["curl", "-sS", "-f", "-X", "POST", "-D", "-", "-o", os.devnull,
                                        self.url])
        location = next(line.split(": ", 1)[1].strip() for line in start.stdout.decode().splitlines()
                        if line.lower().startswith("location: "))
        _, cpu_b = processes.timed(
            ["curl", "-sS", "-f", "-X", "PUT", "-H", "Content-Type: application/octet-stream", "-T",
             source, f"{location}&digest=sha256:{digest}"])
        blob = (f"{self.folder}/data/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data")
        peers.plain_copy.fsync(blob)
        seconds = time.monotonic() - begin
        size = os.path.getsize(blob)
        os.remove(blob)
        return pairs.Sample(seconds, cpu_a + cpu_b,
                            processes.cpu_seconds(self.process.pid) - server, size)
