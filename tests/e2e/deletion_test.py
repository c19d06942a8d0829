"""rm, undelete, retention, alias log, gc: by the two real programs, with the disk looked at."""
import os

import containers
import harness

MIB = 1 << 20


def folder_bytes(path):
    return sum(os.path.getsize(os.path.join(top, name))
               for top, _, names in os.walk(path) for name in names)


class DeletionTest(harness.TestCase):
    WITH_SERVER = False

    def server_without_window(self):
        config = self.path("ballastd.ini")
        with open(config, "w") as f:
            f.write("[limits]\nundelete_window_ms = 0\n")
        return self.start_server(args=("--config", config))

    def push_noise(self, model, seed, size=3 * MIB, *args, **options):
        data = harness.rng(seed).randbytes(size)
        path = harness.write(self.path("in"), containers.safetensors([("w", "uint8", (size,), data)]))
        return self.push(path, model, *args, **options)

    def test_a_deleted_version_comes_back(self):
        at = {"server": self.start_server().address}
        for seed in range(3):
            self.push_noise("m", seed, **at)
        deleted = self.json("rm", "m:3", **at)
        self.assertEqual((deleted["reference"], deleted["deleted"]), ("m:3", 1))
        self.fails(harness.NOT_FOUND, "pull", "m:3", "-o", self.path("x"), says="m:3: the version is deleted", **at)
        self.assertEqual(self.json("show", "m", **at)["version"], 2)
        listed = self.json("versions", "m", "--deleted", **at)["versions"]
        self.assertEqual([v["version"] for v in listed], [3])
        self.assertEqual(listed[0]["deleted"]["until"], deleted["until"])
        self.assertIn(b"anonymous", self.ok("versions", "m", "--deleted", **at))
        self.assertEqual(self.json("gc", **at)["bytes_freed"], 0)
        self.assertEqual(self.json("undelete", "m:3", **at)["version"], 3)
        out = self.path("back")
        self.ok("pull", "m:3", "-o", out, "--verify=sha256", **at)
        self.fails(harness.FAILURE, "undelete", "m:3", says="is not deleted", **at)
        self.fails(harness.NOT_FOUND, "undelete", "m:9", says="m:9: no such version", **at)

    def test_what_an_alias_names_stays(self):
        at = {"server": self.start_server().address}
        self.push_noise("m", 1, 1000, "--alias", "prod", **at)
        self.fails(harness.FAILURE, "rm", "m:1", says="m:1: the version has the alias prod", **at)
        self.fails(harness.FAILURE, "rm", "m", "--all-versions", says="alias prod", **at)
        self.assertEqual(self.json("rm", "m", "--all-versions", "--force", **at)["deleted"], 1)
        self.assertEqual(self.json("ls", **at)["models"], [])
        moves = self.json("alias", "log", "m", **at)["moves"]
        self.assertEqual([(m["alias"], m["from"], m["to"]) for m in moves],
                         [("prod", 1, None), ("prod", None, 1)])
        self.assertIn(b"anonymous", self.ok("alias", "log", "m", "prod", **at))
        self.assertEqual(self.push_noise("m", 2, 1000, **at)["version"], 2)

    def test_space_returns_to_the_disk(self):
        server = self.server_without_window()
        at = {"server": server.address}
        self.push_noise("keep", 0, 2 * MIB, **at)
        empty = folder_bytes(server.data_dir)
        for seed in range(1, 9):
            self.push_noise("m", seed, 8 * MIB, **at)
            self.push_noise("small", 100 + seed, 50_000, **at)
        full = folder_bytes(server.data_dir)
        self.assertGreater(full, empty + 64 * MIB)
        self.ok("rm", "m", "--all-versions", **at)
        self.ok("rm", "small", "--all-versions", **at)
        dry = self.json("gc", "--dry-run", **at)
        self.assertEqual(len(dry["deletions"]), 16)
        self.assertEqual({d["reason"] for d in dry["deletions"]}, {"removed"})
        self.assertEqual(sum(d["bytes_exclusive"] for d in dry["deletions"]), dry["bytes_freed"])
        self.assertGreaterEqual(folder_bytes(server.data_dir), full)
        self.assertIn(b"would be freed", self.ok("gc", "--dry-run", **at))
        done = self.json("gc", **at)
        self.assertEqual(done["bytes_freed"], dry["bytes_freed"])
        self.assertLess(folder_bytes(server.data_dir), empty + MIB)
        self.ok("pull", "keep", "-o", self.path("out"), "--verify=sha256", **at)
        self.assertEqual(self.json("gc", **at)["bytes_freed"], 0)

    def test_retention_keeps_what_a_rule_names(self):
        at = {"server": self.start_server().address}
        for seed in range(6):
            label = ["--label", "release=1.0"] if seed == 1 else []
            self.push_noise("m", seed, 1000, *label, **at)
        self.ok("alias", "set", "m", "prod", "1", **at)
        self.assertIn(b"keeps every version", self.ok("retention", "m", **at))
        rules = self.json("retention", "m", "--keep-last", "2", "--keep-label", "release", **at)
        self.assertEqual(rules["retention"], {"keep_last": 2, "keep_newer_than_ms": None,
                                              "keep_labelled": ["release"]})
        self.assertEqual(self.json("retention", "m", **at), rules)
        dry = self.json("gc", "--dry-run", **at)
        self.assertEqual([d["reference"] for d in dry["deletions"]], ["m:4", "m:3"])
        self.assertEqual(self.json("gc", **at)["versions_deleted"], 2)
        live = [v["version"] for v in self.json("versions", "m", **at)["versions"]]
        self.assertEqual(live, [6, 5, 2, 1])
        text = self.ok("retention", "m", "--keep-newer-than", "30d", **at)
        self.assertIn(b"those newer than 30d", text)
        self.assertIsNone(self.json("retention", "m", "--keep-all", **at)["retention"])

    def test_show_tells_what_is_its_own(self):
        at = {"server": self.start_server().address}
        self.push_noise("m", 1, 2 * MIB, **at)
        alone = self.json("show", "m", **at)
        self.assertGreater(alone["bytes_exclusive"], 2 * MIB)
        self.assertEqual(alone["bytes_shared"], 0)
        self.push_noise("n", 1, 2 * MIB, **at)
        self.assertEqual(self.json("show", "m", **at)["bytes_shared"], alone["bytes_exclusive"])
        self.assertIn(b"0 B its own", self.ok("show", "m", **at))

    def test_gc_runs_by_itself(self):
        config = self.path("ballastd.ini")
        with open(config, "w") as f:
            f.write("gc-interval-ms = 100\n[limits]\nundelete_window_ms = 0\n")
        server = self.start_server(args=("--config", config))
        at = {"server": server.address}
        self.push_noise("m", 1, 1000, **at)
        self.ok("rm", "m:1", **at)
        harness.wait_until(lambda: not self.json("versions", "m", "--deleted", **at)["versions"], 60,
                           "the deleted version to be removed")
        harness.wait_until(lambda: "removed_versions=1" in server.log(), 60, "the log line")

    def test_usage(self):
        for words in (["rm", "m"], ["rm", "m@prod"], ["undelete", "m"], ["gc", "now"],
                      ["retention", "m", "--keep-newer-than", "soon"]):
            self.fails(harness.USAGE, *words, server="unix:/nonexistent")


if __name__ == "__main__":
    harness.main()
