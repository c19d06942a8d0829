"""P2: a pull of M to a fresh file, on the disk at the end, against curl from nginx and against cp."""
import os

import pairs
import peers.plain_copy
import peers.nginx

ID = "P2"


def measure(bench):
    model = bench.medium()
    server = bench.ballast()
    server.push(model.path, "m")
    nginx = peers.nginx.Nginx(bench, bench.folder)
    out = bench.path("out.safetensors")

    def ours():
        sample = server.timed_cli(model.file_bytes, "pull", "m", "-o", out)
        os.remove(out)
        return sample

    server.cli("pull", "m", "-o", out)
    if not model.same_data(out):
        raise RuntimeError("what was pulled is not what was pushed")
    os.remove(out)
    samples = pairs.run({
        "ours": ours,
        "nginx": lambda: nginx.download(os.path.basename(model.path), out),
        "cp": lambda: peers.plain_copy.sample(model.path, out),
    }, bench.pairs)
    return [
        pairs.row("P2a", "pull of M to a fresh file, fsynced", "curl -o from nginx (sendfile), fsync",
                  "s", samples["ours"], samples["nginx"], target=0.8, then=0.5,
                  note="nginx and curl check nothing"),
        pairs.row("P2b", "the same", "cp, fsync", "s", samples["ours"], samples["cp"], target=1.6,
                  then=1.2, note="cp has no network"),
    ]
