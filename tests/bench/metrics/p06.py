"""P6: converting a file to a fresh one on the local disk, fsynced, against cp of the same bytes and
against PyTorch, which has to load and save it (to .pth; it knows no other of these formats)."""
import os

import pairs
import peers.plain_copy
import peers.pytorch

ID = "P6"
CASES = [("a", "m.pth", "torchsharp"), ("b", "m.dat", "pytorch"), ("c", "m.pth", "safetensors")]


def measure(bench):
    model = bench.medium()
    server = bench.ballast()  # for its command line only
    for name, form in (("m.pth", "pytorch"), ("m.dat", "torchsharp")):
        server.cli("convert", "--local", model.path, bench.path(name), "--to", form)
    torch = peers.pytorch.PyTorch(bench)
    out = bench.path("out")

    def ours(source, form):
        def run():
            sample = server.timed_cli(model.bytes, "convert", "--local", bench.path(source), out,
                                      "--to", form)
            os.remove(out)
            return sample
        return run

    contestants = {letter: ours(source, form) for letter, source, form in CASES}
    contestants["cp"] = lambda: peers.plain_copy.sample(bench.path("m.pth"), out)
    contestants["torch"] = lambda: torch.convert(bench.path("m.pth"), out)
    samples = pairs.run(contestants, bench.pairs)
    rows = []
    for peer, ident, words, target, then in (
            ("cp", "P6", "cp, fsync", 1.3, 1.1),
            ("torch", "P6-torch-", "torch.load, torch.save, fsync", 0.25, 0.15)):
        for letter, source, form in CASES:
            rows.append(pairs.row(ident + letter, f"convert {source[1:]} to {form}, local", words, "s",
                                  samples[letter], samples[peer], target=target, then=then))
    return rows
