"""A `ballastd` of the benchmark, and `ballast` as a user runs it."""
import json
import os
import subprocess

import pairs
import processes


def clean_env(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("BALLAST_")}
    env.update(more)
    return env


class Server:
    def __init__(self, bench, data_dir, listen="127.0.0.1:0", tls=None):
        self.bench = bench
        self.data_dir = data_dir
        self.log_path = data_dir + ".log"
        argv = [bench.program("ballastd"), "--data-dir", data_dir, "--listen", listen]
        if tls:
            argv += ["--tls-cert", tls.server_cert, "--tls-key", tls.server_key,
                     "--tls-client-ca", tls.ca]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=log, env=clean_env())
        line = self.process.stdout.readline().decode()
        if not line.startswith("listening on "):
            raise RuntimeError(f"ballastd said {line!r}: {self.log()}")
        self.address = line.split()[2]

    @property
    def pid(self):
        return self.process.pid

    def cpu_s(self):
        return processes.cpu_seconds(self.pid)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def stop(self):
        processes.stop(self.process)
        self.process.stdout.close()

    def client(self, tls=None):
        """A bench_client of this server."""
        more = [tls.ca, tls.client_cert, tls.client_key] if tls else []
        return self.bench.helper("bench_client", self.address, *more)

    def cli(self, *args, check=True, server=None):
        """(Finished, processor seconds) of `ballast` with this server."""
        return processes.timed([self.bench.program("ballast"), "--server", server or self.address,
                                *map(str, args)], clean_env())

    def push(self, path, model, *args, server=None):
        """Pushes and returns the command's JSON."""
        return json.loads(self.cli("push", path, model, "--json", *args, server=server)[0].stdout)

    def timed_cli(self, bytes_moved, *args):
        """A Sample of a command: wall time, its processor time and the server's."""
        before = self.cpu_s()
        done, cpu = self.cli(*args)
        return pairs.Sample(done.seconds, cpu, self.cpu_s() - before, bytes_moved)

    def asked(self, helper, *words, value="rate"):
        """A Sample of a helper's command; value "rate" is GB/s, else a name of its answer."""
        before = self.cpu_s()
        numbers = helper.ask(*words)
        server_cpu = self.cpu_s() - before
        moved = int(numbers.get("bytes", 0))
        measured = moved / numbers["seconds"] / 1e9 if value == "rate" else numbers[value]
        return pairs.Sample(measured, numbers.get("cpu_s", 0), server_cpu, moved)
