"""`ballast watch` against real servers: restarts, signals, and the threads that it may take."""
import json
import os
import re
import signal
import subprocess
import threading
import time

import harness


class Watch:
    """A running `ballast watch`; lines are read as they come."""

    def __init__(self, server, *args):
        self.process = subprocess.Popen(
            [harness.ballast(), "watch", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=harness.clean_env(BALLAST_SERVER=server))
        self.guard = threading.Timer(harness.CLI_LIMIT_S, self.process.kill)
        self.guard.start()

    def line(self):
        return self.process.stdout.readline().decode().rstrip("\n")

    def event(self):
        return json.loads(self.line())

    def end(self, signal_number=None):
        """Its exit code and stderr."""
        if signal_number is not None:
            self.process.send_signal(signal_number)
        _, err = self.process.communicate(timeout=harness.CLI_LIMIT_S)
        self.guard.cancel()
        return self.process.returncode, err.decode()


class WatchTest(harness.TestCase):
    WITH_SERVER = False

    def setUp(self):
        super().setUp()
        # A socket keeps its name over a restart.
        self.listen = (f"unix:{self.path('s')}",)
        self.registry = self.start_server("data", listen=self.listen)
        self.file = os.path.join(self.folder, "w.safetensors")
        header = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
        harness.write(self.file, len(header).to_bytes(8, "little") + header + b"data")

    def address(self):
        return self.registry.address

    def test_events_come_as_they_happen_and_a_restart_loses_none(self):
        self.push(self.file, "m")
        watch = Watch(self.address(), "m", "--json", "--count", "5")
        self.assertEqual(watch.event()["event"], "watching")
        self.push(self.file, "m", "--alias", "prod", "--message", "two")
        published = watch.event()
        self.assertEqual((published["event"], published["reference"], published["message"]),
                         ("published", "m:2", "two"))
        moved = watch.event()
        self.assertEqual((moved["event"], moved["alias"], moved["from"], moved["to"]),
                         ("moved", "prod", None, 2))
        begun = time.monotonic()
        self.assertEqual(self.registry.stop(), 0)
        self.assertLess(time.monotonic() - begun, 8 * harness.SLOWER,
                        "a watch holds the server's stop up for the whole grace")
        self.registry = self.start_server("data", listen=self.listen)
        self.push(self.file, "m")
        self.push(self.file, "m")
        self.ok("alias", "rm", "m", "prod")
        events = [watch.event() for _ in range(3)]
        self.assertEqual([e.get("reference", e.get("alias")) for e in events[:2]], ["m:3", "m:4"])
        self.assertEqual((events[2]["from"], events[2]["to"]), (2, None))
        self.assertEqual(watch.end(), (0, ""))
        # Each token goes on right behind its event; versions come first.
        again = Watch(self.address(), "m", "--json", "--count", "3", "--since", published["token"])
        again.event()
        self.assertEqual([again.event()["reference"] for _ in range(2)], ["m:3", "m:4"])
        del moved["token"]
        self.assertLessEqual(moved.items(), again.event().items())
        self.assertEqual(again.end(), (0, ""))

    def test_a_signal_ends_it_well_and_says_how_to_go_on(self):
        self.push(self.file, "m", "--alias", "prod")
        watch = Watch(self.address(), "m@prod", "--json")
        token = watch.event()["token"]
        self.assertEqual(watch.end(signal.SIGINT), (0, ""))
        self.push(self.file, "m", "--alias", "prod")
        watch = Watch(self.address(), "m@prod", "--since", token)
        self.assertRegex(watch.line(), r"m@prod  moved from version 1 to 2 by anonymous$")
        code, err = watch.end(signal.SIGINT)
        self.assertEqual(code, 0)
        go_on = re.fullmatch(r"ballast: to go on: (\S+ .* --since \S+)\n", err)
        self.assertIsNotNone(go_on, err)
        self.assertEqual(go_on.group(1).count("--since"), 1)
        self.push(self.file, "m", "--alias", "prod")
        done = subprocess.run(go_on.group(1) + " --count 1", shell=True, capture_output=True,
                              env=harness.clean_env(BALLAST_SERVER=self.address()), check=True)
        line = done.stdout.decode()
        self.assertIn("moved from version 2 to 3", line)

    def test_what_cannot_be_watched_is_refused(self):
        self.push(self.file, "m")
        self.fails(harness.NOT_FOUND, "watch", "no/such", says="no such model")
        self.fails(harness.USAGE, "watch", "m:1", says="want MODEL or MODEL@ALIAS")
        self.fails(harness.USAGE, "watch", "M", says="upper-case")
        self.fails(harness.USAGE, "watch", "m", "--since", "x", says="page token")
        self.fails(harness.USAGE, "watch", "m", "--count", "0", says="--count")

    def test_watches_take_no_threads_of_others_and_no_more_than_their_own(self):
        config = self.path("ballastd.conf")
        harness.write(config, b"[limits]\nwatches_max = 3\nstreams_max = 1\n")
        server = self.start_server("small", args=("--config", config))
        self.push(self.file, "m", server=server.address)
        watches = [Watch(server.address, "m", "--json") for _ in range(3)]
        start = [watch.event()["token"] for watch in watches][0]
        self.fails(harness.UNAVAILABLE, "watch", "m", server=server.address, says="try again")
        self.push(self.file, "m", server=server.address)
        for watch in watches:
            self.assertEqual(watch.event()["reference"], "m:2")
        usage = {u["name"]: u for u in self.json("stats", server=server.address)["limits"]}
        self.assertEqual(usage["watches_max"]["used"], 3)
        self.assertEqual(watches.pop().end(signal.SIGINT), (0, ""))
        harness.wait_until(
            lambda: self.cli("watch", "m", "--count", "1", "--since", start,
                             server=server.address).returncode == harness.OK,
            harness.START_LIMIT_S, "a watch that ended makes room")
        for watch in watches:
            self.assertEqual(watch.end(signal.SIGINT), (0, ""))


if __name__ == "__main__":
    harness.main()
