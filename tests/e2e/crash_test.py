"""kill -9 at any moment: what was acknowledged is whole, nothing else is visible as torn."""
import subprocess
import threading

import containers
import harness

PUSHES = 200 if harness.LONG else 50


class CrashTest(harness.TestCase):
    WITH_SERVER = False

    def model(self, random, number):
        """A few tensors, some shared with earlier pushes, some small, some of several blocks."""
        shared = harness.rng(f"crash/shared{number % 5}").randbytes(1_500_000)
        own = random.randbytes(random.choice([10, 3000, 100_000, 2_500_000]))
        return harness.write(self.path(f"m{number}"), containers.dat(
            [("shared", "uint8", (len(shared),), shared), ("own", "uint8", (len(own),), own)]))

    def test_acknowledged_versions_survive_kill_9(self):
        random = harness.rng("crash")
        server = self.start_server(listen=("unix:" + self.path("b.sock"),))
        acknowledged = {}  # reference → (file, digest)
        kills = 0
        for number in range(PUSHES):
            path = self.model(random, number)
            args = [harness.ballast(), "--server", server.address, "push", path, "crash/m", "--json",
                    *(["--raw"] if random.random() < 0.3 else [])]
            process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       env=harness.clean_env())
            killer = None
            if random.random() < 0.5:
                kills += 1
                # The moment is the point: anywhere between the first byte and the answer.
                # The server comes back at once, so a client that tries again gets through.
                killer = threading.Timer(random.uniform(0, 0.08) * harness.SLOWER,
                                         lambda: (server.kill(), server.start()))
                killer.start()
            try:
                out, _ = process.communicate(timeout=harness.CLI_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                out = b""
            if process.returncode == 0:
                answer = harness.json.loads(out)
                acknowledged[answer["reference"]] = (path, answer["digest"])
            if killer:
                killer.join()
        self.assertGreater(kills, 5)
        self.assertGreater(len(acknowledged), 5)
        server.kill()
        server.start()
        self.check(server, acknowledged)

    def check(self, server, acknowledged):
        for reference, (path, digest) in acknowledged.items():
            out = self.path("out")
            self.ok("pull", reference, "-o", out, "--force",
                    "--verify=sha256", server=server.address)
            self.assertEqual(harness.sha256_file(out), harness.sha256_file(path), reference)
            again = self.push(path, "crash/again", server=server.address)
            self.assertEqual((again["digest"], again["bytes_new"]), (digest, 0))
        # Versions that were made but not acknowledged must be whole too.
        last = max(int(r.split(":")[1]) for r in acknowledged)
        for version in range(1, last + 3):
            done = self.cli("pull", f"crash/m:{version}", "-o", self.path("out"), "--force",
                            "--verify=sha256", server=server.address)
            self.assertIn(done.returncode, (harness.OK, harness.NOT_FOUND), done.stderr.decode())


if __name__ == "__main__":
    harness.main()
