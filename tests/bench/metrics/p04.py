"""P4: what a push writes to the disk, and how fast blocks go into the store against a plain file."""
import itertools

import pairs
import processes
import table

ID = "P4"


def measure(bench):
    return [_written(bench), _ingest(bench)]


def _written(bench):
    model = bench.medium()
    server = bench.ballast()
    ratios = []
    for _ in range(bench.pairs):
        model.renew()
        before = processes.written_bytes(server.pid)
        server.push(model.path, "m")
        ratios.append((processes.written_bytes(server.pid) - before) / model.bytes)
    ratios.sort()
    middle = ratios[len(ratios) // 2]
    return table.Row("P4a", "bytes written to disk by a push of M", "its payload", "GB",
                     middle * model.bytes / 1e9, model.bytes / 1e9, middle, ratios[0], ratios[-1],
                     target=1.05, then=1.01, note="write_bytes of the server's /proc/PID/io")


def _ingest(bench):
    size = bench.profile.medium_bytes
    helper = bench.helper("bench_local", "serve")
    names = itertools.count()

    def sample(command):
        numbers = helper.ask(command, bench.path(f"{command}-{next(names)}"), size)
        return pairs.Sample(size / numbers["seconds"] / 1e9, numbers["cpu_s"], 0, size)

    samples = pairs.run({"ours": lambda: sample("ingest"), "disk": lambda: sample("write")},
                        bench.pairs)
    return pairs.row("P4b", "blocks into the store, durable", "write and fsync of the same bytes",
                     "GB/s", samples["ours"], samples["disk"], target=0.85, then=0.95,
                     better="higher", note="digests are computed before, on both sides")
