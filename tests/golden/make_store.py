#!/usr/bin/env python3
"""Makes store_1.tar.gz: a data folder of format 1 as real builds wrote it, and store_1.json: what a
client saw of it then. e2e/golden_store_test.py opens a copy with today's build.

    make_store.py --ballast BIN/ballast --ballastd OLDER/ballastd --ballastd BIN/ballastd

Each ballastd in turn, the oldest first, pushes its share. Never made anew for a change of the
code: a store that was written once must be read for ever. A new format gets a file of its own.
"""
import argparse
import io
import json
import os
import random
import struct
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import containers  # noqa: E402

SCHEMA = {"ballast_schema": 1, "entries": [{"key": "w", "dtype": "float32", "shape": [-1]}]}


class Maker:
    def __init__(self, ballast, folder):
        self.ballast = ballast
        self.folder = folder
        self.data = os.path.join(folder, "store")
        self.socket = "unix:" + os.path.join(folder, "socket")

    def start(self, ballastd):
        self.process = subprocess.Popen(
            [ballastd, "--data-dir", self.data, "--listen", self.socket],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout.readline().startswith(b"listening on ")

    def stop(self):
        self.process.terminate()
        assert self.process.wait() == 0

    def run(self, *words):
        done = subprocess.run([self.ballast, *words], capture_output=True, check=True,
                              env={**os.environ, "BALLAST_SERVER": self.socket})
        return done.stdout

    def push(self, model, seed, count, *more, form="safetensors"):
        values = random.Random(seed)
        data = struct.pack(f"<{count}f", *(values.gauss(0, 1) for _ in range(count)))
        entries = [("w", "float32", (count,), data)]
        path = os.path.join(self.folder, "in")
        with open(path, "wb") as f:
            f.write(getattr(containers, form)(entries))
        self.run("push", path, model, "--message", f"seed {seed}", *more)

    def share(self, number):
        """What each build pushes: a version on top of the others, shared and new blocks."""
        self.push("team/net", 1, 2000, "--label", "release=1.0", "--alias", "prod")
        self.push("team/net", 10 + number, 3000)
        self.push(f"of/build{number}", 20 + number, 20)

    def finish(self):
        schema = os.path.join(self.folder, "schema.json")
        with open(schema, "w") as f:
            json.dump(SCHEMA, f)
        self.run("schema", schema, "--bind", "team/net")
        self.run("retention", "team/net", "--keep-last", "5", "--keep-label", "release")
        self.push("team/net", 30, 100, form="dat")
        self.push("team/net", 31, 100)
        self.run("rm", "team/net:2")
        self.run("alias", "set", "team/net", "old", "1")
        self.run("gc")

    def facts(self):
        models = {}
        for model in json.loads(self.run("ls", "--json"))["models"]:
            name = model["model"]
            versions = json.loads(self.run("versions", name, "--json"))["versions"]
            deleted = json.loads(self.run("versions", name, "--deleted", "--json"))["versions"]
            keep = ("version", "digest", "created", "message", "labels", "aliases", "format",
                    "entries", "bytes", "parent", "creator")
            models[name] = {
                "versions": [{k: v[k] for k in keep if k in v} for v in versions],
                "deleted": [v["version"] for v in deleted],
                "aliases": json.loads(self.run("show", name, "--json")).get("aliases", []),
                "retention": json.loads(self.run("retention", name, "--json"))["retention"],
                "moves": [(m["alias"], m["from"], m["to"])
                          for m in json.loads(self.run("alias", "log", name, "--json"))["moves"]]}
        return {"models": models, "schema": json.loads(self.run("schema", "team/net", "--bound"))}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ballast", required=True)
    parser.add_argument("--ballastd", required=True, action="append")
    parser.add_argument("--out", default=HERE)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        maker = Maker(args.ballast, folder)
        for number, ballastd in enumerate(args.ballastd, 1):
            maker.start(ballastd)
            maker.share(number)
            if number == len(args.ballastd):
                maker.finish()
                facts = maker.facts()
            maker.stop()
        with open(os.path.join(args.out, "store_1.json"), "w") as f:
            json.dump(facts, f, indent=1, sort_keys=True)
            f.write("\n")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=9) as tar:
            for top, _, names in sorted(os.walk(maker.data)):
                for name in sorted(names):
                    # RocksDB's diary is no part of what it reads.
                    if name == "LOCK" or name.startswith("LOG"):
                        continue
                    path = os.path.join(top, name)
                    tar.add(path, os.path.relpath(path, maker.data))
        with open(os.path.join(args.out, "store_1.tar.gz"), "wb") as f:
            f.write(archive.getvalue())
        print(len(archive.getvalue()), "bytes")


if __name__ == "__main__":
    main()
