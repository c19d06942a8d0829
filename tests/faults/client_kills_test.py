"""Pushes and pulls that lose their client, their network or their server go on where they were: what
travels twice is bounded for each loss, and in the end every digest is right."""
import os
import signal
import subprocess
import threading
import time

import faults
import containers
import harness

MIB = faults.MIB
TWICE = 4 * MIB              # may travel again for each loss of a client or network
BLOCK_FILE = 16 * MIB        # limits.block_file_bytes: and for each loss of the server
# HTTP/2 frames, message headers, the manifest and the handshake of an attempt.
OVERHEAD = 1.01
ATTEMPT = 64 << 10


class ClientKillsTest(harness.TestCase):
    WITH_SERVER = False

    def setUp(self):
        super().setUp()
        limits = faults.config(self.path("ballastd.ini"), block_file_bytes=BLOCK_FILE)
        self.server = self.start_server(args=limits)
        self.proxy = faults.Proxy(lambda: self.server.address)
        self.addCleanup(self.proxy.close)

    def model(self, name, size):
        random = harness.rng(f"client_kills/{name}")
        path = self.path(name)
        entries = [(f"t{n}", "uint8", (part,), random.randbytes(part))
                   for n, part in enumerate([size // 2, size // 3, size - size // 2 - size // 3])]
        return harness.write(path, containers.dat(entries))

    def spawn(self, *args):
        process = subprocess.Popen(
            [harness.ballast(), "--server", self.proxy.address, *args], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=harness.clean_env())
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def result(self, process):
        out, err = process.communicate(timeout=harness.CLI_LIMIT_S)
        self.assertEqual(process.returncode, harness.OK, err.decode(errors="replace"))
        return harness.json.loads(out)

    def check_travelled(self, what, size, hits, each):
        """What came to the proxy from clients: all of it once, and so much again for each hit."""
        twice = self.proxy.up - size
        print(f"\n{what} {hits} times: {twice / MIB:.2f} MiB of {size / MIB:.0f} MiB travelled again, "
              f"{twice / MIB / max(hits, 1):.2f} MiB for each", flush=True)
        self.assertGreaterEqual(self.proxy.up, size)
        self.assertLessEqual(self.proxy.up, size * OVERHEAD + hits * each + (hits + 1) * ATTEMPT)

    def check_stored(self, path, reference):
        out = self.pull(reference, "check", "--verify=sha256", "--force", server=self.server.address)
        self.assertEqual(harness.sha256_file(out), harness.sha256_file(path))

    def check_answer(self, answer, size, hits):
        """bytes_sent counts what was handed to gRPC: not less than what travelled as payload, and up
        to two messages more for each attempt."""
        self.assertGreaterEqual(answer["retries"], hits)
        self.assertGreaterEqual(answer["bytes_sent"], self.proxy.up / OVERHEAD - (hits + 1) * ATTEMPT)
        self.assertLessEqual(answer["bytes_sent"], self.proxy.up + (answer["retries"] + 1) * 4 * MIB)

    def test_a_push_whose_client_is_killed(self):
        kills = faults.kills(12, 150)
        size = (8 * kills + 40) * MIB // 2
        path = self.model("in", size)
        random = harness.rng("client_kills/client")
        push = ("push", path, "killed/m", "--json", "--request-id", "the-one", "--no-progress")
        hits = 0
        while hits < kills:
            process = self.spawn(*push)
            after = self.proxy.up + random.randrange(1, 8 * MIB)
            if not self.proxy.wait("up", after, lambda: process.poll() is None):
                break
            process.send_signal(random.choice([signal.SIGKILL, signal.SIGTERM]))
            process.wait()
            hits += 1
        answer = self.result(self.spawn(*push))
        self.check_travelled("client killed", size, hits, TWICE)
        self.assertGreaterEqual(hits, kills // 3)
        self.assertEqual(answer["version"], 1)
        self.check_stored(path, "killed/m:1")

    def test_a_push_whose_network_is_cut(self):
        cuts = faults.kills(12, 150)
        size = (8 * cuts + 40) * MIB // 2
        path = self.model("in", size)
        random = harness.rng("client_kills/network")
        process = self.spawn("push", path, "cut/m", "--json", "--no-progress", "--retry-for", "60")
        hits = 0
        while hits < cuts:
            after = self.proxy.up + random.randrange(1, 8 * MIB)
            if not self.proxy.wait("up", after, lambda: process.poll() is None):
                break
            self.proxy.cut()
            hits += 1
        answer = self.result(process)
        self.check_travelled("network cut", size, hits, TWICE)
        self.assertGreaterEqual(hits, cuts // 3)
        self.check_answer(answer, size, hits)
        self.check_stored(path, "cut/m:1")

    def test_a_push_whose_server_is_killed(self):
        kills = faults.kills(8, 60)
        size = (12 * kills + 60) * MIB
        path = self.model("in", size)
        random = harness.rng("client_kills/server")
        process = self.spawn("push", path, "server/m", "--json", "--no-progress", "--retry-for", "60")
        hits = 0
        while hits < kills:
            after = self.proxy.up + random.randrange(4 * MIB, 30 * MIB)
            if not self.proxy.wait("up", after, lambda: process.poll() is None):
                break
            self.server.kill()
            self.server.start()
            hits += 1
        answer = self.result(process)
        self.check_travelled("server killed", size, hits, BLOCK_FILE)
        self.assertGreaterEqual(hits, 3)
        self.check_answer(answer, size, hits)
        self.check_stored(path, "server/m:1")

    def test_a_pull_whose_server_is_killed(self):
        kills = faults.kills(5, 40)
        size = (20 * kills + 40) * MIB
        path = self.model("in", size)
        self.push(path, "pulled/m", server=self.server.address)
        random = harness.rng("client_kills/pull")
        out = self.path("out")
        process = self.spawn("pull", "pulled/m", "-o", out, "--json", "--no-progress",
                             "--retry-for", "60", "--verify=sha256")
        hits = 0
        while hits < kills:
            after = self.proxy.down + random.randrange(4 * MIB, 30 * MIB)
            if not self.proxy.wait("down", after, lambda: process.poll() is None):
                break
            if random.random() < 0.5:
                self.server.kill()
                self.server.start()
            else:
                self.proxy.cut()
            hits += 1
        answer = self.result(process)
        print(f"\npull interrupted {hits} times, {answer['retries']} retries: "
              f"{(self.proxy.down - size) / MIB:.2f} MiB of {size / MIB:.0f} MiB came again",
              flush=True)
        self.assertGreaterEqual(hits, 2)
        self.assertEqual(harness.sha256_file(out), harness.sha256_file(path))

    def test_a_killed_pull_leaves_no_file_and_says_how_to_go_on(self):
        path = self.model("in", 40 * MIB)
        self.push(path, "left/m", server=self.server.address)
        for number in (signal.SIGKILL, signal.SIGTERM):
            process = self.spawn("pull", "left/m", "-o", self.path("out"), "--no-progress")
            self.assertTrue(self.proxy.wait("down", self.proxy.down + 5 * MIB,
                                            lambda: process.poll() is None))
            process.send_signal(number)
            _, err = process.communicate(timeout=harness.CLI_LIMIT_S)
            if process.returncode == harness.OK:
                os.unlink(self.path("out"))  # it was faster
                continue
            self.assertEqual(set(os.listdir(self.folder)) & {"out"}, set())
            if number == signal.SIGTERM:
                self.assertEqual(process.returncode, harness.UNAVAILABLE)
                self.assertIn(f"; to pull it again: {harness.ballast()} --server", err.decode())

    def test_giving_up_says_how_to_go_on_and_that_goes_on(self):
        size = 60 * MIB
        path = self.model("in", size)
        process = self.spawn("push", path, "given/up", "--no-progress", "--retry-for", "0")
        self.assertTrue(self.proxy.wait("up", 40 * MIB, lambda: process.poll() is None))
        self.proxy.cut()
        _, err = process.communicate(timeout=harness.CLI_LIMIT_S)
        self.assertEqual(process.returncode, harness.UNAVAILABLE, err)
        line = err.decode()
        self.assertIn("; to go on: ", line)
        command = line.rstrip("\n").split("; to go on: ")[1]
        done = subprocess.run(["/bin/sh", "-c", command + " --json"], capture_output=True,
                              env=harness.clean_env(), timeout=harness.CLI_LIMIT_S)
        self.assertEqual(done.returncode, harness.OK, done.stderr)
        answer = harness.json.loads(done.stdout)
        # How much is in the proxy and in sockets when it is cut depends on who runs when.
        self.assertLess(answer["bytes_sent"], size)
        self.check_stored(path, "given/up:1")

    def test_a_collection_after_a_crash_waits_for_nobody(self):
        size = 60 * MIB
        path = self.model("in", size)
        process = self.spawn("push", path, "gone/m", "--no-progress", "--retry-for", "0")
        self.assertTrue(self.proxy.wait("up", 40 * MIB, lambda: process.poll() is None))
        self.server.kill()
        process.wait()
        self.server.start()
        begun = time.monotonic()
        report = self.json("gc", server=self.server.address)
        self.assertLess(time.monotonic() - begun, 20 * harness.SLOWER, "the lease is a minute")
        self.assertEqual(report["blocks_freed"], 0, "the push may come back")
        again = self.push(path, "gone/m", server=self.server.address)
        self.assertLess(again["bytes_sent"], size, "nothing of what came was kept")

    def test_a_second_collection_is_told_to_try_again(self):
        self.push(self.model("in", 100), "m", server=self.server.address)
        codes, errors = [], []

        def collect():
            for _ in range(10):
                done = self.cli("gc", server=self.server.address)
                codes.append(done.returncode)
                errors.append(done.stderr)
        threads = [threading.Thread(target=collect) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLessEqual(set(codes), {harness.OK, harness.UNAVAILABLE}, errors)
        self.assertIn(harness.OK, codes)
        for error in errors:
            self.assertTrue(error == b"" or b"a collection is running" in error, error)


if __name__ == "__main__":
    faults.main()
