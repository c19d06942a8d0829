"""P5: pulling in another format against pulling in the format that was pushed (safetensors)."""
import pairs

ID = "P5"


def measure(bench):
    model = bench.medium()
    server = bench.ballast()
    server.push(model.path, "m")
    client = server.client()

    def seconds(form):
        return lambda: server.asked(client, "pull-sink", "m", form, 1, value="seconds")

    samples = pairs.run({form: seconds(form) for form in ("pytorch", "safetensors", "torchsharp")},
                        bench.pairs)
    return [
        pairs.row("P5a", "pull of M as pytorch, pushed as safetensors", "pull as safetensors", "s",
                  samples["pytorch"], samples["safetensors"], target=1.05, then=1.02),
        pairs.row("P5b", "pull of M as torchsharp", "pull as safetensors", "s",
                  samples["torchsharp"], samples["safetensors"], target=1.05, then=1.02),
    ]
