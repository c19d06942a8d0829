"""Drives the real programs: a server on a free port or a unix socket, and the command line.

Every wait has a deadline, everything that is started is stopped by its process id.
BALLAST_BIN_DIR names the folder of `ballast` and `ballastd`.
"""
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BIN_DIR = os.environ.get("BALLAST_BIN_DIR", "")
SANITIZED = os.environ.get("BALLAST_SANITIZE", "")  # asan, tsan or empty
LONG = os.environ.get("BALLAST_LONG", "") == "1"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLOWER = 10 if SANITIZED else 1  # how much longer a sanitized program may take
START_LIMIT_S = 30 * SLOWER
STOP_LIMIT_S = 30 * SLOWER
CLI_LIMIT_S = 120 * SLOWER
SKIPPED = 77  # ctest's SKIP_RETURN_CODE

OK, FAILURE, USAGE, NOT_FOUND, SCHEMA, INTEGRITY, NOT_ALLOWED, UNAVAILABLE = range(8)


def ballast():
    return os.path.join(BIN_DIR, "ballast")


def ballastd():
    return os.path.join(BIN_DIR, "ballastd")


def skip_all(reason):
    """Ends the test program as skipped."""
    print("skipped: " + reason)
    sys.exit(SKIPPED)


def clean_env(**more):
    """This process's environment without what would steer `ballast`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("BALLAST_")}
    env.update({k: v for k, v in more.items() if v is not None})
    return env


class Server:
    """A `ballastd`. `listen` may name several listeners; `address` is the first one's."""

    def __init__(self, data_dir, listen=("127.0.0.1:0",), args=(), env=None, log=None):
        self.data_dir = data_dir
        self.argv = [ballastd(), "--data-dir", data_dir]
        for address in listen:
            self.argv += ["--listen", address]
        self.argv += list(args)
        self.listeners = len(listen) or 1
        self.env = env
        self.log_path = log or data_dir.rstrip("/") + ".log"
        self.process = None
        self.addresses = []

    def start(self):
        log = open(self.log_path, "ab")
        with log:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=clean_env(**(self.env or {})))
        guard = threading.Timer(START_LIMIT_S, self.process.kill)
        guard.start()
        try:
            self.addresses = []
            for _ in range(self.listeners):
                line = self.process.stdout.readline().decode()
                if not line.startswith("listening on "):
                    self.process.wait(timeout=STOP_LIMIT_S)
                    raise RuntimeError(f"server said {line!r}; log:\n{self.log()}")
                self.addresses.append(line[len("listening on "):].rstrip("\n"))
        finally:
            guard.cancel()
        return self

    @property
    def address(self):
        return self.addresses[0]

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, signal_number=signal.SIGTERM):
        """Asks the server to end and returns its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            code = self.process.wait(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "did not stop in time"
        self.process.stdout.close()
        self.process = None
        return code

    def kill(self):
        """kill -9."""
        self.stop(signal.SIGKILL)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def peak_rss_bytes(self):
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) * 1024

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.stop()


def run_cli(*args, server=None, stdin=b"", env=None, limit_s=CLI_LIMIT_S, cwd=None):
    """Runs `ballast`; the result has returncode, stdout and stderr (bytes)."""
    more = dict(env or {})
    if server is not None:
        more["BALLAST_SERVER"] = server
    done = subprocess.run([ballast(), *map(str, args)], input=stdin, capture_output=True,
                          timeout=limit_s, env=clean_env(**more), cwd=cwd)
    for word in (b"AddressSanitizer", b"runtime error:", b"ThreadSanitizer", b"LeakSanitizer"):
        if word in done.stderr:
            raise AssertionError(f"sanitizer report of {args}:\n{done.stderr.decode(errors='replace')}")
    return done


def sha256_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)
    return path


class TestCase(unittest.TestCase):
    """A temporary folder per test, and one server per class if WITH_SERVER."""

    WITH_SERVER = True
    SERVER_ARGS = ()

    @classmethod
    def setUpClass(cls):
        cls.class_folder = tempfile.mkdtemp(prefix="ballast-e2e-")
        cls.addClassCleanup(shutil.rmtree, cls.class_folder, True)
        cls.server = None
        if cls.WITH_SERVER:
            cls.server = Server(os.path.join(cls.class_folder, "data"), args=cls.SERVER_ARGS)
            cls.addClassCleanup(cls.server.stop)
            cls.server.start()

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="ballast-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def tearDown(self):
        server = type(self).server
        if server is not None and not server.running():
            self.fail("the server died; its log ends:\n" + server.log()[-4000:])

    def path(self, name):
        return os.path.join(self.folder, name)

    def start_server(self, name="data", **options):
        """A server of this test's own; stopped at the end if the test does not."""
        server = Server(self.path(name), **options)
        self.addCleanup(server.stop)
        return server.start()

    def address(self):
        return type(self).server.address if type(self).server else None

    def cli(self, *args, server=None, **options):
        return run_cli(*args, server=server or self.address(), **options)

    def ok(self, *args, **options):
        """Runs a command that must succeed; returns its stdout."""
        done = self.cli(*args, **options)
        self.assertEqual(done.returncode, OK, f"{args}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def json(self, *args, **options):
        return json.loads(self.ok(*args, "--json", **options))

    def fails(self, code, *args, says=(), **options):
        """Runs a command that must fail with `code`, one line on stderr and nothing on stdout."""
        done = self.cli(*args, **options)
        text = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, code, f"{args}: stderr: {text}")
        self.assertEqual(done.stdout, b"", f"{args}: stdout of a failure")
        self.assertEqual(text.count("\n"), 1, f"{args}: want one line, got {text!r}")
        self.assertTrue(text.startswith("ballast: "), text)
        self.assertTrue(text.endswith("\n"), text)
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part.lower(), text.lower())
        return text

    def push(self, path, model, *args, **options):
        return self.json("push", path, model, *args, **options)

    def pull(self, reference, name, *args, **options):
        """Pulls to a file of this test's folder and returns its path."""
        out = self.path(name)
        self.ok("pull", reference, "-o", out, *args, **options)
        return out


def wait_until(condition, limit_s, what):
    """Polls; fails after the deadline. For what has no event to wait on."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.02)


def rng(seed):
    """Seeded, so that a failure can be repeated; BALLAST_SEED chooses another run."""
    return random.Random(f"{os.environ.get('BALLAST_SEED', '0')}/{seed}")


def main():
    if not os.path.exists(ballast()):
        skip_all(f"no ballast in BALLAST_BIN_DIR ({BIN_DIR!r})")
    unittest.main(verbosity=2)
