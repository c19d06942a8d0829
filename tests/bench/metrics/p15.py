"""P15: what the schema gate costs a push, and what a push that it refuses has sent by then."""
import json
import re

import pairs
import processes
import table

ID = "P15"


def measure(bench):
    server = bench.ballast()
    helper = bench.helper("bench_local", "serve")
    rows = []
    for letter, model, what, target in (("a", bench.medium(), "M", 0.005),
                                        ("b", bench.many(), "T", 0.05)):
        def push(model=model):
            model.renew()
            return server.timed_cli(model.bytes, "push", model.path, "m")

        def gate(model=model):
            return pairs.Sample(helper.ask("gate", len(model.tensors), 20)["cpu_s"])

        samples = pairs.run({"gate": gate, "push": push}, bench.pairs)
        rows.append(pairs.row("P15" + letter, f"processor time in the gate, {what}", "push, new content",
                              "s", samples["gate"], samples["push"], target=target, then=target,
                              note="parsing the schema's JSON and comparing every entry"))
    taken = _taken_before_refusal(bench, server)
    rows.append(table.Row("P15c", "payload that a refused push had sent", "none", "bytes", taken, 0,
                          taken, taken, taken, target=0, then=0))
    return rows


def _taken_before_refusal(bench, server):
    """Pushes a file that the schema refuses; the server's log says what came in."""
    model = bench.many("refused.safetensors")
    model.renew()
    schema = bench.path("schema.json")
    with open(schema, "w") as f:
        json.dump({"ballast_schema": 1, "entries": [{"key": "other", "shape": [1]}]}, f)
    done = processes.Finished([bench.program("ballast"), "--server", server.address, "push",
                               model.path, "refused", "--schema", schema], check=False)
    calls = re.findall(r"method=Push .*subject=\"refused\".* in=(\d+) ", server.log())
    if done.returncode != 4 or len(calls) != 1:
        raise RuntimeError(f"the push ended with {done.returncode}; calls in the log: {calls}")
    return int(calls[0])
