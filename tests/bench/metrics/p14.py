"""P14: a pull over mTLS into memory against the bare stream over the same mTLS."""
import certificates
import floor
import pairs

ID = "P14"


def measure(bench):
    model = bench.medium()
    tls = certificates.make(bench.path("certs"))
    server = bench.ballast(tls=tls)
    plain = bench.ballast("plain")
    plain.push(model.path, "m")
    server.cli("push", model.path, "m", "--ca", tls.ca, "--cert", tls.client_cert, "--key",
               tls.client_key)
    client, plain_client = server.client(tls), plain.client()
    bare = floor.Floor(bench, model.bytes, tls=tls)
    samples = pairs.run({
        "ours": lambda: server.asked(client, "pull-memory", "m"),
        "floor": lambda: bare.pull(model.bytes, copy=False),
        "plain": lambda: plain.asked(plain_client, "pull-memory", "m"),
    }, bench.pairs)
    return [
        pairs.row("P14a", "pull of M over mTLS", "bare gRPC stream over mTLS, dropped", "GB/s",
                  samples["ours"], samples["floor"], target=0.85, then=0.95, better="higher"),
        pairs.row("P14b", "the same", "our pull without TLS", "GB/s", samples["ours"],
                  samples["plain"], better="higher"),
    ]
