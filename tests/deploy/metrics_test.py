"""Metrics and probes over HTTP, of a real server under real calls."""
import http.client
import re
import signal
import socket
import subprocess
import threading

import containers
import harness

SMALL = [("k", "uint8", (3,), b"abc")]


class Watched(harness.Server):
    """A server with --metrics-listen: the line after the listeners' names its address."""

    def start(self):
        super().start()
        line = self.process.stdout.readline().decode()
        if not line.startswith("metrics on "):
            raise RuntimeError(f"server said {line!r}; log:\n{self.log()}")
        self.metrics_address = line[len("metrics on "):].rstrip("\n")
        return self


def get(address, path, method="GET"):
    """(status, content type, text)"""
    connection = http.client.HTTPConnection(address, timeout=harness.CLI_LIMIT_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()
    finally:
        connection.close()


def samples(text):
    """The exposition as {'name{labels}': value}; raises on a line that is none."""
    values = {}
    types = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:4]
            assert name not in types, f"{name} has two types"
            types[name] = kind
            continue
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{[^}]*\})?) (\S+)', line)
        assert match, f"not a sample: {line!r}"
        assert match.group(1) not in values, f"{match.group(1)} is there twice"
        values[match.group(1)] = float(match.group(2))
        base = re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", match.group(1))
        full = match.group(1).split("{")[0]
        assert base in types or full in types, f"{line!r} has no type"
    return values


class MetricsTest(harness.TestCase):
    WITH_SERVER = False

    def watched(self, name="data", **options):
        options.setdefault("args", ())
        options["args"] = ("--metrics-listen", "127.0.0.1:0", *options["args"])
        server = Watched(self.path(name), **options)
        self.addCleanup(server.stop)
        return server.start()

    def scrape(self, server):
        status, kind, text = get(server.metrics_address, "/metrics")
        self.assertEqual(status, 200, text)
        self.assertEqual(kind, "text/plain; version=0.0.4; charset=utf-8")
        return samples(text)

    def model(self, entries=SMALL, name="in"):
        return harness.write(self.path(name), containers.safetensors(entries))

    def test_calls_bytes_and_blocks_are_counted(self):
        server = self.watched()
        data = harness.rng("metrics").randbytes(3 << 20)
        path = self.model([("w", "uint8", (len(data),), data)])
        self.push(path, "metrics/m", server=server.address)
        self.push(path, "metrics/m", server=server.address)
        self.ok("pull", "metrics/m", "-o", self.path("out"), server=server.address)
        self.fails(harness.NOT_FOUND, "show", "metrics/absent", server=server.address)
        # A call is counted before its status leaves, so nothing has to be waited for.
        values = self.scrape(server)
        self.assertEqual(values['ballast_calls_total{code="OK",method="Push"}'], 2)
        self.assertEqual(values['ballast_calls_total{code="OK",method="Pull"}'], 1)
        self.assertEqual(values['ballast_calls_total{code="NOT_FOUND",method="GetVersion"}'], 1)
        self.assertEqual(values['ballast_calls_total{code="OK",method="BindSchema"}'], 0)
        self.assertEqual(values['ballast_call_duration_seconds_count{class="push"}'], 2)
        self.assertEqual(values['ballast_open_calls{class="push"}'], 0)
        for name in ('ballast_received_bytes_total{class="push"}',
                     'ballast_sent_bytes_total{class="pull"}'):
            self.assertGreater(values[name], len(data))
            self.assertLess(values[name], len(data) + (64 << 10))
        self.assertEqual(values['ballast_push_blocks_total{result="stored"}'], 3)
        self.assertEqual(values['ballast_push_blocks_total{result="known"}'], 3)
        self.assertGreaterEqual(values["ballast_store_blocks"], 4)  # manifests are blocks too
        self.assertGreater(values["ballast_store_block_bytes"], len(data))
        self.assertGreater(values["ballast_store_disk_free_bytes"], 0)

    def test_refused_pushes_are_counted_by_reason(self):
        server = self.watched(args=("--config", harness.write(
            self.path("config"), b"[limits]\nentries_max = 1\n")))
        two = self.model([("a", "uint8", (1,), b"x"), ("b", "uint8", (1,), b"y")])
        self.fails(harness.FAILURE, "push", two, "metrics/m", "--raw", server=server.address)
        schema = harness.write(self.path("s.json"), b'{"ballast_schema":1,"entries":'
                               b'[{"key":"k","dtype":"uint8","shape":[4]}]}')
        done = self.cli("push", self.model(), "metrics/m", "--schema", schema,
                        server=server.address)
        self.assertEqual(done.returncode, harness.SCHEMA)
        values = self.scrape(server)
        self.assertEqual(values['ballast_pushes_refused_total{reason="LIMIT"}'], 1)
        self.assertEqual(values['ballast_pushes_refused_total{reason="SCHEMA_MISMATCH"}'], 1)

    def test_the_process_and_the_build_are_described(self):
        server = self.watched()
        values = self.scrape(server)
        self.assertEqual(len([v for v in values if v.startswith("ballast_build_info{")]), 1)
        self.assertGreater(values["process_resident_memory_bytes"], 1 << 20)
        self.assertGreater(values["process_open_fds"], 3)
        self.assertGreater(values["process_start_time_seconds"], 1.6e9)
        self.assertEqual(values["ballast_ready"], 1)
        self.assertEqual(values['ballast_threads_max{pool="data"}'], 64)

    def test_no_label_comes_from_a_caller(self):
        server = self.watched()
        self.push(self.model(), "a-very-own-name/m", "--label", "own=label", "--message", "words",
                  server=server.address)
        text = get(server.metrics_address, "/metrics")[2]
        for word in ("a-very-own-name", "own=", "words", "anonymous"):
            self.assertNotIn(word, text)

    def test_a_running_pull_shows(self):
        server = self.watched()
        data = harness.rng("running").randbytes(64 << 20)
        path = self.model([("w", "uint8", (len(data),), data)])
        self.push(path, "metrics/m", server=server.address)
        puller = subprocess.Popen(
            [harness.ballast(), "--server", server.address, "pull", "metrics/m", "-o", "-"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=harness.clean_env())
        self.addCleanup(puller.communicate)
        self.addCleanup(puller.kill)
        self.assertEqual(len(puller.stdout.read(1 << 20)), 1 << 20)  # it runs, then stalls
        values = self.scrape(server)
        self.assertEqual(values['ballast_open_calls{class="pull"}'], 1)
        self.assertEqual(values['ballast_threads_busy{pool="data"}'], 1)
        self.assertGreater(values['ballast_sent_bytes_total{class="pull"}'], 1 << 20)

    def test_probes_answer(self):
        server = self.watched()
        self.assertEqual(get(server.metrics_address, "/healthz"),
                         (200, "text/plain; charset=utf-8", "alive\n"))
        self.assertEqual(get(server.metrics_address, "/readyz")[::2], (200, "ready\n"))
        self.assertEqual(get(server.metrics_address, "/other")[0], 404)
        self.assertEqual(get(server.metrics_address, "/readyz", "POST")[0], 405)

    def test_a_disk_that_is_nearly_full_is_not_ready_but_serves(self):
        server = self.watched(args=("--config", harness.write(
            self.path("config"), b"[limits]\nready_free_bytes_min = 9000000000000000000\n")))
        status, _, text = get(server.metrics_address, "/readyz")
        self.assertEqual(status, 503)
        self.assertIn("ready_free_bytes_min", text)
        self.assertEqual(get(server.metrics_address, "/healthz")[0], 200)
        self.assertEqual(self.scrape(server)["ballast_ready"], 0)
        self.ok("ls", server=server.address)

    def test_a_stopping_server_is_alive_but_not_ready(self):
        server = self.watched(args=("--grace-ms", "60000"))
        data = harness.rng("stopping").randbytes(96 << 20)
        path = self.model([("w", "uint8", (len(data),), data)])
        self.push(path, "metrics/m", server=server.address)
        puller = subprocess.Popen(
            [harness.ballast(), "--server", server.address, "pull", "metrics/m", "-o", "-"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=harness.clean_env())
        self.assertEqual(len(puller.stdout.read(1 << 20)), 1 << 20)  # it runs, then stalls
        server.process.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: get(server.metrics_address, "/readyz")[0] == 503,
                           harness.STOP_LIMIT_S, "the server says that it stops")
        self.assertIn("stopping", get(server.metrics_address, "/readyz")[2])
        self.assertEqual(get(server.metrics_address, "/healthz")[0], 200)
        rest, errors = puller.communicate(timeout=harness.CLI_LIMIT_S)
        self.assertEqual(puller.returncode, 0, errors)  # a running call has the grace time
        self.assertEqual(server.stop(), 0, server.log()[-2000:])

    def test_scrapes_and_calls_at_once(self):
        server = self.watched()
        path = self.model()
        failures = []

        def scrape():
            try:
                for _ in range(20):
                    self.scrape(server)
            except Exception as error:  # reported by the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=scrape) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(5):
            self.push(path, f"metrics/m{i}", server=server.address)
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.scrape(server)['ballast_calls_total{code="OK",method="Push"}'], 5)

    def test_clients_that_say_nothing_do_not_stop_the_server_from_ending(self):
        server = self.watched()
        host, port = server.metrics_address.rsplit(":", 1)
        for _ in range(3):
            silent = socket.create_connection((host, int(port)), timeout=harness.CLI_LIMIT_S)
            self.addCleanup(silent.close)
            silent.sendall(b"GET /metr")
        self.assertEqual(get(server.metrics_address, "/healthz")[0], 200)
        self.assertEqual(server.stop(), 0, server.log()[-2000:])

    def test_an_address_in_use_is_an_error_that_names_it(self):
        first = self.watched()
        second = harness.Server(self.path("other"),
                                args=("--metrics-listen", first.metrics_address))
        self.addCleanup(second.stop)
        with self.assertRaisesRegex(RuntimeError, re.escape(first.metrics_address)):
            second.start()

    def test_beyond_loopback_it_must_be_meant(self):
        server = harness.Server(self.path("data"), args=("--metrics-listen", "0.0.0.0:0"))
        self.addCleanup(server.stop)
        with self.assertRaisesRegex(RuntimeError, "reachable from other machines"):
            server.start()


if __name__ == "__main__":
    harness.main()
