"""`ballast stats` of a real server, compared with what was pushed."""
import containers
import harness


class StatsTest(harness.TestCase):
    WITH_SERVER = False

    def model(self, seed, size=(2 << 20) + 5):
        data = harness.rng(seed).randbytes(size)
        return harness.write(self.path(f"in{seed}"), containers.safetensors(
            [("w", "uint8", (len(data),), data)]))

    def test_it_counts_models_versions_and_bytes(self):
        server = self.start_server()
        empty = self.json("stats", server=server.address)
        self.assertEqual((empty["models"], empty["versions"], empty["blocks"]), (0, 0, 0))
        size = (2 << 20) + 5
        for model in ("a", "a", "b"):
            self.push(self.model("one", size), model, server=server.address)
        stats = self.json("stats", "--exact", server=server.address)
        self.assertEqual((stats["models"], stats["versions"]), (2, 3))
        self.assertEqual(stats["logical_bytes"], 3 * size)
        # The tensor once, and three manifests or fewer.
        self.assertGreater(stats["block_bytes"], size)
        self.assertLess(stats["block_bytes"], size + (64 << 10))
        self.assertGreaterEqual(stats["blocks"], 4)
        self.assertGreater(stats["disk_bytes"], stats["disk_free_bytes"])
        names = {limit["name"] for limit in stats["limits"]}
        self.assertLessEqual({"streams_max", "stream_queue_max", "open_files", "aliases_max"}, names)

    def test_kept_counts_agree_with_exact_ones_also_after_a_restart(self):
        server = self.start_server()
        for seed in range(6):
            self.push(self.model(str(seed), 1000 if seed % 2 else 3 << 20), f"m{seed % 3}",
                      server=server.address)
        for _ in range(2):
            kept = self.json("stats", server=server.address)
            exact = self.json("stats", "--exact", server=server.address)
            for field in ("blocks", "block_bytes"):
                self.assertEqual(kept[field], exact[field], field)
            server.stop()
            server.start()

    def test_a_count_is_not_repeated_for_every_question(self):
        server = self.start_server()
        self.push(self.model("one"), "m", server=server.address)
        first = self.json("stats", server=server.address)
        self.push(self.model("one"), "m", server=server.address)
        second = self.json("stats", server=server.address)
        self.assertEqual(second["counted"], first["counted"])
        self.assertEqual(second["versions"], 1)
        exact = self.json("stats", "--exact", server=server.address)
        self.assertEqual(exact["versions"], 2)
        self.assertGreater(exact["counted"], first["counted"])

    def test_people_are_told_what_is_near_its_limit(self):
        config = harness.write(self.path("config"), b"[limits]\naliases_max = 2\n")
        server = self.start_server(args=("--config", config))
        self.push(self.model("one"), "m", "--alias", "a", server=server.address)
        text = self.ok("stats", "--exact", server=server.address).decode()
        self.assertIn("none is near", text)
        self.ok("alias", "set", "m", "b", "1", server=server.address)
        text = self.ok("stats", "--exact", server=server.address).decode()
        self.assertRegex(text, r"limits +near: aliases_max 2 of 2\n")
        self.assertRegex(text, r"models +1\n")
        self.assertRegex(text, r"stored +2\.0 MiB in \d+ blocks\n")
        self.assertRegex(text, r"disk +.* free of .*\n")

    def test_a_server_that_is_not_there_is_unavailable(self):
        self.fails(harness.UNAVAILABLE, "stats", server="unix:" + self.path("no.sock"))


if __name__ == "__main__":
    harness.main()
