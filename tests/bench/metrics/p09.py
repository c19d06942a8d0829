"""P9: one 4 MiB tensor out of L, into memory; some rows of a large one."""
import http.client
import statistics
import time

import floor
import pairs
import payload
import peers.nginx
import table
import wire

ID = "P9"
ROW_BYTES = 16 << 10
ROWS = 64


def measure(bench):
    model = bench.large()
    server = bench.ballast()
    server.push(model.path, "l")
    key, offset, size = model.tensors[0]
    client = server.client()
    bare = floor.Floor(bench, 64 << 20)
    nginx = peers.nginx.Nginx(bench, bench.folder)
    times = 5 if bench.profile.name == "tiny" else 100
    http_client = _RangeClient(nginx.port, "l.safetensors", offset, size)
    bench.callback(http_client.close)

    def ours():
        return server.asked(client, "pull-key", "l", key, times, value="p50_us")

    def ideal():
        """An empty call, and the bytes at P1's speed."""
        empty = bare.client.ask("echo", times)["p50_us"]
        rate = server.asked(client, "pull-memory", "l").value
        return pairs.Sample(empty + size / rate / 1e3)

    samples = pairs.run({"ours": ours, "ideal": ideal, "nginx": lambda: http_client.sample(times)},
                        bench.pairs)
    moved = _bytes_on_the_wire(bench, server, "l", "--include", key)
    matrix = payload.Payload(bench.path("rows.safetensors"), [("embed.weight", 32 << 20)],
                             row_bytes=ROW_BYTES)
    server.push(matrix.path, "rows")
    # They begin and end inside a block.
    moved_rows = _bytes_on_the_wire(bench, server, "rows", "--rows",
                                    f"embed.weight=1000:{1000 + ROWS}")
    row_ratio = moved_rows / (ROWS * ROW_BYTES)
    return [
        table.Row("P9a", "bytes on the wire for one tensor of 4 MiB out of L", "its bytes", "MB",
                  moved / 1e6, size / 1e6, moved / size, moved / size, moved / size, target=1.01,
                  then=1.002, note="the client's side, with the file's header and HTTP/2"),
        pairs.row("P9b", "latency of that (p50)", "an empty call + its bytes at P1's speed", "µs",
                  samples["ours"], samples["ideal"], target=1.5, then=1.2),
        pairs.row("P9c", "the same", "nginx, range of a safetensors file", "µs", samples["ours"],
                  samples["nginx"], note="the client knows the range and keeps its connection; "
                  "nothing is checked"),
        table.Row("P9d", "bytes on the wire for 64 rows of 16 KiB of one tensor", "their bytes",
                  "MB", moved_rows / 1e6, ROWS * ROW_BYTES / 1e6, row_ratio, row_ratio, row_ratio,
                  target=1.01, then=1.002, note="as P9a"),
    ]


class _RangeClient:
    def __init__(self, port, name, offset, size):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.path, self.memory = "/" + name, bytearray(size)
        self.header = {"Range": f"bytes={offset}-{offset + size - 1}"}

    def _get(self):
        begin = time.monotonic()
        self.connection.request("GET", self.path, headers=self.header)
        response = self.connection.getresponse()
        view, done = memoryview(self.memory), 0
        while n := response.readinto(view[done:]):
            done += n
        if response.status != 206 or done != len(self.memory):
            raise RuntimeError(f"range: {response.status}, {done} bytes")
        response.read()
        return time.monotonic() - begin

    def sample(self, times):
        return pairs.Sample(statistics.median(self._get() for _ in range(times)) * 1e6)

    def close(self):
        self.connection.close()


def _bytes_on_the_wire(bench, server, model, *chosen):
    relay = wire.CountingRelay(server.address)
    server.cli("pull", model, *chosen, "-o", bench.path("some.safetensors"), "--force",
               server=relay.address)
    relay.close()
    return relay.received
