"""P13: a store with many versions (64 KiB each, three of four blocks shared) against one with ten."""
import itertools

import pairs

ID = "P13"


def measure(bench):
    few, *more = bench.profile.versions
    many = more[-1]
    count = 20 if bench.profile.name == "tiny" else 300
    stamps = itertools.count(1)
    clients = {}
    for versions in (few, many):
        server = bench.ballast(f"store-{versions}")
        client = server.client()
        client.ask("push-each", "team/grown", versions, next(stamps))
        client.ask("push-each", "team/probe", 1, next(stamps))
        clients[versions] = client

    def ask(versions, *words):
        return lambda: pairs.Sample(clients[versions].ask(*words)["p50_us"])

    def push(versions):
        return lambda: pairs.Sample(
            clients[versions].ask("push-each", "team/probe", 20, next(stamps))["p50_us"])

    cases = {
        "a list": ("list", "team/grown", count),
        "b resolve": ("resolve", "team/grown", count),
        "d pull": ("pull-each", "team/grown", count),
    }
    contestants = {}
    for versions in (few, many):
        for name, words in cases.items():
            contestants[name, versions] = ask(versions, *words)
        contestants["c push", versions] = push(versions)
    samples = pairs.run(contestants, bench.pairs)
    return [
        pairs.row("P13" + name[0], f"{name[2:]} with {many} versions, p50", f"with {few} versions",
                  "µs", samples[name, many], samples[name, few], target=1.2, then=1.05)
        for name in sorted({name for name, _ in contestants})
    ]
