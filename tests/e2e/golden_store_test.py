"""A data folder that earlier builds wrote is read by today's, whole, and goes on."""
import json
import os
import tarfile

import containers
import harness

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")


class GoldenStoreTest(harness.TestCase):
    WITH_SERVER = False

    def setUp(self):
        super().setUp()
        with tarfile.open(os.path.join(GOLDEN, "store_1.tar.gz")) as tar:
            tar.extractall(self.path("data"))
        with open(os.path.join(GOLDEN, "store_1.json")) as f:
            self.facts = json.load(f)

    def test_everything_is_read(self):
        at = {"server": self.start_server().address}
        models = {m["model"] for m in self.json("ls", **at)["models"]}
        self.assertEqual(models, set(self.facts["models"]))
        for name, want in self.facts["models"].items():
            versions = self.json("versions", name, **at)["versions"]
            self.assertEqual(len(versions), len(want["versions"]))
            for version, facts in zip(versions, want["versions"]):
                for field, value in facts.items():
                    self.assertEqual(version[field], value, f"{name}: {field}")
                out = self.pull(f"{name}:{version['version']}", f"out{version['version']}",
                                "--verify=sha256", "--force", **at)
                self.assertTrue(os.path.exists(out))
            deleted = self.json("versions", name, "--deleted", **at)["versions"]
            self.assertEqual([v["version"] for v in deleted], want["deleted"])
            self.assertEqual(self.json("retention", name, **at)["retention"], want["retention"])
            moves = self.json("alias", "log", name, **at)["moves"]
            self.assertEqual([[m["alias"], m["from"], m["to"]] for m in moves], want["moves"])
        self.assertEqual(json.loads(self.ok("schema", "team/net", "--bound", **at)),
                         self.facts["schema"])
        self.assertTrue(self.json("verify", "--all", **at)["ok"])

    def test_it_goes_on(self):
        server = self.start_server()
        at = {"server": server.address}
        before = self.facts["models"]["team/net"]
        newest = max([v["version"] for v in before["versions"]] + before["deleted"])
        data = b"\0" * 400
        path = harness.write(self.path("in"), containers.safetensors([("w", "float32", (100,), data)]))
        self.assertEqual(self.push(path, "team/net", **at)["version"], newest + 1)
        wrong = harness.write(self.path("wrong"),
                              containers.safetensors([("v", "float32", (100,), data)]))
        self.fails(harness.USAGE, "push", wrong, "team/net", "--nonsense", **at)
        refused = self.cli("push", wrong, "team/net", **at)
        self.assertEqual(refused.returncode, harness.SCHEMA)
        # Content that an earlier build pushed is known.
        self.pull("team/net:1", "first", "--format", "safetensors", **at)
        again = self.push(self.path("first"), "copy", **at)
        self.assertEqual(again["bytes_sent"], 0)
        for version in before["deleted"]:
            self.ok("undelete", f"team/net:{version}", **at)
        self.ok("gc", **at)
        server.stop()
        server.start()
        self.assertTrue(self.json("verify", server=server.address)["ok"])

    def test_a_newer_format_is_refused_in_a_line(self):
        with open(os.path.join(self.path("data"), "FORMAT")) as f:
            self.assertEqual(f.read(), "1\n")
        with open(os.path.join(self.path("data"), "FORMAT"), "w") as f:
            f.write("2\n")
        with self.assertRaises(RuntimeError) as failed:
            self.start_server()
        self.assertIn("format is 2, want at most 1: use a newer ballastd", str(failed.exception))


if __name__ == "__main__":
    harness.main()
