"""A-B-B-A: each round runs every contestant once, and every other round in reverse order, so that
drift of the machine meets all of them alike. A ratio compares two samples of the same round."""
import dataclasses
import statistics

import table


@dataclasses.dataclass
class Sample:
    """One measured run. `value` is what is compared; 0 for processor time means not known."""
    value: float
    client_cpu_s: float = 0
    server_cpu_s: float = 0
    bytes: int = 0


def run(contestants, pairs, warm=True):
    """{name: [Sample, …]} of `pairs` rounds over {name: function}; a first round is thrown away."""
    names = list(contestants)
    if warm:
        for name in names:
            contestants[name]()
    samples = {name: [] for name in names}
    for i in range(pairs):
        for name in names if i % 2 == 0 else reversed(names):
            samples[name].append(contestants[name]())
    return samples


def median(samples):
    return statistics.median(s.value for s in samples)


def cpu_text(samples):
    """Processor seconds per GB of client and server, where they are known."""
    known = [s for s in samples if s.bytes and (s.client_cpu_s or s.server_cpu_s)]
    if not known:
        return ""
    client = statistics.median(s.client_cpu_s * 1e9 / s.bytes for s in known)
    server = statistics.median(s.server_cpu_s * 1e9 / s.bytes for s in known)
    return f"{client:.2f} + {server:.2f}"


def row(ident, name, peer, unit, ours, theirs, note="", **more):
    """A table.Row of two lists of samples."""
    ratios = [a.value / b.value for a, b in zip(ours, theirs)]
    cpu = [f"{who} {cpu_text(s)}" for who, s in (("ours", ours), ("theirs", theirs)) if cpu_text(s)]
    if cpu:
        note = "; ".join(filter(None, [note, "CPU s/GB client + server: " + ", ".join(cpu)]))
    return table.Row(ident, name, peer, unit, median(ours), median(theirs),
                     statistics.median(ratios), min(ratios), max(ratios), note=note, **more)
