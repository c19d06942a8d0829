"""Damage on the disk, by the two real programs: found, named, never served, healed by a push."""
import glob
import json
import os

import containers
import harness


class RepairTest(harness.TestCase):
    WITH_SERVER = False

    def noise(self, seed, size):
        data = harness.rng(seed).randbytes(size)
        return harness.write(self.path(f"in{seed}"),
                             containers.safetensors([("w", "uint8", (size,), data)]))

    def flip(self, path, at):
        with open(path, "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1]))

    def test_a_damaged_block_is_named_and_healed(self):
        server = self.start_server()
        at = {"server": server.address}
        weights = self.noise(1, 3 << 20)
        self.push(weights, "net", **at)
        self.push(self.noise(2, 1 << 20), "other", **at)
        self.assertTrue(self.json("verify", **at)["ok"])
        self.assertIn(b"all sound", self.ok("verify", "net", "--rate", "1GB", **at))
        server.stop()
        files = sorted(glob.glob(os.path.join(self.path("data"), "db", "*.sst")), key=os.path.getsize)
        self.flip(files[-1], 1 << 20)
        server.start()
        at = {"server": server.address}

        found = self.cli("verify", "--all", "--json", **at)
        self.assertEqual(found.returncode, harness.INTEGRITY)
        self.assertEqual(found.stderr.count(b"\n"), 1)
        report = json.loads(found.stdout)
        self.assertEqual((report["ok"], report["damaged_blocks"], report["damaged_versions"]),
                         (False, 1, 1))
        self.assertEqual(report["damage"][0]["kind"], "unreadable")
        self.assertEqual(report["damage"][0]["versions"], ["net:1 (w)"])
        text = self.cli("verify", "net", **at)
        self.assertIn(b"hits net:1 (w)", text.stdout)
        self.fails(harness.INTEGRITY, "pull", "net", "-o", self.path("out"), **at)
        self.ok("pull", "other", "-o", self.path("other"), **at)

        # Remembered over a restart.
        server.stop()
        server.start()
        at = {"server": server.address}
        pushed = self.push(weights, "net", **at)
        self.assertEqual((pushed["bytes_sent"], pushed["bytes_new"]), (1 << 20, 1 << 20))
        self.ok("pull", "net:1", "-o", self.path("out"), "--verify=sha256", **at)
        self.assertTrue(self.json("verify", **at)["ok"])

    def test_a_store_that_cannot_be_opened_says_so_in_a_line(self):
        server = self.start_server()
        self.push(self.noise(1, 1000), "net", server=server.address)
        server.stop()
        manifest = glob.glob(os.path.join(self.path("data"), "db", "MANIFEST-*"))[0]
        self.flip(manifest, os.path.getsize(manifest) // 2)
        with self.assertRaises(RuntimeError):
            server.start()
        line = server.log().strip().splitlines()[-1]
        self.assertTrue(line.startswith("ballastd: opening the data folder: "), line)
        self.assertIn("the store is damaged: put a copy of the data folder back", line)

    def test_backup_and_restore(self):
        at = {"server": self.start_server("a").address}
        for seed in (1, 2, 3):
            self.push(self.noise(seed, 3 << 20), "team/net", "--message", f"seed {seed}", **at)
        self.ok("alias", "set", "team/net", "prod", "2", **at)
        self.ok("rm", "team/net:1", **at)
        folder = self.path("backup")
        saved = self.json("backup", folder, **at)
        self.assertEqual((saved["models"], saved["versions_new"], saved["bytes_new"]), (1, 2, 6 << 20))
        self.push(self.noise(4, 1 << 20), "other", **at)
        self.assertEqual(self.json("backup", folder, **at)["bytes_new"], 1 << 20)
        self.assertIn(b"0 B fetched", self.ok("backup", folder, **at))
        self.assertIn(b"all sound", self.ok("restore", folder, "--dry-run", server="unix:/nonexistent"))

        to = {"server": self.start_server("b").address}
        self.assertEqual(self.json("restore", folder, **to)["versions_new"], 3)
        again = self.json("restore", folder, **to)
        self.assertEqual((again["versions_new"], again["versions_there"], again["bytes_sent"]), (0, 3, 0))
        for name in ("team/net", "other"):
            self.assertEqual(self.json("versions", name, **to), self.json("versions", name, **at))
        self.ok("pull", "team/net@prod", "-o", self.path("out"), "--verify=sha256", **to)
        self.assertEqual(self.push(self.noise(5, 1000), "team/net", **to)["version"], 4)

        pack = sorted(glob.glob(os.path.join(folder, "packs", "*.pack")))[0]
        self.flip(pack, 1 << 20)
        checked = self.cli("restore", folder, "--dry-run")
        self.assertEqual(checked.returncode, harness.INTEGRITY)
        self.assertEqual(checked.stderr.count(b"\n"), 2, "a line for the model, and what it comes to")
        self.assertIn(pack.encode(), checked.stderr)
        self.assertEqual(checked.stdout, b"")
        fresh = {"server": self.start_server("c").address}
        failed = self.cli("restore", folder, **fresh)
        self.assertEqual(failed.returncode, harness.INTEGRITY)
        self.assertIn(b"warning: team/net:", failed.stderr)
        self.assertIn(b"1 model could not be restored: ", failed.stderr)
        self.assertIn(b"fails its SHA-256", failed.stderr)
        self.assertIn(b"1 model: 1 version restored", failed.stdout)

    def test_export_and_import(self):
        at = {"server": self.start_server("a").address}
        self.push(self.noise(1, 1000), "team/net", **at)
        self.push(self.noise(2, 1000), "secret", **at)
        folder = self.path("export")
        self.assertEqual(self.json("export", "team/net", folder, **at)["versions"], 1)
        self.ok("import", folder, "their/net", **at)
        self.assertEqual(self.json("versions", "their/net", **at)["versions"][0]["digest"],
                         self.json("versions", "team/net", **at)["versions"][0]["digest"])
        self.fails(harness.NOT_FOUND, "export", "nothing", self.path("x"), **at)
        self.fails(harness.NOT_FOUND, "import", self.path("x"), **at)

    def test_usage(self):
        for words in (["verify", "m", "--all"], ["verify", "--rate", "fast"]):
            self.fails(harness.USAGE, *words, server="unix:/nonexistent")


if __name__ == "__main__":
    harness.main()
