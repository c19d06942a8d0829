"""P1: a hot pull of M into memory against a bare gRPC stream of as many bytes.

Both clients stay, both have their memory faulted in, both servers have the bytes in memory (ours in
the page cache). The floor drops what comes; a second row has it copy the bytes into memory once,
as any client over gRPC must that wants them there.
"""
import floor
import pairs

ID = "P1"


def measure(bench):
    model = bench.medium()
    server = bench.ballast()
    server.push(model.path, "m")
    client = server.client()
    bare = floor.Floor(bench, model.bytes)
    samples = pairs.run({
        "ours": lambda: server.asked(client, "pull-memory", "m"),
        "floor": lambda: bare.pull(model.bytes, copy=False),
        "floor, copied": lambda: bare.pull(model.bytes, copy=True),
    }, bench.pairs)
    if not client.ask("memory-matches", model.path, model.data_offset)["equal"]:
        raise RuntimeError("what was pulled is not what was pushed")
    return [
        pairs.row("P1", "hot pull of M into memory", "bare gRPC stream, dropped", "GB/s",
                  samples["ours"], samples["floor"], target=0.85, then=0.95, better="higher",
                  note="the floor looks nothing up, checks nothing and keeps nothing"),
        pairs.row("P1b", "the same", "bare gRPC stream, copied into memory once", "GB/s",
                  samples["ours"], samples["floor, copied"], better="higher"),
    ]
