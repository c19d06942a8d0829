#!/usr/bin/env python3
"""The benchmark program runs to its end at a tiny size and writes the JSON that it promises. What
it measures there means nothing and is not looked at."""
import json
import os
import subprocess
import sys
import tempfile

FIELDS = {"id": str, "name": str, "ours": (int, float), "theirs": (int, float), "ratio": (int, float),
          "min": (int, float), "max": (int, float), "better": str}
# Those that need no peer.
METRICS = ("P1", "P4", "P5", "P8", "P12", "P14", "P15")


def main():
    if not os.path.exists(os.path.join(os.environ.get("BALLAST_BIN_DIR", ""), "bench_client")):
        print("skipped: no bench_client in BALLAST_BIN_DIR")
        return 77
    driver = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bench.py")
    with tempfile.TemporaryDirectory() as folder:
        result = os.path.join(folder, "result.json")
        done = subprocess.run([sys.executable, driver, "--tiny", "--only", ",".join(METRICS), "--json",
                               result], env=dict(os.environ, TMPDIR=folder), timeout=280)
        assert done.returncode == 0, done.returncode
        with open(result) as f:
            rows = json.load(f)
        left = os.listdir(folder)
    assert left == ["result.json"], f"left behind: {left}"
    for row in rows:
        for field, kind in FIELDS.items():
            assert isinstance(row[field], kind), (field, row)
        assert row["better"] in ("higher", "lower"), row
        assert row["min"] <= row["ratio"] <= row["max"], row
        assert isinstance(row["met"], bool) == (row["target"] is not None), row
    measured = {row["id"].rstrip("abcdefgh") for row in rows}
    assert measured == set(METRICS), measured
    return 0


if __name__ == "__main__":
    sys.exit(main())
