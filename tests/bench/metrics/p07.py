"""P7: a push where a tenth of the tensors changed, as a .pth in reverse order, after the original as
safetensors, and a pull of such a version by who has the one before it: bytes on the wire against the
bytes that changed, and time against a full push or pull."""
import os

import pairs
import payload
import peers.restic
import table
import wire

ID = "P7"


def measure(bench):
    model = bench.medium()
    server = bench.ballast()
    server.push(model.path, "m")
    twin = payload.Payload(bench.path("reversed.safetensors"),
                           [(key, size) for key, _, size in reversed(model.tensors)])
    _copy_tensors(model, twin)
    backup = peers.restic.Restic(bench)
    backup.backup(model.path)
    changed = {key for key, _, _ in model.tensors[::10]}
    changed_bytes = sum(size for key, _, size in model.tensors if key in changed)
    pth = bench.path("reversed.pth")

    def change():
        twin.renew(changed)
        if os.path.exists(pth):
            os.remove(pth)
        server.cli("convert", "--local", twin.path, pth, "--to", "pytorch")

    change()
    relay = wire.CountingRelay(server.address)
    pushed = server.push(pth, "m", server=relay.address)
    relay.close()
    if pushed["bytes_sent"] != changed_bytes:
        raise RuntimeError(f"{pushed['bytes_sent']} bytes were sent, {changed_bytes} changed")
    added = backup.backup(pth)

    def delta():
        change()
        return server.timed_cli(model.bytes, "push", pth, "m")

    def full():
        model.renew()
        return server.timed_cli(model.bytes, "push", model.path, "full")

    samples = pairs.run({"delta": delta, "full": full}, bench.pairs)
    ratio, theirs = relay.sent / changed_bytes, added / changed_bytes
    return _pulls(bench, server, model, changed, changed_bytes) + [
        table.Row("P7a", "bytes on the wire where a tenth of M changed", "the bytes that changed",
                  "MB", relay.sent / 1e6, changed_bytes / 1e6, ratio, ratio, ratio, target=1.01,
                  then=1.002, note="another container, reverse order; the client's side of the "
                  "connection, with the manifest and HTTP/2"),
        table.Row("P7b", "the same", "bytes that restic adds for the same file", "MB",
                  relay.sent / 1e6, added / 1e6, ratio / theirs, ratio / theirs, ratio / theirs,
                  note="restic cuts by content, compresses and knows no tensors"),
        pairs.row("P7c", "time of that push", "a push of M that is all new", "s", samples["delta"],
                  samples["full"], target=0.45, then=0.35),
    ]


def _pulls(bench, server, model, changed, changed_bytes):
    have, out = bench.path("have.safetensors"), bench.path("pulled.safetensors")
    server.push(model.path, "d")
    server.cli("pull", "d", "-o", have)
    model.renew(changed)
    server.push(model.path, "d")
    relay = wire.CountingRelay(server.address)
    server.cli("pull", "d", "-o", out, "--have", have, server=relay.address)
    relay.close()
    if not model.same_data(out):
        raise RuntimeError("what was pulled by a delta is not what was pushed")

    def pull(*args):
        os.remove(out)
        return server.timed_cli(model.bytes, "pull", "d", "-o", out, *args)

    samples = pairs.run({"delta": lambda: pull("--have", have), "full": pull}, bench.pairs)
    os.remove(out)
    ratio = relay.received / changed_bytes
    return [
        table.Row("P7d", "bytes on the wire of a pull by who has the version before, where a tenth of M "
                  "changed", "the bytes that changed", "MB", relay.received / 1e6,
                  changed_bytes / 1e6, ratio, ratio, ratio, target=1.01,
                  note="with the manifest and HTTP/2"),
        pairs.row("P7e", "time of that pull", "a pull of all of M", "s", samples["delta"],
                  samples["full"], note="the file that is there is read twice"),
    ]


def _copy_tensors(source, target):
    places = {key: (offset, size) for key, offset, size in source.tensors}
    with open(source.path, "rb") as a, open(target.path, "r+b") as b:
        for key, offset, _ in target.tensors:
            begin, size = places[key]
            a.seek(begin), b.seek(offset)
            b.write(a.read(size))
        b.flush()
        os.fsync(b.fileno())
