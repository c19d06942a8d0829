"""kill -9 of the server at random moments, under pushes, pulls, alias moves, deletions, undeletions
and collections: nothing that was acknowledged is lost, nothing torn is visible, no block of a
visible version is missing, and no orphan outlives a collection."""
import collections
import contextlib
import hashlib
import threading
import time

import faults
import containers
import harness

WORKERS = 3
LIVE_MAX = 7      # versions of a model that a worker keeps
WINDOW_S = 2      # a deleted version comes back so long
PATIENCE_S = 120 * harness.SLOWER
SHARED = 5        # pieces that versions of all models have in common

File = collections.namedtuple("File", "sha256 digest")


class Worker(threading.Thread):
    """Does one thing after the other with models of its own, and knows what must be there. Holds its
    lock while it does something: whoever has it sees a registry at rest, as far as this worker goes."""

    def __init__(self, test, number, address):
        super().__init__(daemon=True)
        self.test, self.address = test, address
        self.random = harness.rng(f"server_kills/{number}")
        self.folder = test.path(f"worker{number}")
        self.models = [f"w{number}/a", f"w{number}/b"]
        self.live = {model: {} for model in self.models}     # version → File
        self.deleted = {model: {} for model in self.models}  # version → (File, since when)
        self.aliases = {model: {} for model in self.models}  # name → version
        self.counts = collections.Counter()
        self.lock = threading.Lock()
        self.stopping = False
        self.failure = None
        self.requests = 0

    def run(self):
        choices = [(40, self.push), (20, self.pull), (15, self.move_alias), (12, self.delete),
                   (8, self.undelete), (5, self.collect)]
        try:
            while not self.stopping:
                with self.lock:
                    what, = self.random.choices([f for _, f in choices], [w for w, _ in choices])
                    model = self.random.choice(self.models)
                    what(model)
                    self.counts[what.__name__] += 1
        except BaseException as e:  # told by the main thread
            self.failure = e

    def cli(self, *args):
        """Until the answer is one: (result, whether an earlier try may have done it)."""
        end = time.monotonic() + PATIENCE_S
        tried = False
        while True:
            done = harness.run_cli(*args, server=self.address)
            if done.returncode != harness.UNAVAILABLE:
                return done, tried
            if time.monotonic() > end:
                raise AssertionError(f"{args}: unavailable for {PATIENCE_S} s: {done.stderr!r}")
            tried = True
            self.counts["tried again"] += 1

    def expect(self, done, code, what):
        if done.returncode != code:
            raise AssertionError(f"{what}: exit code {done.returncode}, want {code}: "
                                 f"{done.stderr.decode(errors='replace')}")

    def push(self, model):
        shared = harness.rng(f"server_kills/shared{self.random.randrange(SHARED)}").randbytes(300_000)
        own = self.random.randbytes(self.random.choice([10, 3000, 100_000, 1_300_000, 2_600_000]))
        data = containers.dat([("shared", "uint8", (len(shared),), shared),
                               ("own", "uint8", (len(own),), own)])
        harness.write(self.folder, data)
        self.requests += 1
        raw = ["--raw"] if self.random.random() < 0.2 else []
        done, _ = self.cli("push", self.folder, model, "--json", "--retry-for", "30", "--request-id",
                           f"request-{self.requests}", *raw)
        self.expect(done, harness.OK, "push")
        answer = harness.json.loads(done.stdout)
        newest = max([0, *self.live[model], *self.deleted[model]])
        if answer["version"] <= newest:
            raise AssertionError(f"{answer['reference']}: the number was given before")
        self.live[model][answer["version"]] = File(hashlib.sha256(data).hexdigest(),
                                                   answer["digest"])
        self.counts["retries"] += answer["retries"]
        if len(self.live[model]) > LIVE_MAX:
            self.delete(model)

    def pull(self, model):
        if self.live[model]:
            self.pull_version(model, self.random.choice(list(self.live[model])))

    def pull_version(self, model, version):
        out = self.folder + ".out"
        done, _ = self.cli("pull", f"{model}:{version}", "-o", out, "--force", "--verify=sha256",
                           "--retry-for", "30")
        self.expect(done, harness.OK, f"pull of {model}:{version}")
        if harness.sha256_file(out) != self.live[model][version].sha256:
            raise AssertionError(f"{model}:{version}: other bytes came than were pushed")

    def move_alias(self, model):
        if not self.live[model]:
            return
        version, name = self.random.choice(list(self.live[model])), self.random.choice(["prod", "test"])
        done, _ = self.cli("alias", "set", model, name, f"{model}:{version}")
        self.expect(done, harness.OK, "alias set")
        self.aliases[model][name] = version

    def delete(self, model):
        free = [v for v in self.live[model] if v not in self.aliases[model].values()]
        if not free:
            return
        version, since = self.random.choice(free), time.monotonic()
        done, tried = self.cli("rm", f"{model}:{version}")
        if not (tried and b"is deleted" in done.stderr):
            self.expect(done, harness.OK, f"rm of {model}:{version}")
        self.deleted[model][version] = (self.live[model].pop(version), since)

    def undelete(self, model):
        if not self.deleted[model]:
            return
        version = self.random.choice(list(self.deleted[model]))
        done, tried = self.cli("undelete", f"{model}:{version}")
        file, since = self.deleted[model].pop(version)
        if done.returncode == harness.NOT_FOUND:
            self.check_window(model, version, since)
            return
        if not (tried and b"is not deleted" in done.stderr):
            self.expect(done, harness.OK, f"undelete of {model}:{version}")
        self.live[model][version] = file

    def check_window(self, model, version, since):
        held = time.monotonic() - since
        if held < WINDOW_S:
            raise AssertionError(f"{model}:{version}: removed {held} s after its deletion")

    def collect(self, _):
        done = harness.run_cli("gc", server=self.address)
        if done.returncode not in (harness.OK, harness.UNAVAILABLE):
            raise AssertionError(f"gc: {done.stderr!r}")


class ServerKillsTest(harness.TestCase):
    WITH_SERVER = False

    def setUp(self):
        super().setUp()
        limits = faults.config(self.path("ballastd.ini"), undelete_window_ms=WINDOW_S * 1000,
                               push_lease_ms=1000, block_file_bytes=2 * faults.MIB)
        self.server = self.start_server(listen=("unix:" + self.path("b.sock"),), args=limits)
        self.workers = [Worker(self, n, self.server.address) for n in range(WORKERS)]
        self.addCleanup(self.stop)

    def stop(self):
        for worker in self.workers:
            worker.stopping = True
        for worker in self.workers:
            worker.join(PATIENCE_S)

    @contextlib.contextmanager
    def at_rest(self, worker):
        """While the worker does nothing."""
        self.assertTrue(worker.lock.acquire(timeout=PATIENCE_S))
        try:
            if worker.failure is not None:
                raise worker.failure
            yield
        finally:
            worker.lock.release()

    def query(self, *args):
        return self.json(*args, server=self.server.address)

    def check_model(self, worker, model):
        """What is listed is what must be there, and nothing else."""
        listed = self.query("versions", model)["versions"] if self.exists(worker, model) else []
        self.assertEqual({v["version"]: v["digest"] for v in listed},
                         {n: file.digest for n, file in worker.live[model].items()}, model)
        aliases = {name: v["version"] for v in listed for name in v["aliases"]}
        self.assertEqual(aliases, worker.aliases[model], model)

    def exists(self, worker, model):
        return bool(worker.live[model] or worker.deleted[model])

    def check_deleted(self, worker, model):
        listed = self.query("versions", model, "--deleted")["versions"] if self.exists(worker, model) else []
        numbers = {v["version"] for v in listed}
        self.assertLessEqual(numbers, set(worker.deleted[model]), model)
        for version in set(worker.deleted[model]) - numbers:
            worker.check_window(model, version, worker.deleted[model].pop(version)[1])

    def check_everything(self, collect):
        """With all workers at rest. `collect`: afterwards a collection leaves no orphan."""
        with contextlib.ExitStack() as stack:
            for worker in self.workers:
                stack.enter_context(self.at_rest(worker))
            for worker in self.workers:
                for model in worker.models:
                    self.check_model(worker, model)
                    self.check_deleted(worker, model)
                    for version in worker.live[model]:
                        worker.pull_version(model, version)
            known = {model for worker in self.workers for model in worker.models}
            self.assertLessEqual({m["model"] for m in self.query("ls")["models"]}, known)
            if collect:
                self.check_collected()

    def check_collected(self):
        def clean():
            done = self.cli("gc", "--json", server=self.server.address)
            if done.returncode == harness.UNAVAILABLE:
                return False  # a worker's, whose client is gone, has not noticed yet
            self.assertEqual(done.returncode, harness.OK, done.stderr)
            report = harness.json.loads(done.stdout)
            self.assertEqual(report["versions_live"],
                             sum(len(files) for w in self.workers for files in w.live.values()))
            return (report["versions_held"] == 0 and report["blocks_freed"] == 0
                    and self.query("stats", "--exact")["blocks"] == report["blocks_live"])
        # Windows and leases end by the server's clock.
        harness.wait_until(clean, PATIENCE_S, "a store without garbage")
        for worker in self.workers:
            for model in worker.models:
                worker.deleted[model].clear()

    def test_nothing_acknowledged_is_lost(self):
        kills = faults.kills(40, 500)
        random = harness.rng("server_kills/moments")
        begun = time.monotonic()
        for worker in self.workers:
            worker.start()
        moment = threading.Event()  # never set: a wait that ends by its time
        for kill in range(1, kills + 1):
            # The moment is the point: anywhere in what is going on, also in a start.
            moment.wait(random.choice([random.uniform(0, 0.03), random.uniform(0, 0.6)])
                        * harness.SLOWER)
            self.server.kill()
            self.server.start()
            worker = random.choice(self.workers)
            with self.at_rest(worker):
                self.check_model(worker, random.choice(worker.models))
            if kill % 20 == 0:
                self.check_everything(collect=kill % 100 == 0)
        self.check_everything(collect=True)
        counts = sum((worker.counts for worker in self.workers), collections.Counter())
        print(f"\n{kills} kills in {time.monotonic() - begun:.0f} s: {dict(counts)}", flush=True)
        self.assertGreater(counts["push"], kills / 4)
        for operation in ("pull", "move_alias", "delete", "undelete", "collect"):
            self.assertGreater(counts[operation], 0, operation)


if __name__ == "__main__":
    faults.main()
