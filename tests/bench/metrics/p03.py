"""P3: a push of M, all of it new, durable at the end, against what stores files over a network and
against PyTorch saving to the local disk. Each contestant finds its file made new and fsynced."""
import itertools

import pairs
import peers.ceph_gateway
import peers.docker_registry
import peers.nginx
import peers.pytorch

ID = "P3"


def measure(bench):
    model = bench.medium()
    server = bench.ballast()
    nginx = peers.nginx.Nginx(bench, bench.folder)
    docker = peers.docker_registry.DockerRegistry(bench)
    torch = peers.pytorch.PyTorch(bench)
    torch.take(model.path)
    names = itertools.count()

    def renewed(work):
        def run():
            model.renew()
            return work()
        return run

    contestants = {
        "ours": renewed(lambda: server.timed_cli(model.file_bytes, "push", model.path, "m")),
        "nginx": renewed(lambda: nginx.upload(model.path, f"{next(names)}.bin")),
        "docker": renewed(lambda: docker.upload(model.path)),
        "torch": lambda: torch.save(bench.path("saved.pth")),
    }
    if bench.profile.gateway and not peers.ceph_gateway.missing():
        # Removed objects are collected later: room for all of them, two copies on three stores.
        gateway = peers.ceph_gateway.Gateway(bench, model.file_bytes * 2 * (bench.pairs + 3))
        contestants["s3"] = renewed(lambda: gateway.upload(model.path, f"{next(names)}.bin"))
    samples = pairs.run(contestants, bench.pairs)
    _check_bytes(bench, server, model)
    ours = samples["ours"]
    rows = [
        pairs.row("P3a", "push of M, new content, durable", "curl -T to nginx DAV, fsync", "s", ours,
                  samples["nginx"], target=0.5, then=0.3,
                  note="nginx does not hash and keeps equal files twice"),
        pairs.row("P3b", "the same", "docker-registry blob upload, fsync", "s", ours,
                  samples["docker"], target=0.25, then=0.18,
                  note="the client's hashing before the upload is not counted for docker-registry"),
        pairs.row("P3d", "the same", "torch.save to the local disk, fsync", "s", ours,
                  samples["torch"], target=1.0, then=0.7,
                  note="no network, no SHA-256; the interpreter's start is not counted"),
    ]
    if "s3" in samples:
        rows.append(pairs.row("P3c", "the same", "S3 gateway of a Ceph, two copies", "s", ours,
                              samples["s3"], target=0.33, then=0.25,
                              note="the gateway makes an MD5 and keeps two copies"))
    return rows


def _check_bytes(bench, server, model):
    model.renew()
    server.push(model.path, "m")
    out = bench.path("out.safetensors")
    server.cli("pull", "m", "-o", out)
    if not model.same_data(out):
        raise RuntimeError("what was stored is not what was pushed")
