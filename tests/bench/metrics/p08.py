"""P8: a push of what is already there against reading the file and hashing it on two threads."""
import pairs
import processes

ID = "P8"
THREADS = 2


def measure(bench):
    model = bench.medium()
    server = bench.ballast()
    server.push(model.path, "m")

    def hashing():
        done, cpu = processes.timed([bench.program("bench_local"), "hash", model.path, str(THREADS)])
        return pairs.Sample(done.seconds, cpu, 0, model.bytes)

    samples = pairs.run({
        "ours": lambda: server.timed_cli(model.bytes, "push", model.path, "m"),
        "hash": hashing,
    }, bench.pairs)
    if server.push(model.path, "m")["bytes_sent"] != 0:
        raise RuntimeError("known content was sent")
    return [pairs.row("P8", "push of M that is already there", "reading and SHA-256 on 2 threads", "s",
                      samples["ours"], samples["hash"], target=1.15, then=1.05)]
