"""P11: many small tensors (T) against M: the rate of pulls (dropped) and of pushes of new content."""
import pairs

ID = "P11"


def measure(bench):
    medium, many = bench.medium(), bench.many()
    server = bench.ballast()
    server.push(medium.path, "m")
    server.push(many.path, "t")
    client = server.client()

    def pull(name):
        return lambda: server.asked(client, "pull-sink", name, "safetensors", 1)

    def push(name, model):
        def run():
            model.renew()
            sample = server.timed_cli(model.bytes, "push", model.path, name)
            sample.value = model.bytes / sample.value / 1e9
            return sample
        return run

    samples = pairs.run({"pull T": pull("t"), "pull M": pull("m"), "push T": push("t", many),
                         "push M": push("m", medium)}, bench.pairs)
    return [
        pairs.row("P11a", "pull of T", "pull of M", "GB/s", samples["pull T"], samples["pull M"],
                  target=0.5, then=0.8, better="higher",
                  note=f"T: {bench.profile.many_tensors} tensors of 4 KiB"),
        pairs.row("P11b", "push of T, new content", "push of M", "GB/s", samples["push T"],
                  samples["push M"], target=0.5, then=0.8, better="higher"),
    ]
