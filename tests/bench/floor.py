"""The floor program as a peer: a bare gRPC stream over memory (floor/)."""
import pairs
import processes

# The product's: kDataMessageBytes.
MESSAGE_BYTES = 2 << 20


class Floor:
    """A server and a client. `arguments`: channel arguments beyond the product's, "NAME=N"."""

    def __init__(self, bench, memory_bytes, address="127.0.0.1:0", arguments=(), tls=None, env=None):
        settings = [word for a in arguments for word in ("--arg", a)]
        certs = (["--ca", tls.ca, "--cert", tls.server_cert, "--key", tls.server_key] if tls else [])
        self.server = bench.helper("bench_floor", "serve", "--address", address, "--memory",
                                   memory_bytes, *settings, *certs)
        line = self.server.process.stdout.readline().decode()
        if not line.startswith("listening on "):
            raise RuntimeError(f"bench_floor said {line!r}")
        certs = (["--ca", tls.ca, "--cert", tls.client_cert, "--key", tls.client_key] if tls else [])
        self.client_argv = ["bench_floor", "client", "--address", line.split()[2], *settings, *certs]
        self.bench = bench
        self.client = self.new_client()

    def new_client(self):
        return self.bench.helper(*self.client_argv)

    def pull(self, size, copy, message_bytes=MESSAGE_BYTES, streams=1):
        """A Sample in GB/s."""
        pid = self.server.process.pid
        before = processes.cpu_seconds(pid)
        numbers = self.client.ask("pull", size, message_bytes, int(copy), streams)
        return pairs.Sample(numbers["bytes"] / numbers["seconds"] / 1e9, numbers["cpu_s"],
                            processes.cpu_seconds(pid) - before, int(numbers["bytes"]))
