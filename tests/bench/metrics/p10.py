"""P10: resolving an alias against an empty gRPC call, idle and beside a full-speed stream."""
import floor
import pairs

ID = "P10"
THREADS = 8


def measure(bench):
    model = bench.medium()
    server = bench.ballast()
    server.push(model.path, "team/m", "--alias", "prod")
    client, puller = server.client(), server.client()
    bare = floor.Floor(bench, model.bytes)
    bare_puller = bare.new_client()
    seconds = bench.profile.seconds
    count = 200 if bench.profile.name == "tiny" else 3000

    def beside(stream, stream_words, control, control_words):
        """p99 of control calls while another process streams as fast as it can."""
        stream.tell(*stream_words, seconds + 1)
        numbers = control.ask(*control_words, count)
        stream.answer()
        return pairs.Sample(numbers["p99_us"])

    samples = pairs.run({
        "p50": lambda: server.asked(client, "resolve", "team/m@prod", count, value="p50_us"),
        "echo p50": lambda: pairs.Sample(bare.client.ask("echo", count)["p50_us"]),
        "rate": lambda: server.asked(client, "resolve-rate", "team/m@prod", seconds, THREADS,
                                     value="per_s"),
        "echo rate": lambda: pairs.Sample(bare.client.ask("echo-rate", seconds, THREADS)["per_s"]),
        "p99": lambda: beside(puller, ("pull-for", "team/m"), client, ("resolve", "team/m@prod")),
        "echo p99": lambda: beside(bare_puller, ("pull-for",), bare.client, ("echo",)),
    }, bench.pairs)
    return [
        pairs.row("P10a", "resolve an alias, p50", "empty gRPC call", "µs", samples["p50"],
                  samples["echo p50"], target=1.3, then=1.1),
        pairs.row("P10b", f"the same, calls a second by {THREADS} threads", "empty gRPC call", "/s",
                  samples["rate"], samples["echo rate"], target=0.75, then=0.9, better="higher"),
        pairs.row("P10c", "the same, p99 beside a full-speed pull",
                  "empty gRPC call beside the floor's stream", "µs", samples["p99"],
                  samples["echo p99"], target=1.3, then=1.1),
    ]
